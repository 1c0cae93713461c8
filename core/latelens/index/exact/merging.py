"""Which segments to write anew together, so that they stay few, and deleted rows do not pile up."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from latelens.index.exact.live_segments import LiveSegment

# So many segments of similar size become one: each row is copied once for each power of it.
_FANOUT = 8
# Segments are not merged beyond so many bytes: bounds the memory and the time of one step.
_MOST_BYTES = 256 * 2**20


def next_merge(parts: Sequence[LiveSegment]) -> list[LiveSegment]:
    """The parts to write anew as one, the others may stay; empty where nothing needs to be done."""
    for part in parts:
        if 2 * part.dead.sum() > len(part.dead):
            return [part]
    for _, similar in groupby(sorted(parts, key=_bytes), key=_tier):
        group = list(similar)[:_FANOUT]
        if len(group) == _FANOUT and sum(map(_bytes, group)) <= _MOST_BYTES:
            return group
    return []


def grouped(parts: Sequence[LiveSegment]) -> list[list[LiveSegment]]:
    """All parts in groups to write as one each, none larger than `_MOST_BYTES` unless it is one part."""
    groups: list[list[LiveSegment]] = []
    size = 0
    for part in parts:
        size += _bytes(part)
        if not groups or size > _MOST_BYTES:
            groups.append([])
            size = _bytes(part)
        groups[-1].append(part)
    return groups


def _bytes(part: LiveSegment) -> int:
    return part.segment.stored.nbytes


def _tier(part: LiveSegment) -> int:
    """Sizes within a factor of `_FANOUT`, which is three bits."""
    return _bytes(part).bit_length() // 3
