"""Which windows go through a model together, and how wide their batch is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# A mixed batch closes early rather than spend more than this share of its tokens on padding.
_MAX_PADDING = 0.1
_NARROWEST = 8


class PlannedWindow(NamedTuple):
    """A slice to encode: characters ``[start, end)`` of the text with this index, and its number of tokens."""

    text: int
    start: int
    end: int
    tokens: int


def padded_width(tokens: int, limit: int) -> int:
    """How wide the batch of a document's window is made: a multiple of 8 and at most an eighth more, up to `limit`.

    >>> [padded_width(tokens, 250) for tokens in (3, 60, 100, 200, 250)]
    [8, 64, 104, 208, 250]
    """
    step = max(_NARROWEST, 1 << max(tokens.bit_length() - 4, 0))
    return max(tokens, min(-(-tokens // step) * step, limit))


def even_batches(
    windows: Sequence[PlannedWindow], widths: Sequence[int], size: int
) -> Iterator[tuple[list[PlannedWindow], int]]:
    """Group windows of one width each, the widest first: `widths` says how wide each is made.

    On a CPU a row then has the same bits whatever else is in its batch: of 480 rows of the offline model, batches of
    2, 3 and 8 changed none, while padding to the longest of a batch moved all by up to 5e-7.
    """
    groups: dict[int, list[PlannedWindow]] = defaultdict(list)
    for window, width in zip(windows, widths, strict=True):
        groups[width].append(window)
    for width, group in sorted(groups.items(), reverse=True):
        yield from ((group[first : first + size], width) for first in range(0, len(group), size))


def mixed_batches(windows: Sequence[PlannedWindow], size: int) -> Iterator[list[PlannedWindow]]:
    """Group windows from long to short, so that padding stays under `_MAX_PADDING` of a batch: few, large batches."""
    batch: list[PlannedWindow] = []
    tokens = 0
    for window in sorted(windows, key=lambda window: -window.tokens):
        if batch:
            padded = (len(batch) + 1) * max(batch[0].tokens, 1)
            if len(batch) == size or padded - tokens - window.tokens > _MAX_PADDING * padded:
                yield batch
                batch, tokens = [], 0
        batch.append(window)
        tokens += window.tokens
    if batch:
        yield batch
