"""Brute force: MaxSim with every chunk of a segment that is asked for, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import explain
from latelens.index.exact.segments import Segment
from latelens.index.protocol import Hit
from latelens.index.scoring import exact_score, rounding
from latelens.maxsim import PackedEmbeddings, maxsim, pack
from latelens.rounded import RoundedRows, pays
from latelens.shortlist import LEAST_ROWS, MOST_WANTED, KeptRounded, may_be_best

# Chunks whose rows are scored for all queries before the next are touched.
_SLAB = 1024

Chosen = tuple[Segment, NDArray[np.intp]]  # a segment, and the positions of the chunks to score in it


class RoundedSegments:
    """Segments that were searched often, rounded to bfloat16."""

    def __init__(self) -> None:
        self.kept: KeptRounded[Segment] = KeptRounded(lambda segment: segment.checked, lambda segment: segment.norm)

    def of(self, segment: Segment, queries: int) -> RoundedRows | None:
        """The rows of a segment that is now searched with so many queries more; None where they are not rounded."""
        if len(segment.stored) < LEAST_ROWS or not pays():
            return None
        return self.kept.of([segment], queries)[0]


def candidates(
    queries: Sequence[TokenEmbeddings], chosen: Sequence[Chosen], k: int, near: RoundedSegments
) -> list[NDArray[np.intp]]:
    """For each query the chunks that may be among its best `k`, as positions in all that are chosen."""
    total = sum(len(positions) for _, positions in chosen)
    scores, errors = np.empty((len(queries), total)), np.empty((len(queries), total))
    first = 0
    for segment, positions in chosen:
        last = first + len(positions)
        most = 2 * len(positions) > len(segment) and k <= MOST_WANTED * total
        rows = near.of(segment, len(queries)) if most else None
        if rows is None:
            scores[:, first:last] = scores_of(queries, segment, positions)
            errors[:, first:last] = [[rounding(query.vectors, segment.norm)] for query in queries]
        else:
            for i, query in enumerate(queries):
                found, error = rows.maxsim(query.vectors, segment.offsets)
                scores[i, first:last], errors[i, first:last] = found[positions], error[positions]
        first = last
    return [may_be_best(scores[i], k, errors[i]) for i in range(len(queries))]


def scores_of(queries: Sequence[TokenEmbeddings], segment: Segment, positions: NDArray[np.intp]) -> NDArray[np.float64]:
    """MaxSim of each query with the chunks at these positions, (queries, positions) float64."""
    scores = np.empty((len(queries), len(positions)))
    for first in range(0, len(positions), _SLAB):
        chosen = positions[first : first + _SLAB]
        start, end = int(chosen[0]), int(chosen[-1]) + 1
        if end - start <= 2 * len(chosen):  # in place with what lies between, which costs less than a copy
            offsets = segment.offsets[start : end + 1]
            packed = PackedEmbeddings(segment.checked[offsets[0] : offsets[-1]], offsets - offsets[0])
            chosen = chosen - start
        else:
            packed = pack([segment.rows(i) for i in chosen.tolist()])
            chosen = np.arange(len(chosen))
        for i, query in enumerate(queries):
            scores[i, first : first + _SLAB] = maxsim(query.vectors, packed).scores[chosen]
    return scores


def best_of(query: TokenEmbeddings, found: NDArray[np.intp], chosen: Sequence[Chosen], k: int) -> list[Hit]:
    """The best `k` of some of the chunks, in the order of the score that their explanations give, ties by id."""
    edges = np.cumsum([0, *(len(positions) for _, positions in chosen)])
    parts = (edges.searchsorted(found, side="right") - 1).tolist()
    places = [
        (chosen[part][0], int(chosen[part][1][i - edges[part]])) for part, i in zip(parts, found.tolist(), strict=True)
    ]

    def order(place: tuple[Segment, int]) -> tuple[float, str]:
        segment, i = place
        return -exact_score(query.vectors, segment.rows(i)), segment.ids[i]

    best = sorted(places, key=order)[:k]
    return [Hit(segment.chunk(i), explain(query, segment.document(i))) for segment, i in best]
