"""How good a model is on the validation documents: what every choice of the recipe rests on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from batches import batch_of
from layers import StateBatch, States
from numpy.typing import NDArray
from passages import PUNCTUATION, Examples

from latelens.adapt.losses import mean_maxsim, sentence_loss, sentence_scores, similarities, word_weights
from latelens.evaluation.measures import auroc
from latelens.explanation.matches import found_anywhere
from latelens.maxsim import pack

Encode = Callable[[StateBatch], tuple[torch.Tensor, torch.Tensor]]
_PASSAGES = 24
_SCALE = torch.tensor(40.0)


@dataclass(frozen=True)
class Encoded:
    """Rows of all texts: of a passage those that score, of a question all, with their words' weights."""

    questions: list[NDArray[np.float32]]
    weights: list[NDArray[np.float32]]
    passages: list[NDArray[np.float32]]


def frozen(batch: StateBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of questions and passages by the model as it was."""
    return batch.query_before, batch.passage_before


@torch.no_grad()
def validate(examples: Examples, queries: States, documents: States, encode: Encode) -> dict[str, float]:
    """Sentence Hit@1 by source and their mean (`sentence`), and how often the right passage is first (`passage`).

    Passages compete in groups of neighbours, which for SQuAD and SelQA are mostly of one article or of few. `surprise`
    is the mean of the sources' sentence losses at a fixed scale: two sources have under 200 questions, where one
    question is .003 of the mean Hit@1. `all` counts all questions alike; `rival` and `auroc` are of `against_rivals`.
    """
    hits: dict[str, list[float]] = defaultdict(list)
    surprises: dict[str, list[float]] = defaultdict(list)
    firsts: list[float] = []
    encoded = Encoded([], [], [])
    order: list[int] = []
    for begin in range(0, len(examples.passages), _PASSAGES):
        passages = list(range(begin, min(begin + _PASSAGES, len(examples.passages))))
        questions = [q for i in passages for q in examples.asked[i]]
        batch = batch_of(examples, queries, documents, passages, questions)
        rows, others = encode(batch)
        similarity = similarities(rows, others)
        firsts += (mean_maxsim(similarity, batch).argmax(1) == batch.own).float().tolist()
        scores = sentence_scores(rows, similarity, batch)
        _keep(encoded, batch, rows, others)
        order += questions
        for question, found in zip(questions, scores, strict=True):
            asked = examples.questions[question]
            source = examples.passages[asked.passage].source
            hits[source].append(float(found.argmax().item() in asked.gold))
            surprises[source].append(sentence_loss(found[None], [asked.gold], _SCALE).item())
    by_source = {source: fmean(found) for source, found in sorted(hits.items())}
    surprise = fmean(fmean(found) for found in surprises.values())
    alike = fmean(hit for found in hits.values() for hit in found)
    return {
        "sentence": fmean(by_source.values()),
        "all": alike,
        "passage": fmean(firsts),
        "surprise": surprise,
        **against_rivals(examples, encoded, order),
        **by_source,
    }


def against_rivals(examples: Examples, encoded: Encoded, order: Sequence[int]) -> dict[str, float]:
    """How often the right passage is above all others of its source (`rival`), and the AUROC of strengths (`auroc`).

    The AUROC is of the right passages against each question's best rival by MaxSim, over all questions: what a
    calibration is measured by. `order` says which question each of the encoded ones is.
    """
    right, wrong, firsts = [], [], []
    for source in dict.fromkeys(each.source for each in examples.passages):
        members = [i for i, each in enumerate(examples.passages) if each.source == source]
        place = {i: k for k, i in enumerate(members)}
        packed = pack([encoded.passages[i] for i in members])
        starts, counts = packed.offsets[:-1], np.diff(packed.offsets)
        for k, question in enumerate(order):
            own = place.get(examples.questions[question].passage)
            if own is None:
                continue
            similarity = encoded.questions[k] @ np.asarray(packed.values).T  # (question rows, rows of all passages)
            best = np.maximum.reduceat(similarity, starts, axis=1)
            floor = found_anywhere(np.add.reduceat(similarity, starts, axis=1), counts)
            strength = encoded.weights[k] @ ((best - floor) / np.maximum(1 - floor, 1e-6))  # (passages,)
            maxsims = best.sum(axis=0)
            rival = int(np.where(np.arange(len(members)) == own, -np.inf, maxsims).argmax())
            firsts.append(float(maxsims[own] > maxsims[rival]))
            right.append(strength[own])
            wrong.append(strength[rival])
    labels = np.repeat([True, False], [len(right), len(wrong)])
    return {"rival": fmean(firsts), "auroc": auroc(np.array(right + wrong, dtype=np.float64), labels)}


def _keep(encoded: Encoded, batch: StateBatch, rows: torch.Tensor, others: torch.Tensor) -> None:
    weights = word_weights(rows, batch)
    for text, real, weight in zip(rows, batch.query_mask, weights, strict=True):
        encoded.questions.append(text[real].numpy())
        encoded.weights.append(weight[real].numpy())
    for text, real, owners in zip(others, batch.passage_mask, batch.owners, strict=True):
        encoded.passages.append(text[real & (owners != PUNCTUATION)].numpy())
