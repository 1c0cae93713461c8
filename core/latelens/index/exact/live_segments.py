"""Segments as they count at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from latelens.index.exact.segment_file import SegmentFile
from latelens.index.exact.segments import Draft, Segment

Place = tuple[Segment, int]


@dataclass(frozen=True, eq=False)
class LiveSegment:
    """A segment as it counts now.

    Attributes
    ----------
    segment
        The chunks.
    dead
        (chunks,) bool: those that were deleted or replaced.
    file
        What the manifest keeps of it; None in memory.
    """

    segment: Segment
    dead: NDArray[np.bool_]
    file: SegmentFile | None = None

    @property
    def count(self) -> int:
        """How many chunks count."""
        return len(self.dead) - int(np.count_nonzero(self.dead))

    @property
    def live(self) -> NDArray[np.intp]:
        """Positions of the chunks that count."""
        return np.flatnonzero(~self.dead)


def without(parts: Sequence[LiveSegment], doomed: Iterable[Place]) -> tuple[LiveSegment, ...]:
    """The parts with these chunks dead."""
    positions: dict[Segment, list[int]] = {}
    for segment, i in doomed:
        positions.setdefault(segment, []).append(i)
    return tuple(_with_dead(part, positions[part.segment]) if part.segment in positions else part for part in parts)


def _with_dead(part: LiveSegment, positions: list[int]) -> LiveSegment:
    dead = part.dead.copy()
    dead[positions] = True
    return replace(part, dead=dead)


def drafted(parts: Iterable[LiveSegment]) -> Draft:
    """The chunks that count, to be written anew."""
    draft = Draft()
    for part in parts:
        draft.take(part.segment, part.live.tolist())
    return draft
