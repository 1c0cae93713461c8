"""Documents that were explained with one query, laid side by side by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from latelens.explanation.matches import Explanation
from latelens.explanation.segments import edges_of, first_largest, largest
from latelens.explanation.sentences import SentenceRows
from latelens.explanation.words import QueryWords, query_words


class SideBySide:
    """What is asked of each sentence, computed for all of them at once; no document changes what another gets.

    Attributes
    ----------
    explanations, rows
        The documents; each has a sentence.
    asked
        The query's words.
    edges
        (documents + 1,) where each one's sentences begin.
    best
        (query rows, sentences) float32, the largest similarity of each query row in each sentence.
    """

    def __init__(self, explanations: Sequence[Explanation], rows: Sequence[SentenceRows]) -> None:
        self.explanations, self.rows = explanations, rows
        self.asked: QueryWords = query_words(explanations[0].query)
        self._counts = np.array([len(each.spans) for each in rows])
        self.edges = edges_of(self._counts)
        laid = [each.lay(one.similarity) for one, each in zip(explanations, rows, strict=True)]
        end = np.full((len(laid[0]), 1), -np.inf, dtype=np.float32)  # so that a mark may stand behind the last row
        self._similarity = np.concatenate([*laid, end], axis=1)  # (query rows, all rows + 1) float32
        # Each document has a group of rows for each sentence, and one before and one behind them, which may be empty.
        starts = edges_of(np.array([one.shape[1] for one in laid]))
        self._marks = np.concatenate([each.marks for each in rows]) + starts[:-1].repeat(self._counts + 2)
        self._ends = np.append(self._marks[1:], starts[-1])
        self._groups = np.maximum.reduceat(self._similarity, self._marks, axis=1)  # (query rows, groups) float32
        self._groups[:, self._marks == self._ends] = -np.inf
        self._group = np.arange(self.edges[-1]) + 1 + 2 * np.arange(len(rows)).repeat(self._counts)  # (sentences,)
        self.best = self._groups[:, self._group]

    @cached_property
    def spans(self) -> NDArray[np.int32]:
        """Characters of each sentence, (sentences, 2)."""
        return np.concatenate([each.spans for each in self.rows])

    def texts_of(self, sentences: NDArray[np.intp], owners: NDArray[np.intp]) -> list[str]:
        """The texts of some sentences; `owners` says which document each is of."""
        texts = [one.document.text for one in self.explanations]
        spans = self.spans[sentences].tolist()
        return [texts[owner][start:end] for owner, (start, end) in zip(owners.tolist(), spans, strict=True)]

    def drops(self) -> NDArray[np.float64]:
        """For each sentence, what its document's score loses when its rows are removed, (sentences,)."""
        sizes = self._counts + 2
        edges, owners = edges_of(sizes), np.arange(len(sizes)).repeat(sizes)
        first = largest(self._groups, edges)  # (query rows, documents)
        winning = self._groups == first[:, owners]
        second = largest(np.where(winning, -np.inf, self._groups), edges)
        alone = np.add.reduceat(winning.astype(np.int32), edges[:-1], axis=1) == 1
        lost = np.where(alone, first.astype(np.float64) - second, 0)  # without one of two equals nothing is lost
        rows, groups = winning.nonzero()
        summed = np.bincount(groups, weights=lost[rows, owners[groups]], minlength=len(owners))
        drops: NDArray[np.float64] = summed[self._group].astype(np.float64)
        for i in np.flatnonzero(np.isinf(drops)).tolist():  # nothing would be left
            drops[i] = self.explanations[owners[self._group[i]]].score
        return drops

    def matched(self, sentences: NDArray[np.intp]) -> NDArray[np.int64]:
        """Where the text of the row ends that each row of the query's words chose in some sentences.

        (rows of words, sentences), in characters of the sentence's document; the first of equal rows is chosen.
        """
        groups = self._group[sentences]
        sizes = self._ends[groups] - self._marks[groups]
        edges = edges_of(sizes)
        columns = np.arange(edges[-1]) + (self._marks[groups] - edges[:-1]).repeat(sizes)
        found = columns[first_largest(self._similarity.take(columns, axis=1)[self.asked.rows], edges)]
        ends: NDArray[np.int64] = np.concatenate([each.ends for each in self.rows])[found].astype(np.int64)
        return ends
