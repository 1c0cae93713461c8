"""Reading a text that is longer than the model's window: overlapping windows on token and word boundaries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Share of a window that repeats the end of the one before, so that no token lacks context on both sides.
_OVERLAP = 1 / 8
# How far back from a full window to look for the start of a word.
_BACK_OFF = 1 / 4


def plan_windows(
    text: str, offsets: NDArray[np.int32], capacity: int, tokenize: Callable[[str], NDArray[np.int32]]
) -> list[tuple[int, int, int]]:
    """Cut a text into windows that each hold at most `capacity` tokens.

    `offsets`, (tokens, 2) int32, are the character spans of the text's tokens, and `tokenize` gives them for a
    slice. Returns ``(start, end, tokens)``, characters of the text: the first window starts at 0, the last one
    ends at ``len(text)``, and no character lies between two windows. A slice can hold more tokens than the same
    characters did in the whole text, so every window is counted again and, where needed, cut again.
    """
    if len(offsets) <= capacity:
        return [(0, len(text), len(offsets))]
    windows: list[tuple[int, int, int]] = []
    for start, end in _cut(text, offsets, capacity):
        inner = tokenize(text[start:end])
        if len(inner) <= capacity or end - start <= 1 or (start, end) == (0, len(text)):
            windows.append((start, end, len(inner)))
        else:
            again = plan_windows(text[start:end], inner, capacity, tokenize)
            windows.extend((start + a, start + b, n) for a, b, n in again)
    return windows


def _cut(text: str, offsets: NDArray[np.int32], capacity: int) -> list[tuple[int, int]]:
    """Spread the tokens evenly over as few windows as the overlap allows: no stub without context at the end."""
    overlap = int(capacity * _OVERLAP)
    n, first = len(offsets), 0
    spans: list[tuple[int, int]] = []
    start = 0
    while n - first > capacity:
        left = n - first
        windows = -(-(left - overlap) // (capacity - overlap))
        size = min(capacity, -(-(left + (windows - 1) * overlap) // windows))
        last = _word_start(text, offsets, first + size, floor=first + size - int(size * _BACK_OFF))
        spans.append((start, max(int(offsets[last, 0]), start + 1)))
        first = max(first + 1, _word_start(text, offsets, last - overlap, floor=last - 2 * overlap))
        start = min(int(offsets[first, 0]), spans[-1][1])
    spans.append((start, len(text)))
    return spans


def _word_start(text: str, offsets: NDArray[np.int32], token: int, *, floor: int) -> int:
    """The last token at or before `token`, and after `floor`, that begins after white space; else `token`."""
    for candidate in range(token, max(floor, 0), -1):
        begin = int(offsets[candidate, 0])
        if begin and (text[begin - 1].isspace() or text[begin].isspace()):
            return candidate
    return token
