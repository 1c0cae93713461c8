"""Batches of frozen states, from whole articles, so that passages that must be told apart are about the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from layers import StateBatch, States
from passages import Examples
from torch.nn.functional import normalize

from latelens.adapt.sampling import Sampler, Share, pad


def sampler(
    examples: Examples,
    wanted: Mapping[str, int],
    rivals: Sequence[Sequence[int]] | None = None,
    *,
    run: int,
    questions: int,
    seed: int,
) -> Sampler:
    """Draws so many passages of each source; claims have one passage each, so they come singly.

    Runs are of one article, or of a passage and its `rivals`.
    """
    held: dict[str, list[int]] = {name: [] for name in wanted}
    for i, passage in enumerate(examples.passages):
        held[passage.source].append(i)
    held["selqa"].sort(key=lambda i: (examples.passages[i].article, i))  # SQuAD's are in the order of their articles
    sources = [
        Share(held[name], count, 1 if name == "fool_me_twice" else run, rivals) for name, count in wanted.items()
    ]
    return Sampler(sources, examples.asked, questions=questions, seed=seed)


def batch_of(
    examples: Examples, queries: States, documents: States, passages: Sequence[int], questions: Sequence[int]
) -> StateBatch:
    """Lay out chosen passages and questions with their frozen states."""
    asked = [examples.questions[i] for i in questions]
    place = {passage: i for i, passage in enumerate(passages)}
    query_states, query_last = _stacked(queries, questions)
    passage_states, passage_last = _stacked(documents, passages)
    owners = torch.from_numpy(pad([examples.passages[i].owners for i in passages], -2))
    return StateBatch(
        query_states=query_states,
        query_before=query_last,
        query_mask=torch.from_numpy(pad([np.ones(len(each.ids), dtype=bool) for each in asked], 0)),
        words=torch.from_numpy(pad([each.words for each in asked], -1)),
        passage_states=passage_states,
        passage_before=passage_last,
        passage_mask=torch.from_numpy(pad([np.ones(len(examples.passages[i].ids), dtype=bool) for i in passages], 0)),
        owners=owners.long(),
        own=torch.tensor([place[each.passage] for each in asked]),
        gold=[each.gold for each in asked],
    )


def _stacked(states: States, chosen: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    both = [states.of(i) for i in chosen]
    lower, last = (torch.from_numpy(pad([np.asarray(pair[k]) for pair in both], 0)).float() for k in (0, 1))
    return lower, normalize(last, dim=-1)
