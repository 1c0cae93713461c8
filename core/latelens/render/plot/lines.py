"""A text laid out in lines of character cells: where each character stands, and which lines to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.render.plot.sheet import is_wide

# A line may break after white space, and on both sides of a character of a script that puts no spaces.
_PIECE = regex.compile(
    r"\r\n|[\n\v\f\r\x85\u2028\u2029]|[^\S\n\v\f\r\x85\u2028\u2029]+|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]\p{M}*"
    r"|[^\s\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]+"
)
_LINE_ENDS = frozenset("\n\v\f\r\x85\u2028\u2029")


class Run(NamedTuple):
    """Characters ``[start, end)`` that stand on one line, from one cell to another."""

    line: int
    left: int
    right: int
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Lines:
    """Places of a text's characters, in cells.

    Attributes
    ----------
    line, column
        (characters,) int: the line and the cell that each character begins in.
    width
        (characters,) int: cells that each takes: 0 for white space at a line's end, accents and controls.
    """

    line: NDArray[np.intp]
    column: NDArray[np.intp]
    width: NDArray[np.intp]

    @property
    def count(self) -> int:
        """How many lines the text takes."""
        return int(self.line.max(initial=-1)) + 1

    def runs(self, start: int, end: int) -> list[Run]:
        """The pieces, one a line, that characters ``[start, end)`` stand in; those without width are left out."""
        seen = start + np.flatnonzero(self.width[start:end])
        lines, firsts = np.unique(self.line[seen], return_index=True)
        pieces = np.split(seen, firsts[1:]) if len(seen) else []
        return [
            Run(line, int(self.column[a]), int(self.column[b] + self.width[b]), a, b + 1)
            for line, (a, b) in zip(lines.tolist(), ((int(p[0]), int(p[-1])) for p in pieces), strict=True)
        ]


def wrap(text: str, columns: int) -> Lines:
    """Lay a text out in lines of `columns` cells, breaking between words and where the text does."""
    cells = np.array([_cells(character) for character in text], dtype=np.intp)
    lines, columns_of = np.zeros(len(text), dtype=np.intp), np.zeros(len(text), dtype=np.intp)
    line = column = 0
    for match in _PIECE.finditer(text):
        start, end = match.span()
        taken = int(cells[start:end].sum())
        if text[start] in _LINE_ENDS:
            cells[start:end] = 0
            lines[start:end], columns_of[start:end] = line, column
            line, column = line + 1, 0
            continue
        if column and column + taken > columns and not text[start].isspace():
            line, column = line + 1, 0
        for i in range(start, end):  # a piece longer than a line is cut
            if column + cells[i] > columns:
                if text[i].isspace():
                    cells[i] = 0
                else:
                    line, column = line + 1, 0
            lines[i], columns_of[i] = line, column
            column += int(cells[i])
    return Lines(_without_blank_stretches(lines), columns_of, cells)


def _cells(character: str) -> int:
    if regex.match(r"[\p{M}\p{Cf}\p{Cc}]", character):
        return int(character == "\t")
    return 2 if is_wide(character) else 1


def _without_blank_stretches(lines: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the lines anew with at most one blank line between two."""
    used = np.unique(lines)
    steps = np.minimum(np.diff(used, prepend=used[:1]), 2)
    renumbered: NDArray[np.intp] = np.cumsum(steps)[used.searchsorted(lines)]
    return renumbered


def choose_lines(weights: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """The lines to show: those that weigh most, then those nearest to them, counting a mark for each gap."""
    total = len(weights)
    if total <= most:
        return np.arange(total)
    heavy = np.flatnonzero(weights)
    distance = np.abs(np.arange(total)[:, None] - (heavy if len(heavy) else np.array([0]))).min(axis=1)
    order = np.lexsort((np.arange(total), distance, -weights))
    for count in range(most, 0, -1):
        shown = np.sort(order[:count])
        gaps = np.count_nonzero(np.diff(shown) > 1) + (shown[0] > 0) + (shown[-1] < total - 1)
        if count + gaps <= most:
            lonely = shown[:-1][np.diff(shown) == 2] + 1  # a mark for one line would take that line's place
            return np.union1d(shown, lonely)
    return order[:1]
