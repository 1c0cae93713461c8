"""Which passages are hardest to tell apart: for each one those that its questions find best, by the model as it was."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from layers import States
from numpy.typing import NDArray
from passages import PUNCTUATION, Examples

_POOLED = 24  # passages that the pooled rows put first, which MaxSim orders
_KEPT = 4  # rivals of each question


def rivals(examples: Examples, queries: States, documents: States) -> tuple[tuple[int, ...], ...]:
    """Of each passage the others of its source, the worst rival first.

    A question gives its four best wrong passages 1, 1/2, 1/3 and 1/4; a passage's rivals are ordered by the sum over
    its questions.
    """
    passages = [_rows(documents, i, each.owners != PUNCTUATION) for i, each in enumerate(examples.passages)]
    asked = [_rows(queries, i, slice(None)) for i in range(len(examples.questions))]
    by_source: dict[str, list[int]] = defaultdict(list)
    for i, each in enumerate(examples.passages):
        by_source[each.source].append(i)
    found: list[Counter[int]] = [Counter() for _ in examples.passages]
    for members in by_source.values():
        pooled = np.stack([passages[i].mean(0) for i in members])
        for own in members:
            for question in examples.asked[own]:
                rows = asked[question]
                first = [members[k] for k in np.argsort(-(pooled @ rows.mean(0)))[:_POOLED] if members[k] != own]
                for rank, rival in enumerate(_best(rows, first, passages), start=1):
                    found[own][rival] += 1 / rank  # type: ignore[assignment]
    return tuple(tuple(rival for rival, _ in each.most_common()) for each in found)


def _best(rows: NDArray[np.float32], chosen: Sequence[int], passages: Sequence[NDArray[np.float32]]) -> list[int]:
    scores = [(rows @ passages[i].T).max(1).sum() for i in chosen]
    return [chosen[k] for k in np.argsort(scores)[::-1][:_KEPT]]


def _rows(states: States, i: int, kept: NDArray[np.bool_] | slice) -> NDArray[np.float32]:
    rows = np.asarray(states.of(i)[1], dtype=np.float32)[kept]
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
