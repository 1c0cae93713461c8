"""Where a quoted text stands in a longer one that another program extracted from the same page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Seeds are pieces of the quote that are looked up in the text; nine letters rarely meet by chance.
_SEED, _STEP = 9, 4
# A seed that stands in more places tells nothing of where the quote is.
_OCCURRENCES = 16
_CANDIDATES = 4
# Characters that may stand between two parts of a quote: a page's footnotes and the next page's head, or the lines of
# the other columns.
_REACH = 1_500
# Matches that are shorter, and stand alone, are chance.
_RUN = 8
_LINK = 4


class Laid(NamedTuple):
    """One way to lay a quote over a text.

    Attributes
    ----------
    places
        (len(quote),) int32: the character of the text that stands for each of the quote, -1 where none does.
    share
        Of the quote's own characters, 0..1.
    around
        Of the characters around it.
    """

    places: NDArray[np.int32]
    share: float
    around: float


def exact_matches(text: str, whole: str, start: int, end: int) -> list[Laid]:
    """All places where ``whole[start:end]`` stands as it is, those first whose surroundings are most alike."""
    quote = whole[start:end]
    found = []
    for at in _occurrences(text, quote, most=200):
        places = np.full(len(whole), -1, dtype=np.int32)
        before = _common(whole[:start][::-1], text[max(0, at - start) : at][::-1])
        after = _common(whole[end:], text[at + len(quote) : at + len(quote) + len(whole) - end])
        places[start - before : end + after] = np.arange(at - before, at + len(quote) + after)
        around = (before + after) / max(len(whole) - len(quote), 1)
        found.append(Laid(places, 1.0, around))
    return sorted(found, key=lambda match: -match.around)


def near_matches(text: str, whole: str, start: int, end: int) -> list[Laid]:
    """Places where most of ``whole[start:end]`` stands, the best first, each another part of the text."""
    found = []
    for low, high in _windows(text, whole):
        match = _laid(text[low:high], whole, start, end, shift=low)
        if match.share > 0:
            found.append(match)
    found.sort(key=lambda match: (-match.share, -match.around))
    kept: list[Laid] = []
    for match in found:
        if not any(_same(match, other, start, end) for other in kept):
            kept.append(match)
    return kept


def _same(a: Laid, b: Laid, start: int, end: int) -> bool:
    """Whether two matches lie on the same characters of the text."""
    both = np.intersect1d(a.places[start:end], b.places[start:end])
    return bool((both >= 0).any())


def _occurrences(text: str, piece: str, *, most: int) -> list[int]:
    found: list[int] = []
    at = text.find(piece)
    while at >= 0 and len(found) <= most:
        found.append(at)
        at = text.find(piece, at + 1)
    return found


def _common(a: str, b: str) -> int:
    """How many characters two strings begin with in common."""
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)


def _windows(text: str, whole: str) -> Iterator[tuple[int, int]]:
    """Parts of the text that share many seeds with the quote, the most promising first."""
    seeds: list[tuple[int, list[int]]] = []
    for i in range(0, max(len(whole) - _SEED, 0) + 1, _STEP):
        at = _occurrences(text, whole[i : i + _SEED], most=_OCCURRENCES)
        if 0 < len(at) <= _OCCURRENCES:
            seeds.append((i, at))
    width = max(32, len(whole) // 8)
    votes: Counter[int] = Counter()
    for i, at in seeds:
        for cell in {(j - i) // width for j in at}:
            votes[cell] += 2
            votes[cell - 1] += 1
            votes[cell + 1] += 1
    margin = 48 + len(whole) // 8
    taken: list[tuple[int, int]] = []
    most = max(votes.values(), default=0)
    for cell, count in votes.most_common(8 * _CANDIDATES):
        if 2 * count < most:
            return
        middle = cell * width + width // 2
        if any(low <= middle <= high for low, high in taken):
            continue
        nearest = [min((j - i for j in at), key=lambda diagonal: abs(diagonal - middle)) for i, at in seeds]
        near = [diagonal for diagonal in nearest if abs(diagonal - middle) <= _REACH]
        taken.append((middle - width, middle + width))
        yield max(0, min(near) - margin), min(len(text), max(near) + len(whole) + margin)
        if len(taken) == _CANDIDATES:
            return


def _laid(text: str, whole: str, start: int, end: int, *, shift: int) -> Laid:
    """Align the quote, with what stands around it, with one part of the text."""
    from rapidfuzz.distance import Levenshtein

    blocks = [
        (operation.src_start, operation.dest_start, operation.src_end - operation.src_start)
        for operation in Levenshtein.opcodes(whole, text)
        if operation.tag == "equal"
    ]
    places = np.full(len(whole), -1, dtype=np.int32)
    for chain in _chains(blocks):
        for i, j, length in _grown(chain, whole, text):
            places[i : i + length] = np.arange(j, j + length)
    _fill(places, whole, text)
    places[places >= 0] += shift
    hit = places >= 0
    share = float(hit[start:end].mean()) if end > start else 0.0
    outside = len(whole) - (end - start)
    around = float(hit.sum() - hit[start:end].sum()) / max(outside, 1)
    return Laid(places, share, around)


def _fill(places: NDArray[np.int32], whole: str, text: str) -> None:
    """Place parts of the quote that stand between its placed neighbours as they are, where the edit scattered them."""
    hit = np.flatnonzero(places >= 0)
    edges = [(-1, -1), *zip(hit.tolist(), places[hit].tolist(), strict=True), (len(whole), len(text))]
    for (a, low), (b, high) in pairwise(edges):
        if b - a - 1 >= _LINK:
            piece = whole[a + 1 : b]
            at = text.find(piece, low + 1, high)
            if at >= 0 and text.find(piece, at + 1, high) < 0:
                places[a + 1 : b] = np.arange(at, at + len(piece))


def _chains(blocks: list[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """Runs of equal blocks with small differences between, long enough not to be chance."""
    chain: list[tuple[int, int, int]] = []
    for block in [*blocks, None]:
        if chain and block is not None:
            i, j, length = chain[-1]
            if block[0] - i - length <= _LINK and block[1] - j - length <= _LINK:
                chain.append(block)
                continue
        if chain and sum(length for _, _, length in chain) >= _RUN and max(length for _, _, length in chain) >= _LINK:
            yield chain
        chain = [] if block is None else [block]


def _grown(chain: list[tuple[int, int, int]], whole: str, text: str) -> list[tuple[int, int, int]]:
    """The chain, its ends grown while the characters agree: the shortest edit may have taken them from elsewhere."""
    i, j, length = chain[0]
    while i and j and whole[i - 1] == text[j - 1]:
        i, j, length = i - 1, j - 1, length + 1
    grown = [(i, j, length), *chain[1:]]
    i, j, length = grown[-1]
    while i + length < len(whole) and j + length < len(text) and whole[i + length] == text[j + length]:
        length += 1
    grown[-1] = (i, j, length)
    return grown
