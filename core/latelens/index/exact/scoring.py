"""Brute force: MaxSim with every chunk of a segment that is asked for, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import explain
from latelens.index.exact.live_segments import Place
from latelens.index.exact.segments import Segment
from latelens.index.protocol import Hit
from latelens.index.scoring import exact_score, may_be_best, rounding
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
    chosen = [places[i] for i in may_be_best(scores, k, rounding(query.vectors, norm)).tolist()]

    def order(place: Place) -> tuple[float, str]:
        segment, i = place
        return -exact_score(query.vectors, segment.rows(i)), segment.ids[i]

    best = sorted(chosen, key=order)[:k]
    return [Hit(segment.chunk(i), explain(query, segment.document(i))) for segment, i in best]
