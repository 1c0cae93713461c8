"""Lists of chunks by centroid, and their rows in a byte a value, mapped from disk: what finds a search's candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latelens.index.scoring import rounding
from latelens.shortlist import may_be_best

# Rows to make float32 of at a time, so that they stay in the cache.
_BLOCK_ROWS = 2048
LISTS = "lists-"  # a folder's name begins so, and goes on with the version of the table and the time
UNFINISHED = ".tmp"


@dataclass(frozen=True, eq=False)
class SmallRows:
    """Rows in a byte a value.

    Attributes
    ----------
    values, steps
        (rows, dim) int8 and (rows,) float32: a row is about ``values * step``.
    lost
        (chunks,) float32: no row of a chunk in the table is further than this from what is here.
    """

    values: NDArray[np.int8]
    steps: NDArray[np.float32]
    lost: NDArray[np.float32]

    @cached_property
    def norm(self) -> float:
        """No row is longer than this."""
        return float(np.linalg.norm(np.full(self.values.shape[1], 127.0)) * self.steps.max(initial=0))

    def products(self, query: NDArray[np.float32], spans: Sequence[slice]) -> NDArray[np.float32]:
        """The query's products with some rows, (query rows, rows) float32."""
        rows = np.concatenate([self.values[span] for span in spans]).astype(np.float32)
        similarity: NDArray[np.float32] = query @ rows.T
        similarity *= np.concatenate([self.steps[span] for span in spans])
        return similarity


@dataclass(frozen=True, eq=False)
class Lists:
    """An index of some chunks, at positions in the order in which they were read.

    Attributes
    ----------
    numbers
        (chunks,) int64: the table's `number` of each.
    offsets
        (chunks + 1,) int64: chunk ``i`` owns rows ``offsets[i]:offsets[i + 1]``.
    coarse
        All rows in a byte a value.
    fine
        What these leave of the table's rows, in a second byte; None where the table's rows are int8 themselves.
    centroids
        (centroids, dim) float32: the mean of the rows of each.
    starts, members
        (centroids + 1,) int64 and (entries,) int32: chunks with a row at centroid ``c`` are
        ``members[starts[c]:starts[c + 1]]``.
    """

    numbers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    coarse: SmallRows
    centroids: NDArray[np.float32]
    starts: NDArray[np.int64]
    members: NDArray[np.int32]
    fine: SmallRows | None = None

    @classmethod
    def open(cls, folder: Path) -> Lists:
        """Map a folder; what searches need again and again is read."""

        def small(name: str) -> SmallRows:
            values, steps = (
                np.asarray(np.load(folder / f"{name}_{part}.npy", mmap_mode="r")) for part in ("values", "steps")
            )
            return SmallRows(values, steps, np.load(folder / f"{name}_lost.npy"))

        read = {name: np.load(folder / f"{name}.npy") for name in ("numbers", "offsets", "centroids", "starts")}
        members = np.asarray(np.load(folder / "members.npy", mmap_mode="r"))
        fine = small("fine") if (folder / "fine_lost.npy").exists() else None
        return cls(**read, members=members, coarse=small("coarse"), fine=fine)

    def __len__(self) -> int:
        return len(self.numbers)

    def positions(self, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """Where chunks with these numbers are, -1 for those that are not here."""
        order, ordered = self._order
        at = np.minimum(np.searchsorted(ordered, numbers), len(ordered) - 1)
        return np.where(ordered[at] == numbers, order[at], -1)

    @cached_property
    def _order(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        order = np.argsort(self.numbers, kind="stable")
        return order, self.numbers[order]

    def estimates(self, query: NDArray[np.float32], probes: int) -> NDArray[np.float32]:
        """What each chunk's score may be, (chunks,) float32, by the lists of the centroids nearest to each query row.

        A row that is in none of a query row's lists counts as similar as the first centroid that was not looked at
        (Lee et al., *Rethinking the Role of Token Retrieval in Multi-Vector Retrieval*, NeurIPS 2023).
        """
        similarity = query @ self.centroids.T  # (query rows, centroids)
        found = np.zeros(len(self), dtype=np.float32)
        gained = np.zeros(len(self), dtype=np.float32)
        unseen = 0.0
        for values in similarity:
            chosen = best(values, probes + 1)  # the least similar first: later ones overwrite
            missing = values[chosen[0]] if len(chosen) > probes else values.min(initial=0)
            chosen = chosen[-probes:]
            unseen += float(missing)
            lists = [self.members[self.starts[c] : self.starts[c + 1]] for c in chosen.tolist()]
            members = np.concatenate(lists)
            gained[members] = np.repeat(values[chosen] - missing, [len(part) for part in lists])
            found[members] = found[members] + gained[members]  # once for each chunk, however often it is among them
        found += np.float32(unseen)
        return found

    def may_be_best(self, query: NDArray[np.float32], positions: NDArray[np.intp], k: int) -> NDArray[np.intp]:
        """Those of some chunks that may be among the best `k` of them by MaxSim with the table's rows."""
        lengths = float(np.linalg.norm(query.astype(np.float64), axis=1).sum())
        for fine in (False, True):
            if (rows := self.fine if fine else self.coarse) is not None and len(positions) > k:
                scores = self.scores(query, positions, fine=fine)
                norm = self.coarse.norm + (rows.norm if fine else 0)
                errors = lengths * rows.lost[positions].astype(np.float64) * (1 + 1e-5) + 2 * rounding(query, norm)
                positions = positions[may_be_best(scores, k, errors)]
        return positions

    def scores(self, query: NDArray[np.float32], positions: NDArray[np.intp], *, fine: bool) -> NDArray[np.float64]:
        """MaxSim with some chunks, (positions,), by their coarse rows, or with `fine` by both bytes."""
        scores = np.empty(len(positions))
        ends = np.cumsum(self.offsets[positions + 1] - self.offsets[positions])
        first, done = 0, 0
        while first < len(positions):
            last = max(first + 1, int(np.searchsorted(ends, done + _BLOCK_ROWS, side="right")))
            scores[first:last] = self._maxsim(query, positions[first:last].tolist(), fine=fine)
            first, done = last, int(ends[last - 1])
        return scores

    def _maxsim(self, query: NDArray[np.float32], positions: Sequence[int], *, fine: bool) -> NDArray[np.float64]:
        spans = [slice(self.offsets[i], self.offsets[i + 1]) for i in positions]
        similarity = self.coarse.products(query, spans)
        if fine and self.fine is not None:
            similarity += self.fine.products(query, spans)
        edges = np.cumsum([0, *(span.stop - span.start for span in spans[:-1])])
        sums: NDArray[np.float64] = np.maximum.reduceat(similarity, edges, axis=1).sum(axis=0, dtype=np.float64)
        return sums


def best(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Positions of the `count` largest, the smallest of them first."""
    if count >= len(values):
        return np.argsort(values)
    chosen = np.arange(len(values))
    if len(values) > 16 * count:  # few can be among them: those above what enough of every eighth are
        eighth = values[::8]
        floor = np.partition(eighth, len(eighth) - (count // 4 + 1))[len(eighth) - (count // 4 + 1)]
        above = np.flatnonzero(values >= floor)
        chosen = above if len(above) >= count else chosen
    part = values[chosen]
    chosen = chosen[np.argpartition(part, len(part) - count)[len(part) - count :]]
    return chosen[np.argsort(values[chosen])]
