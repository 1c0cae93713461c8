"""Pieces of a text written anew, and where everything else stands then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Edit:
    """`text` in the place of ``answer[start:end]``; several are in order and disjoint."""

    start: int
    end: int
    text: str

    def moved(self, by: int) -> Edit:
        """The same edit in a text with so many characters before this one."""
        return replace(self, start=self.start + by, end=self.end + by)


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with the edits made.

    >>> edited("They eat [1].", [Edit(8, 12, "[2]")])
    'They eat[2].'
    """
    pieces, reached = [], 0
    for edit in edits:
        pieces += [text[reached : edit.start], edit.text]
        reached = edit.end
    return "".join([*pieces, text[reached:]])


def edits_within(edits: Sequence[Edit], start: int, end: int) -> list[Edit]:
    """The edits of a part of the text, in characters of the part; one that begins before it writes nothing there."""
    return [
        Edit(max(edit.start, start) - start, min(edit.end, end) - start, edit.text if edit.start >= start else "")
        for edit in edits
        if edit.start < end and edit.end > start
    ]


def place_after(position: int, edits: Sequence[Edit], *, begins: bool = False) -> int:
    """Where a position stands once the edits are made.

    One inside an edit goes before what is written there, or behind it if a span `begins` at the position.
    """
    shift = 0
    for edit in edits:
        if edit.end > position:
            if edit.start < position:
                return edit.start + shift + (len(edit.text) if begins else 0)
            break
        shift += len(edit.text) - (edit.end - edit.start)
    return position + shift
