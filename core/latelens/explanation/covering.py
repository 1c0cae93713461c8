"""Which parts of a document to list, sentences or regions, and which words of the query each of them answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

# Standard deviations of a document's similarities: what is a clear difference with this model.
CLEAR = 1.0


def cover(
    reached: NDArray[np.float32],
    first: int,
    weights: NDArray[np.float64],
    deviation: float,
    most: int,
    is_clear: Callable[[NDArray[np.float32]], NDArray[np.bool_]],
) -> list[int]:
    """The first part, then greedily those that match words clearly better than all the ones before.

    `reached` is what each word earns in each part, (words, parts). `is_clear` tells which parts gain enough, (parts,),
    of what each gains on those before it in standard deviations, (words, parts). Facility location, after AIR (Yadav,
    Bethard and Surdeanu, arXiv 2005.01218).
    """
    chosen, covered = [first], reached[:, first]
    while len(chosen) < most:
        gains = (reached - covered[:, None]) / deviation  # (words, parts)
        clear = is_clear(gains)
        clear[chosen] = False
        if not clear.any():
            break
        added = weights @ np.maximum(gains - CLEAR, 0)
        chosen.append(int(np.where(clear, added, -1).argmax()))
        covered = np.maximum(covered, reached[:, chosen[-1]])
    return chosen


def answered(
    words: Sequence[str], strengths: NDArray[np.float64], least: Callable[[float], float]
) -> tuple[tuple[str, ...], ...]:
    """For each part the words that it answers best, of (words, parts); a word may be answered by none.

    `least` is the strength that an answer needs, given the largest of all.
    """
    best = strengths.max(axis=1)
    owners = np.where(best >= least(float(best.max())), strengths.argmax(axis=1), -1).tolist()
    return tuple(
        tuple(word for word, owner in zip(words, owners, strict=True) if owner == place)
        for place in range(strengths.shape[1])
    )
