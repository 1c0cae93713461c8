"""A ranking in which each bar is the sum of its words."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

from latelens.explanation.results import Ranked
from latelens.refusals import check_count
from latelens.render.ledger import LedgerLine, ledger, one_query
from latelens.render.plot import sheet as drawing

_TOP, _BOTTOM = 0.45, 0.5
# Inches of tick labels: five letters, a little smaller, are as long as a bar is high.
_UPRIGHT = 0.36


def plot_ranking(
    ranked: Sequence[Ranked],
    *,
    top: int = 10,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    scale: tuple[float, float] | None = None,
) -> Figure:
    """Draw the best documents of a ranking as bars that are made of the query's words.

    Each piece is as long as the word's contribution and as warm as its mean similarity, on the scale of all
    pictures of the query; the pieces of a bar sum to the score beside it. Rows that are no word of the query are
    hatched, at the end. The number after ``#`` is the document's position in the input.

    Raises
    ------
    ValueError
        If `ranked` is empty, or not of one query.
    """
    check_count("top", top)
    drawing.check_room(ax, figsize, scale)
    query = one_query(ranked)
    shown = ranked[:top]
    labels = [f"{i}.  #{item.index}  {_opening(item)}" for i, item in enumerate(shown, 1)]
    left = 0.35 + drawing.width_of(labels)
    sheet = drawing.Sheet(ax, figsize, (left + 7.2, _TOP + _BOTTOM + 0.48 * len(shown)))
    width = sheet.width - left - 0.2
    bars = sheet.panel("ranking", left, _BOTTOM, width, sheet.height - _TOP - _BOTTOM)
    _draw_stacks(bars, shown, drawing.colour_range(query, scale), width)
    drawing.name_lines(bars, range(len(shown)), labels, [True] * len(shown))
    title = drawing.shorten(query.text, max(10, int(width / 0.085) - 16))
    sheet.head(f"scores for “{title}”", left)
    more = f"; the best {len(shown)} of {len(ranked)}" if len(shown) < len(ranked) else ""
    caption = f"length: contribution of a word; colour: its mean similarity; hatched: rows that are no word{more}"
    sheet.foot(caption + drawing.missing_note([*labels, title]), left)
    return sheet.figure


def _opening(item: Ranked) -> str:
    return drawing.shorten(item.explanation.document.text if item.page is None else item.page.name, 30)


def _draw_stacks(ax: Axes, shown: Sequence[Ranked], colours: Normalize, width: float) -> None:
    ledgers = [ledger(item.explanation) for item in shown]
    ends = [sum(max(line.contribution, 0.0) for line in lines) for lines in ledgers]
    lowest = min(sum(min(line.contribution, 0.0) for line in lines) for lines in ledgers)
    low, high = 1.02 * lowest, 1.1 * max(0.01, *ends)
    for y, (item, lines, end) in enumerate(zip(shown, ledgers, ends, strict=True)):
        _draw_stack(ax, y, lines, colours, width / (high - low))
        ax.text(end + 0.01 * high, y, f"{item.score:.2f}", va="center", fontsize=9, weight="bold", gid="score")
    ax.set(xlim=(low, high), ylim=(len(shown) - 0.45, -0.55), xticks=[])
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_stack(ax: Axes, y: int, lines: Sequence[LedgerLine], colours: Normalize, inch: float) -> None:
    """One bar: positive contributions to the right of 0, negative ones to the left."""
    ends = [0.0, 0.0]
    for line in lines:
        value, side = line.contribution, line.contribution < 0
        colour: ColorType = drawing.COLOURS(colours(value / len(line.matches))) if line.is_word else "#ececec"
        hatch, edge = ("", "#444444") if line.is_word else ("////", "#b0b0b0")
        room = abs(value) * inch
        line_width = 0.6 if room > 0.08 else 0.15  # else a bar of a hundred words is all borders
        ax.barh(y, value, left=ends[side], height=0.74, color=colour, hatch=hatch, ec=edge, lw=line_width, gid="piece")
        _name_piece(ax, (ends[side] + value / 2, y), line, room, drawing.ink_on(colour))
        ends[side] += value


def _name_piece(ax: Axes, place: tuple[float, float], line: LedgerLine, room: float, ink: str) -> None:
    """The word inside its piece: across, upright where the piece is narrow, left out where there is no room."""
    label = drawing.shorten(line.label, 16)
    across = 0.85 * drawing.width_of([label]) + 0.03 < room
    if not across:
        label = _upright(line.label) if room > 0.14 else ""
    text = ax.text(*place, label, ha="center", va="center", fontsize=8, rotation=0 if across else 90, color=ink)
    drawing.set_plain(text)
    if not line.is_word:
        text.set_bbox({"fc": "#ececec", "ec": "none", "pad": 1})


def _upright(label: str) -> str:
    """What of a word is no longer than a bar is high."""
    if drawing.width_of([label]) <= _UPRIGHT:
        return label
    cut = (drawing.shorten(label, most) for most in (4, 3, 2))
    return next(text for text in cut if drawing.width_of([text]) < _UPRIGHT)
