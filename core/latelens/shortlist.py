"""Which of many documents may be among the best for a query, by rounded rows: the others need no exact score."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.rounded import RoundedRows, Rows, maxsim_apart, pays, rounded

# Rounding takes as long as it saves in so many queries.
_ASKED = 4
# Fewer rows are scored in less than a millisecond anyway.
LEAST_ROWS = 8192
# Where more than this share of the documents is wanted, rounded scores rule out little.
MOST_WANTED = 1 / 8
_MOST_BYTES = 1 << 30  # of rounded rows to keep in memory

_Owner = TypeVar("_Owner")


class KeptRounded(Generic[_Owner]):
    """Rows that were asked for often, rounded to bfloat16; they go when what they belong to goes.

    `rows_of` gives an owner's rows, (rows, dim), and `norm_of` the length of the longest.
    """

    def __init__(self, rows_of: Callable[[_Owner], Rows], norm_of: Callable[[_Owner], float]) -> None:
        self._rows_of, self._norm_of = rows_of, norm_of
        self._lock = threading.Lock()
        self._kept: weakref.WeakKeyDictionary[_Owner, RoundedRows | None] = weakref.WeakKeyDictionary()
        self._asked: weakref.WeakKeyDictionary[_Owner, int] = weakref.WeakKeyDictionary()

    def of(self, owners: Sequence[_Owner], queries: int = 1) -> list[RoundedRows | None]:
        """The rows of each owner, now asked for by so many queries more; None where they are not rounded."""
        found = [self._kept.get(owner) for owner in owners]
        missing = [i for i, rows in enumerate(found) if rows is None]
        # Another thread may be rounding them: that takes longer than scoring them.
        if missing and self._lock.acquire(blocking=False):
            try:
                self._round([owners[i] for i in missing], queries)
            finally:
                self._lock.release()
            for i in missing:
                found[i] = self._kept.get(owners[i])
        return found

    def _round(self, owners: Iterable[_Owner], queries: int) -> None:
        """Round those that were asked for often enough, as long as there is room."""
        taken = sum(rows.values.nbytes for rows in self._kept.values() if rows is not None)
        for owner in owners:
            asked = self._asked[owner] = self._asked.get(owner, 0) + queries
            if owner in self._kept or asked < _ASKED:
                continue
            rows = self._rows_of(owner)
            count, dim = rows.shape
            if taken + 2 * count * dim <= _MOST_BYTES:
                self._kept[owner] = rounded(rows, self._norm_of(owner)) if count else None
                taken += 2 * count * dim


_DOCUMENTS: KeptRounded[TokenEmbeddings] = KeptRounded(lambda one: one.vectors, lambda one: longest(one.vectors))


def shortlist(query: TokenEmbeddings, documents: Sequence[TokenEmbeddings], k: int) -> Sequence[int]:
    """Positions, in order, of all documents that may have one of the best `k` scores with a query.

    All of them unless this processor is fast in bfloat16, few are wanted, and most were asked for often: rounded rows
    take half the memory of the others, 1 GiB at most, and go when the documents go.
    """
    everything = range(len(documents))
    if k > MOST_WANTED * len(documents) or not pays():
        return everything
    near = _DOCUMENTS.of(documents)
    fits, some = _of_dimension(near, query.dim)
    if sum(map(len, some)) < LEAST_ROWS:
        return everything
    scores, errors = np.zeros(len(documents)), np.full(len(documents), np.inf)  # what is not rounded may be any number
    scores[fits], errors[fits] = maxsim_apart(query.vectors, some)
    chosen: list[int] = may_be_best(scores, k, errors).tolist()
    return chosen


def _of_dimension(rows: Sequence[RoundedRows | None], dim: int) -> tuple[list[int], list[RoundedRows]]:
    """Those that there are and that can be multiplied with a query's, and where they stand."""
    found = [(i, one) for i, one in enumerate(rows) if one is not None and one.dim == dim]
    return [i for i, _ in found], [one for _, one in found]


def may_be_best(scores: NDArray[np.float64], k: int, error: float | NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions, in order, of all scores that belong to the best `k` if each may be off by `error`, or by its own."""
    if len(scores) <= k:
        return np.arange(len(scores))
    least = scores - error
    return np.flatnonzero(scores + error >= np.partition(least, len(least) - k)[len(least) - k])


def longest(vectors: NDArray[np.float32]) -> float:
    """Length of the longest of some vectors, (n, dim)."""
    return math.sqrt(float(np.einsum("ij,ij->i", vectors, vectors).max(initial=0)))
