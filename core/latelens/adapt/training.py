"""Training of a LoRA's factors, one batch at a time: the four losses, a warm-up, a cosine, and a moving average."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from latelens.adapt.losses import (
    TrainingBatch,
    mean_maxsim,
    passage_loss,
    ranking_loss,
    relevance_loss,
    rows_loss,
    sentence_loss,
    sentence_scores,
    similarities,
    strengths,
)

AnyBatch = TypeVar("AnyBatch", bound=TrainingBatch)


@dataclass(frozen=True)
class Losses:
    """What each part of the loss weighs, and how sharp its softmax begins.

    Attributes
    ----------
    sentence, passage
        Of the softmax over the sentences of the right passage, and over the passages of the batch.
    ranking
        Of the KL divergence from the MaxSim that the model gave as it was.
    rows
        Of the mean squared change of the similarities of a question and its passage.
    relevance
        Of the logistic loss of the right passage and its best rival; 0 leaves it out.
    sentence_scale, passage_scale, relevance_scale
        One over the temperature at the start; all are learned, and the centre too.
    relevance_centre
        The strength that is as likely right as wrong, at the start.
    teacher_scale
        That of the model as it was.
    """

    sentence: float = 1.0
    passage: float = 1.0
    ranking: float = 2.0
    rows: float = 20.0
    relevance: float = 0.0
    sentence_scale: float = 40.0
    passage_scale: float = 25.0
    teacher_scale: float = 25.0
    relevance_scale: float = 14.0
    relevance_centre: float = 0.5


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: AdamW, a linear warm-up and a cosine down to 3 % of the rate.

    `averaging` is the decay of the moving average of the factors, which is what training leaves.
    """

    steps: int = 300
    learning_rate: float = 8e-4
    warm_up: int = 20
    averaging: float = 0.98
    weight_decay: float = 0.01
    clip: float = 1.0


class Trainer(Generic[AnyBatch]):
    """Factors in training, their moving average and the optimizer.

    `encode` gives the unit rows of a batch's questions and passages, (texts, longest, dim) float32 each, with
    gradients to `factors`.
    """

    def __init__(
        self,
        encode: Callable[[AnyBatch], tuple[torch.Tensor, torch.Tensor]],
        factors: Sequence[torch.nn.Parameter],
        losses: Losses,
        schedule: Schedule,
    ) -> None:
        self._encode, self._factors, self._losses, self._schedule = encode, list(factors), losses, schedule
        device = self._factors[0].device
        self._scales = [
            torch.nn.Parameter(torch.tensor(math.log(scale), device=device))
            for scale in (losses.sentence_scale, losses.passage_scale, losses.relevance_scale)
        ]
        self._centre = torch.nn.Parameter(torch.tensor(losses.relevance_centre, device=device))
        groups = [
            {"params": self._factors, "lr": schedule.learning_rate, "weight_decay": schedule.weight_decay},
            {"params": [*self._scales, self._centre], "lr": 2e-3, "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups)
        self._rates = [float(group["lr"]) for group in groups]  # type: ignore[arg-type]
        self._average = [each.detach().clone() for each in self._factors]
        self._taken = 0

    def step(self, batch: AnyBatch) -> dict[str, float]:
        """Take one step and return the parts of the loss."""
        asked = self._schedule
        self._taken += 1
        cosine = 0.5 * (1 + math.cos(math.pi * self._taken / asked.steps))
        share = min(1.0, self._taken / asked.warm_up) * max(0.03, cosine)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        parts = self._parts(batch)
        self._optimizer.zero_grad()
        sum(parts.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._factors, asked.clip)
        self._optimizer.step()
        self._follow()
        return {name: part.item() for name, part in parts.items()}

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the moving average in place of the factors for a while."""
        now = [each.detach().clone() for each in self._factors]
        self._set(self._average)
        try:
            yield
        finally:
            self._set(now)

    def _parts(self, batch: AnyBatch) -> dict[str, torch.Tensor]:
        """The parts of the loss, weighed."""
        queries, passages = self._encode(batch)
        asked, (sentence_scale, passage_scale, relevance_scale) = self._losses, (s.exp() for s in self._scales)
        similarity = similarities(queries, passages)
        before = similarities(batch.query_before, batch.passage_before)
        maxsims = mean_maxsim(similarity, batch)
        scores = sentence_scores(queries, similarity, batch)
        order = ranking_loss(maxsims, mean_maxsim(before, batch), passage_scale, asked.teacher_scale)
        parts = {
            "sentence": asked.sentence * sentence_loss(scores, batch.gold, sentence_scale),
            "passage": asked.passage * passage_loss(maxsims, batch.own, passage_scale),
            "ranking": asked.ranking * order,
            "rows": asked.rows * rows_loss(similarity, before, batch),
        }
        if asked.relevance:
            found = strengths(queries, similarity, batch)
            parts["relevance"] = asked.relevance * relevance_loss(found, batch.own, relevance_scale, self._centre)
        return parts

    @torch.no_grad()
    def _follow(self) -> None:
        # A short run would otherwise leave what it began with: .98 keeps 60 % of that over 25 steps.
        kept = min(self._schedule.averaging, (self._taken - 1) / (self._taken + 9))
        for average, factor in zip(self._average, self._factors, strict=True):
            average.mul_(kept).add_(factor.detach(), alpha=1 - kept)

    @torch.no_grad()
    def _set(self, values: Sequence[torch.Tensor]) -> None:
        for factor, value in zip(self._factors, values, strict=True):
            factor.copy_(value)
