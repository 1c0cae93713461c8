"""Brute force: MaxSim with every chunk of a segment that is asked for, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import explain
from latelens.index.exact.parts import Place
from latelens.index.exact.segments import Segment
from latelens.index.protocol import Hit
from latelens.maxsim import PackedEmbeddings, maxsim, pack

# Chunks whose rows are scored for all queries before the next are touched.
_SLAB = 1024


def scores_of(queries: Sequence[TokenEmbeddings], segment: Segment, positions: NDArray[np.intp]) -> NDArray[np.float64]:
    """MaxSim of each query with the chunks at these positions, (queries, positions) float64."""
    scores = np.empty((len(queries), len(positions)))
    for first in range(0, len(positions), _SLAB):
        chosen = positions[first : first + _SLAB]
        start, end = int(chosen[0]), int(chosen[-1]) + 1
        if end - start <= 2 * len(chosen):  # in place with what lies between, which costs less than a copy
            offsets = segment.offsets[start : end + 1]
            packed = PackedEmbeddings(segment.vectors[offsets[0] : offsets[-1]], offsets - offsets[0])
            chosen = chosen - start
        else:
            packed = pack([segment.rows(i) for i in chosen.tolist()])
            chosen = np.arange(len(chosen))
        for i, query in enumerate(queries):
            scores[i, first : first + _SLAB] = maxsim(query.vectors, packed).scores[chosen]
    return scores


def best_of(
    query: TokenEmbeddings, scores: NDArray[np.float64], places: Sequence[Place], k: int, norm: float
) -> list[Hit]:
    """The best `k` in the order of the score that their explanations give, ties by id."""
    candidates = np.arange(len(scores))
    if len(scores) > k:
        # Rounding moves a score by less than this, so what may belong to the best by exact arithmetic is looked at.
        rounding = query.vectors.size * np.finfo(np.float32).eps * norm * float(np.abs(query.vectors).max())
        candidates = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k] - 2 * rounding)
    exact = [(-_exact(query, *places[i]), places[i][0].ids[places[i][1]], i) for i in candidates.tolist()]
    best = [places[i] for _, _, i in sorted(exact)[:k]]
    return [Hit(segment.chunk(i), explain(query, segment.document(i))) for segment, i in best]


def _exact(query: TokenEmbeddings, segment: Segment, i: int) -> float:
    """The score of `explain`, without the rest."""
    return math.fsum((query.vectors @ segment.rows(i).T).max(axis=1).tolist())
