"""Batches: whole articles, so that the passages that a question must be told apart from are about the same."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from layers import States
from losses import Batch
from passages import Examples, pad
from torch.nn.functional import normalize


class Sampler:
    """Draws passages by source, in runs of one article, and questions of each."""

    def __init__(self, examples: Examples, passages: Mapping[str, int], *, run: int, questions: int, seed: int) -> None:
        self._examples, self._wanted, self._run, self._questions = examples, passages, run, questions
        self._random = random.Random(seed)
        self._by_source: dict[str, list[int]] = defaultdict(list)
        for i, passage in enumerate(examples.passages):
            self._by_source[passage.source].append(i)
        for found in self._by_source.values():  # passages of one article lie together; SQuAD's are in order already
            found.sort(
                key=lambda i: (examples.passages[i].article if examples.passages[i].source == "selqa" else "", i)
            )

    def draw(self) -> tuple[list[int], list[int]]:
        """Indices of passages, and of questions that they answer."""
        passages: list[int] = []
        for source, count in self._wanted.items():
            held, found = self._by_source[source], dict[int, None]()
            while len(found) < count:
                begin = self._random.randrange(len(held))
                run = held[begin : begin + self._run] if source != "fool_me_twice" else held[begin : begin + 1]
                found |= dict.fromkeys(run[: count - len(found)])
            passages += found
        asked = [self._examples.asked[i] for i in passages]
        questions = [q for mine in asked for q in self._random.sample(mine, min(self._questions, len(mine)))]
        return passages, questions


def batch_of(
    examples: Examples, queries: States, documents: States, passages: Sequence[int], questions: Sequence[int]
) -> Batch:
    """Lay out chosen passages and questions with their frozen states."""
    asked = [examples.questions[i] for i in questions]
    place = {passage: i for i, passage in enumerate(passages)}
    query_states, query_last = _stacked(queries, questions)
    passage_states, passage_last = _stacked(documents, passages)
    owners = _tensor(pad([examples.passages[i].owners for i in passages], -2))
    return Batch(
        query_states=query_states,
        query_last=query_last,
        query_mask=_tensor(pad([np.ones(len(each.ids), dtype=bool) for each in asked], 0)),
        words=_tensor(pad([each.words for each in asked], -1)),
        passage_states=passage_states,
        passage_last=passage_last,
        passage_mask=_tensor(pad([np.ones(len(examples.passages[i].ids), dtype=bool) for i in passages], 0)),
        owners=owners.long(),
        own=torch.tensor([place[each.passage] for each in asked]),
        gold=[each.gold for each in asked],
    )


def _stacked(states: States, chosen: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    both = [states.of(i) for i in chosen]
    lower, last = (_tensor(pad([np.asarray(pair[k]) for pair in both], 0)).float() for k in (0, 1))
    return lower, normalize(last, dim=-1)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array)
