"""Which passages and questions come together: runs of one document, whose passages are hard negatives of each other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Share:
    """Where passages are drawn from.

    Attributes
    ----------
    passages
        Indices, those of one document in a row.
    wanted
        How many to draw for a batch.
    run
        How many in a row.
    rivals
        Of each of all passages those that are hardest to tell from it, the hardest first; a run is then a passage and
        its rivals.
    """

    passages: Sequence[int]
    wanted: int
    run: int = 8
    rivals: Sequence[Sequence[int]] | None = None

    def run_from(self, begin: int) -> list[int]:
        """Passages that belong together, from the one at `begin`."""
        if self.rivals is None:
            return list(self.passages[begin : begin + self.run])
        first = self.passages[begin]
        return [first, *self.rivals[first][: self.run - 1]]


class Sampler:
    """Draws passages of each source, in runs, and at most `questions` of each; `asked` lists those of each passage."""

    def __init__(self, sources: Sequence[Share], asked: Sequence[Sequence[int]], *, questions: int, seed: int) -> None:
        self._sources, self._asked, self._questions = sources, asked, questions
        self._random = random.Random(seed)

    def draw(self) -> tuple[list[int], list[int]]:
        """Indices of passages, and of questions that they answer."""
        passages: list[int] = []
        for source in self._sources:
            found = dict[int, None]()
            while len(found) < min(source.wanted, len(source.passages)):
                begin = self._random.randrange(len(source.passages))
                run = source.run_from(begin)
                found |= dict.fromkeys(run[: source.wanted - len(found)])
            passages += found
        asked = [self._asked[i] for i in passages]
        questions = [q for mine in asked for q in self._random.sample(mine, min(self._questions, len(mine)))]
        return passages, questions


def by_passage(passages: Sequence[int], count: int) -> tuple[tuple[int, ...], ...]:
    """Of each of `count` passages the questions that it answers; `passages` is that of each question."""
    asked: list[list[int]] = [[] for _ in range(count)]
    for question, passage in enumerate(passages):
        asked[passage].append(question)
    return tuple(map(tuple, asked))


def pad(rows: Sequence[NDArray[Any]], value: int) -> NDArray[Any]:
    """Lay rows of different lengths under each other, (rows, longest)."""
    out = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), value, dtype=rows[0].dtype)
    for target, row in zip(out, rows, strict=True):
        target[: len(row)] = row
    return out
