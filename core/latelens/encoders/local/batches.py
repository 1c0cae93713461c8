"""Which windows go through the model together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

# A batch closes early rather than spend more than this share of its tokens on padding.
_MAX_PADDING = 0.1


class PlannedWindow(NamedTuple):
    """A slice to encode: characters ``[start, end)`` of the text with this index, and its number of tokens."""

    text: int
    start: int
    end: int
    tokens: int


def batches(windows: Sequence[PlannedWindow], batch_size: int) -> Iterator[list[PlannedWindow]]:
    """Group windows, sorted from long to short, so that padding stays under `_MAX_PADDING` of a batch."""
    batch: list[PlannedWindow] = []
    tokens = 0
    for window in windows:
        if batch:
            padded = (len(batch) + 1) * max(batch[0].tokens, 1)
            if len(batch) == batch_size or padded - tokens - window.tokens > _MAX_PADDING * padded:
                yield batch
                batch, tokens = [], 0
        batch.append(window)
        tokens += window.tokens
    if batch:
        yield batch
