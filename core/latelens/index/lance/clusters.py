"""Centroids of rows in two levels, so that finding the nearest of n takes about three times the root of n products."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.single_vector.protocol import at_length_one

# A centroid for each so many rows at least, and their number grows with the root of the rows.
_LEAST_ROWS, _PER_ROOT = 64, 11.0
# Rows to learn a centroid from: more moved recall by nothing that could be measured.
_SAMPLED = 24
_ROUNDS = 5
_BLOCK = 4096  # rows to compare at a time


@dataclass(frozen=True, eq=False)
class Clusters:
    """Directions that rows gather around.

    Attributes
    ----------
    coarse
        (groups, dim) float32, unit.
    fine
        (centroids, dim) float32, unit: those of group ``i`` are ``fine[edges[i]:edges[i + 1]]``.
    edges
        (groups + 1,) int64.
    """

    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    edges: NDArray[np.int64]

    def nearest(self, rows: NDArray[np.float32]) -> NDArray[np.int32]:
        """The centroid of each row, (n,) int32: the nearest within its two nearest groups."""
        found, best = np.zeros(len(rows), dtype=np.int32), np.full(len(rows), -np.inf, dtype=np.float32)
        for groups in _two_nearest(rows, self.coarse):
            order = np.argsort(groups, kind="stable")
            bounds = np.searchsorted(groups[order], np.arange(len(self.coarse) + 1))
            for group in np.flatnonzero(np.diff(bounds)).tolist():
                some = order[bounds[group] : bounds[group + 1]]
                first, last = int(self.edges[group]), int(self.edges[group + 1])
                similarity = rows[some] @ self.fine[first:last].T  # (some, centroids of the group)
                nearest = similarity.argmax(axis=1)
                values = similarity[np.arange(len(some)), nearest]
                better = values > best[some]
                found[some[better]] = first + nearest[better]
                best[some[better]] = values[better]
        return found


def centroids_for(rows: int) -> int:
    """How many centroids so many rows get."""
    return max(1, min(rows // _LEAST_ROWS, round(_PER_ROOT * math.sqrt(rows))))


def sampled_for(rows: int) -> int:
    """How many of so many rows to learn the centroids from."""
    return min(rows, max(_BLOCK, _SAMPLED * centroids_for(rows)))


def learn(sample: NDArray[np.float32], count: int) -> Clusters:
    """About `count` centroids by spherical k-means, (n, dim) float32 rows in; the same rows give the same ones."""
    draw = np.random.default_rng(0)
    groups = max(1, round(math.sqrt(count)))
    coarse = _means(sample[draw.permutation(len(sample))[: 256 * groups]], groups, draw)
    own = _nearest(sample, coarse)
    fine = []
    for group in range(len(coarse)):
        rows = sample[own == group]
        share = max(1, round(count * len(rows) / len(sample)))
        fine.append(_means(rows, share, draw) if len(rows) else coarse[group : group + 1])
    edges = np.cumsum([0, *map(len, fine)], dtype=np.int64)
    return Clusters(coarse, np.concatenate(fine), edges)


def _means(rows: NDArray[np.float32], count: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """At most `count` unit centroids, (count, dim)."""
    centres = at_length_one(rows[draw.choice(len(rows), min(count, len(rows)), replace=False)])
    for _ in range(_ROUNDS):
        own = _nearest(rows, centres)
        order, sizes = np.argsort(own, kind="stable"), np.bincount(own, minlength=len(centres))
        starts, filled = np.cumsum(sizes) - sizes, sizes > 0
        centres[filled] = at_length_one(np.add.reduceat(rows[order], starts[filled], axis=0))
    return centres


def _nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.intp]:
    blocks = [rows[first : first + _BLOCK] for first in range(0, len(rows), _BLOCK)]
    return np.concatenate([(block @ centres.T).argmax(axis=1) for block in blocks])


def _two_nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> list[NDArray[np.intp]]:
    similarity = rows @ centres.T
    first = similarity.argmax(axis=1)
    if len(centres) == 1:
        return [first]
    similarity[np.arange(len(rows)), first] = -np.inf
    return [first, similarity.argmax(axis=1)]
