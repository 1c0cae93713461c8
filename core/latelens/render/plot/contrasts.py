"""Two documents' scores, word by word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latelens.explanation.cells import CellMatch, place_of
from latelens.explanation.contrasting import WordGain, contrast
from latelens.explanation.matches import Explanation
from latelens.pages.page import Page
from latelens.refusals import check_texts, described
from latelens.render.plot import sheet as drawing

_MAX_WORDS = 24
_TOP, _BOTTOM = 0.7, 0.4
# Hatched as well as coloured, so that the sides stay apart in grey.
_SIDES = (("a", drawing.BLUE, ""), ("b", drawing.ORANGE, "////"))


@dataclass(frozen=True)
class _Pair:
    """One line of the picture: what a word contributes on either side, and what it matched there."""

    label: str
    is_word: bool
    values: tuple[float, float]
    found: tuple[str, str]


def plot_contrast(
    a: Explanation,
    b: Explanation,
    *,
    names: tuple[str, str] = ("A", "B"),
    page_a: Page | None = None,
    page_b: Page | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw what each word of the query contributes to two documents' scores, and the difference.

    On the left the contributions with the words that were matched, on the right what the word adds to A's lead;
    those bars sum to the gap in the title. Rows that are no word of the query stand last, in grey. Of a query
    with more than 24 words, those with the largest differences are shown, and the sum of all others. Of page images it
    says where the matches are; `page_a` and `page_b` say which words stand there.

    Raises
    ------
    ValueError
        If the two explanations are not of one query.
    """
    check_texts("names", names)
    if len(names) != 2:
        raise ValueError(f"names must be two, one for each document, got {described(names)}")
    drawing.check_room(ax, figsize)
    told = contrast(a, b, page_a=page_a, page_b=page_b)
    pairs = _pairs(told.words)
    labels = [pair.label for pair in pairs]
    y = np.cumsum([0, *(1 + 0.4 * (first.is_word != second.is_word) for first, second in pairwise(pairs))])
    left = 0.35 + drawing.width_of(labels)
    sheet = drawing.Sheet(ax, figsize, (left + 7.4, _TOP + _BOTTOM + 0.42 * (float(y[-1]) + 1.2)))
    width, height = sheet.width - left - 0.3, sheet.height - _TOP - _BOTTOM
    both = sheet.panel("contributions", left, _BOTTOM, 0.62 * width, height)
    gains = sheet.panel("gains", left + 0.64 * width, _BOTTOM, 0.36 * width, height)
    short = tuple(drawing.shorten(name, 24) for name in names)
    _draw_pairs(both, y, pairs, short)
    _draw_gains(gains, y, pairs, short)
    drawing.name_lines(both, y.tolist(), labels, [pair.is_word for pair in pairs])
    sheet.head(f"{short[0]} {a.score:.3f} − {short[1]} {b.score:.3f} = {told.gap:+.3f}", left)
    drawn = [*labels, *short, *(text for pair in pairs for text in pair.found)]
    sheet.foot("contribution of each word of the query, and what it matched" + drawing.missing_note(drawn), left)
    return sheet.figure


def _pairs(words: Sequence[WordGain]) -> list[_Pair]:
    """The words with the largest differences, in the query's order, and the sum of all others."""
    order = sorted(range(len(words)), key=lambda i: -abs(words[i].gain))
    kept = sorted(order if len(words) <= _MAX_WORDS else order[: _MAX_WORDS - 1])
    pairs = [
        _Pair(
            label=drawing.shorten(words[i].word, 24),
            is_word=words[i].query_start >= 0,
            values=(words[i].a, words[i].b),
            found=(_found(words[i].a_matched, words[i].a_cells), _found(words[i].b_matched, words[i].b_cells)),
        )
        for i in kept
    ]
    rest = [word for i, word in enumerate(words) if i not in set(kept)]
    if rest:
        sums = math.fsum(word.a for word in rest), math.fsum(word.b for word in rest)
        pairs.append(_Pair(label=f"{len(rest)} more", is_word=False, values=sums, found=("", "")))
    return pairs


def _found(matched: Sequence[str], cells: Sequence[CellMatch]) -> str:
    """The words that were matched; of a page image without them, where the cell is."""
    if cells and not matched:
        return f"({place_of(cells)})"
    return drawing.shorten(", ".join(matched), 22) if matched else "(no text)"


def _draw_pairs(ax: Axes, y: NDArray[np.float64], pairs: Sequence[_Pair], names: Sequence[str]) -> None:
    values = np.array([pair.values for pair in pairs])  # (pairs, 2) float64
    low, high = min(0.0, float(values.min())), max(0.01, float(values.max()))
    for side, (gid, colour, hatch) in enumerate(_SIDES):
        places = y + (0.4 * side - 0.2)
        ax.barh(
            places,
            values[:, side],
            height=0.38,
            color=colour,
            hatch=hatch,
            ec="white",
            lw=0,
            label=names[side],
            gid=gid,
        )
        for place, pair in zip(places.tolist(), pairs, strict=True):
            said = f"{drawing.number(pair.values[side])}  {pair.found[side]}"
            drawing.set_plain(ax.text(max(pair.values[side], 0) + 0.015 * high, place, said, va="center", fontsize=8))
    ax.set(xlim=(1.1 * low, 1.75 * high), ylim=(y[-1] + 0.6, -0.6), xticks=[])
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    legend = ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8.5, borderaxespad=0.1)
    drawing.set_plain(*legend.get_texts())


def _draw_gains(ax: Axes, y: NDArray[np.float64], pairs: Sequence[_Pair], names: Sequence[str]) -> None:
    """What each word adds to the first side's lead; to the left where the second has more."""
    gains = [pair.values[0] - pair.values[1] for pair in pairs]
    reach = max(0.01, *map(abs, gains))
    for place, gain in zip(y.tolist(), gains, strict=True):
        _, colour, hatch = _SIDES[gain < 0]
        ax.barh(place, gain, height=0.6, color=colour, hatch=hatch, ec="white", lw=0, gid="gain")
        end, align = gain + (0.04 if gain >= 0 else -0.04) * reach, "left" if gain >= 0 else "right"
        ax.text(end, place, f"{round(gain, 2) + 0.0:+.2f}", va="center", ha=align, fontsize=8)
    ax.axvline(0, color="#666666", lw=0.8)
    low, high = min(0.0, *gains), max(0.0, *gains)
    ax.set(xlim=(low - 0.5 * reach, high + 0.5 * reach), ylim=(y[-1] + 0.6, -0.6), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    drawing.set_plain(ax.set_title(f"{names[0]} − {names[1]}", fontsize=8.5, pad=4))
