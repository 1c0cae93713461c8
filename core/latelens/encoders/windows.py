"""Reading a text that is longer than the model's window: overlapping windows on token and word boundaries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from latelens.text.characters import character_edges, trim_to_visible

# Share of a window that repeats the end of the one before, so that no token lacks context on both sides.
_OVERLAP = 1 / 8
# How far back from a full window to look for the start of a word.
_BACK_OFF = 1 / 4


def plan_windows(
    text: str, offsets: NDArray[np.int32], limit: int, tokenize: Callable[[str], NDArray[np.int32]]
) -> list[tuple[int, int, int]]:
    """Cut a text into windows that the model reads whole, each at most `limit` tokens.

    `offsets`, (tokens, 2) int32, are the spans in the text of all tokens that the model gets for it; those of
    control tokens and of the prompt end at 0. `tokenize` gives them for a slice. Returns ``(start, end, tokens)``:
    where there are several, they leave out nothing but white space. A slice can hold more tokens than the same
    characters did in the whole text, so every window is counted again and, where needed, cut again. Only a single
    character of more than `limit` tokens cannot be read whole.
    """
    if len(offsets) <= limit or len(text) < 2:
        return [(0, len(text), len(offsets))]
    # PyLate strips what it reads, and to a byte-level tokenizer a word after a space is another token: windows
    # without white space at their ends are read alike by both backends.
    whole = trim_to_visible(text, 0, len(text))
    slices = _cut(text, offsets, limit) if whole == (0, len(text)) else [whole]
    windows: list[tuple[int, int, int]] = []
    for start, end in (trim_to_visible(text, *each) for each in slices):
        if start == end and windows:
            continue
        piece = text[start:end]
        again = plan_windows(piece, tokenize(piece), limit, tokenize)
        windows.extend((start + a, start + b, n) for a, b, n in again)
    return windows


def _cut(text: str, offsets: NDArray[np.int32], limit: int) -> list[tuple[int, int]]:
    """Spread the tokens evenly over few overlapping slices, each shorter than the text."""
    content = offsets[offsets[:, 1] > 0]
    capacity = max(1, limit - (len(offsets) - len(content)))
    cuts = _token_starts(text, content)
    if not len(cuts):  # one character of more tokens than the model takes: better cut than dropped
        return [(0, len(text) // 2), (len(text) // 2, len(text))]
    position = content[:, 0]
    overlap = int(capacity * _OVERLAP)
    n, first, start = len(content), 0, 0
    spans: list[tuple[int, int]] = []
    # `first` is the token that the next slice begins with; the last cut leaves at least one token after it.
    while n - first > capacity and first < cuts[-1]:
        size = _even_size(n - first, capacity, overlap)
        end = _cut_before(text, position, cuts, first + size, first, back_off=int(size * _BACK_OFF))
        spans.append((start, int(position[end])))
        first = _cut_before(text, position, cuts, end - overlap, first, back_off=overlap)
        start = int(position[first])
    return [*spans, (start, len(text))]


def _even_size(tokens: int, capacity: int, overlap: int) -> int:
    """Tokens of each slice when as few slices as possible share the work: no stub without context at the end."""
    slices = -(-(tokens - overlap) // (capacity - overlap))
    return min(capacity, -(-(tokens + (slices - 1) * overlap) // slices))


def _token_starts(text: str, content: NDArray[np.int32]) -> NDArray[np.intp]:
    """Tokens that a slice may begin with: no token before shares their text, nor their emoji or accented letter."""
    ends = np.maximum.accumulate(content[:, 1])
    apart = np.flatnonzero((content[1:, 0] >= ends[:-1]) & (content[1:, 0] > content[:-1, 0])) + 1
    begins = content[apart, 0]
    inside = (begins > 0) & (begins < len(text)) & np.isin(begins, character_edges(text))
    starts: NDArray[np.intp] = apart[inside]
    return starts


def _cut_before(
    text: str, position: NDArray[np.int32], cuts: NDArray[np.intp], token: int, floor: int, *, back_off: int
) -> int:
    """The last cut up to `token` and after `floor`, best one at a word; failing that, the first after `floor`."""
    low = int(np.searchsorted(cuts, floor, side="right"))
    high = int(np.searchsorted(cuts, token, side="right"))
    for candidate in cuts[low:high][::-1]:
        if candidate < token - back_off:
            break
        begin = int(position[candidate])
        if text[begin - 1].isspace() or text[begin].isspace():
            return int(candidate)
    return int(cuts[max(low, high - 1)])
