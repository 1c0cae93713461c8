"""Which parts of documents to list, sentences or regions, and which words of the query each of them answers.

The parts of all documents are laid end to end: document ``i`` owns parts ``edges[i]:edges[i + 1]``, never none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.explanation.segments import first_largest, largest, weighted

# Standard deviations of a document's similarities: what is a clear difference with this model.
CLEAR = 1.0


def cover(
    reached: NDArray[np.float32],
    edges: NDArray[np.intp],
    firsts: NDArray[np.intp],
    weights: NDArray[np.float64],
    deviations: NDArray[np.float64],
    most: int,
    is_clear: Callable[[NDArray[np.float32]], NDArray[np.bool_]],
) -> list[list[int]]:
    """For each document the first part, then greedily those that match words clearly better than all before.

    `reached` is what each word earns in each part, (words, parts); `firsts` and `deviations` are each document's.
    `is_clear` tells which parts gain enough, (parts,), of what each gains on those before it in standard deviations,
    (words, parts): of two parts, never only the one that gains less in every word. Facility location, after AIR
    (Yadav, Bethard and Surdeanu, arXiv 2005.01218).
    """
    chosen = [[first] for first in firsts.tolist()]
    covered = reached[:, firsts]  # (words, documents)
    spread = deviations.astype(np.float32)
    others = np.ones(edges[-1], dtype=bool)
    others[firsts] = False
    parts = others.nonzero()[0]
    if not len(parts):  # documents of one part each
        return chosen
    owners = edges.searchsorted(parts, side="right") - 1
    for _ in range(most - 1):
        gains = (reached[:, parts] - covered[:, owners]) / spread[owners]  # (words, parts)
        clear = is_clear(gains)  # what gains too little, gains no more later
        parts, owners, gains = parts[clear], owners[clear], gains[:, clear]
        if not len(parts):
            break
        begins = np.append(np.flatnonzero(np.diff(owners, prepend=-1)), len(owners))
        best = first_largest(weighted(weights, np.maximum(gains - CLEAR, 0)), begins)
        owner, part = owners[best], parts[best]
        covered[:, owner] = np.maximum(covered[:, owner], reached[:, part])
        for document, found in zip(owner.tolist(), part.tolist(), strict=True):
            chosen[document].append(found)
        parts, owners = np.delete(parts, best), np.delete(owners, best)
    return chosen


def answered(
    words: Sequence[str],
    strengths: NDArray[np.float64],
    edges: NDArray[np.intp],
    least: Callable[[NDArray[np.float64]], NDArray[Any]],
) -> list[tuple[str, ...]]:
    """For each part the words that it answers best in its document, of (words, parts); none may answer a word.

    `least` is the strength that an answer needs, (documents,), given the largest of all words.
    """
    best = largest(strengths, edges)  # (words, documents)
    rows, documents = (best >= least(best.max(axis=0))).nonzero()
    owns = np.zeros(strengths.shape, dtype=bool)
    owns[rows, first_largest(strengths, edges)[rows, documents]] = True
    return [tuple(compress(words, column)) for column in owns.T.tolist()]
