"""A document as text, each word as warm as its best similarity, with the evidence underlined."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from latelens.explanation.evidence import EvidenceSpan, find_evidence
from latelens.explanation.matches import Explanation
from latelens.refusals import check_count, check_is
from latelens.render.ledger import DocumentHeat, document_heat, ledger
from latelens.render.plot import sheet as drawing
from latelens.render.plot.lines import Lines, Run, choose_lines, wrap

_FONT = 9.0
_CELL = 0.62 * _FONT / 72  # inches: DejaVu Sans Mono is 0.602 em wide, and whole pixels can make it wider
_LINE = 1.85 * _FONT / 72
_SIDE, _TOP, _BOTTOM, _OVERVIEW = 0.3, 0.45, 0.55, 1.05
_BINS = 160
_SHORT = 4  # lines that need no overview


def plot_document(
    explanation: Explanation,
    *,
    evidence: Sequence[EvidenceSpan] | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    scale: tuple[float, float] | None = None,
    max_lines: int = 36,
) -> Figure:
    """Draw the document's text, wrapped, with each word as warm as its best similarity with a word of the query.

    Frames are the words that hold a match; lines under the text are the evidence, thick under its phrase. Above
    the text, an overview of the whole document shows where it is warm. A text of more than `max_lines` lines
    shows those with matches and evidence and the lines around them, and says how many it leaves out. The warmth
    is not the score; `plot_similarity` shows the terms of the sum. Right-to-left scripts are set from the left,
    word by word.

    Parameters
    ----------
    evidence
        Sentences to underline; by default what `find_evidence` finds.
    ax, figsize, scale
        As in `plot_similarity`.

    Raises
    ------
    ValueError
        If the document is an image of a page, which `plot_page` draws, or `max_lines` is below 1.
    """
    check_is("explanation", explanation, Explanation, "an Explanation")
    if explanation.document.page is not None:
        raise ValueError("the document is an image of a page, of which no word was matched: plot_page draws it")
    check_count("max_lines", max_lines)
    drawing.check_room(ax, figsize, scale)
    for span in _given(evidence):
        check_is("a span of evidence", span, EvidenceSpan, "an EvidenceSpan")
    evidence = find_evidence(explanation) if evidence is None else evidence
    heat = document_heat(explanation, ledger(explanation))
    width, room = _room(ax, figsize, max_lines)
    lines = wrap(explanation.document.text, max(10, int((width - 2 * _SIDE) / _CELL)))
    shown = choose_lines(_weights(lines, heat, evidence), room)
    level = _levels(shown, lines.count)
    overview = _OVERVIEW if lines.count > _SHORT else 0.0
    height = _LINE * (level.max(initial=0) + 2)
    sheet = drawing.Sheet(ax, figsize, (width, _TOP + overview + height + _BOTTOM))
    colours = drawing.colour_range(explanation.query, scale)
    strip = sheet.panel("text", _SIDE, sheet.height - _TOP - overview - height, width - 2 * _SIDE, height)
    strip.set(xlim=(0, (width - 2 * _SIDE) / _CELL), ylim=(height / _LINE, 0))
    strip.set_axis_off()
    _draw_words(strip, explanation.document.text, lines, level, heat, colours)
    _underline(strip, lines, level, evidence)
    _mark_gaps(strip, level)
    if overview:
        box = (_SIDE, sheet.height - _TOP - 0.6, width - 2 * _SIDE, 0.6)
        shown_characters = np.isin(lines.line, shown)
        _draw_overview(sheet.panel("overview", *box), heat, evidence, shown_characters, colours)
    _draw_scale(sheet.panel("scale", width - _SIDE - 1.5, sheet.height - 0.27, 1.5, 0.1), colours)
    sheet.head(_title(explanation, width), _SIDE)
    sheet.foot(_caption(explanation.document.text, evidence), _SIDE)
    return sheet.figure


def _given(evidence: Sequence[EvidenceSpan] | None) -> Sequence[EvidenceSpan]:
    if evidence is not None:
        check_is("evidence", evidence, (list, tuple), "a list of EvidenceSpan or None")
    return evidence or ()


def _room(ax: Axes | None, figsize: tuple[float, float] | None, max_lines: int) -> tuple[float, int]:
    """Inches of width, and how many lines fit."""
    size = drawing.size_of(ax) if ax is not None else figsize
    if size is None:
        return 9.0, max_lines
    width, height = size
    return width, max(1, min(max_lines, int((height - _TOP - _OVERVIEW - _BOTTOM) / _LINE) - 1))


def _weights(lines: Lines, heat: DocumentHeat, evidence: Sequence[EvidenceSpan]) -> NDArray[np.float64]:
    """What each line has to show: matches before phrases before sentences."""
    weights = np.zeros(lines.count)
    matched = heat.spans[heat.winners.any(axis=0)].tolist()
    sentences = [(span.start, span.end) for span in evidence]
    phrases = [(span.phrase_start, span.phrase_end) for span in evidence]
    for weight, spans in ((1.0, sentences), (2.0, phrases), (3.0, matched)):
        for start, end in spans:
            weights[[run.line for run in lines.runs(start, end)]] = weight
    return weights


def _levels(shown: NDArray[np.intp], total: int) -> NDArray[np.intp]:
    """Where each line stands in the picture, -1 for lines left out; a gap takes a line."""
    level = np.full(total, -1)
    skipped = np.diff(shown, prepend=-1) > 1
    level[shown] = np.arange(len(shown)) + np.cumsum(skipped)
    return level


def _draw_words(
    ax: Axes, text: str, lines: Lines, level: NDArray[np.intp], heat: DocumentHeat, colours: Normalize
) -> None:
    drawn = drawing.drawable(text)
    warmth = dict(zip(map(tuple, heat.spans.tolist()), heat.warmth().tolist(), strict=True))
    matched = {tuple(span) for span in heat.spans[heat.winners.any(axis=0)].tolist()}
    edges = np.unique(np.concatenate([[0, len(text)], heat.spans.ravel()])).tolist()
    for span in itertools.pairwise(edges):
        colour = drawing.COLOURS(colours(warmth.get(span, 0.0)))
        for run in lines.runs(*span):
            if (y := level[run.line]) < 0:
                continue
            if span in warmth:
                ax.add_patch(_box(run, y, colour, framed=span in matched))
            piece = drawn[run.start : run.end]
            indent = len(piece) - len(piece.lstrip())
            words = ax.text(run.left + indent, y + 0.5, piece.strip(), va="center_baseline", fontsize=_FONT)
            drawing.set_plain(words, mono=True)
            words.set_color(drawing.ink_on(colour))


def _box(run: Run, y: float, colour: Any, *, framed: bool) -> Rectangle:
    frame: dict[str, Any] = {"ec": "black", "lw": 1.1, "zorder": 2} if framed else {"ec": "none", "zorder": 1}
    box = Rectangle((run.left, y + 0.1), run.right - run.left, 0.72, fc=colour, **frame)
    box.set_gid("match" if framed else "word")
    return box


def _underline(ax: Axes, lines: Lines, level: NDArray[np.intp], evidence: Sequence[EvidenceSpan]) -> None:
    for span in evidence:
        for name, start, end, thick in (
            ("evidence", span.start, span.end, 1.0),
            ("phrase", span.phrase_start, span.phrase_end, 3.0),
        ):
            for run in lines.runs(start, end):
                if (y := level[run.line]) >= 0:
                    ax.plot([run.left, run.right], [y + 0.93] * 2, color=drawing.BLUE, lw=thick, gid=name)


def _mark_gaps(ax: Axes, level: NDArray[np.intp]) -> None:
    """A line of its own for each stretch left out, saying how long it is."""
    hidden = np.flatnonzero(level < 0)
    for stretch in np.split(hidden, np.flatnonzero(np.diff(hidden) > 1) + 1):
        if not len(stretch):
            continue
        y = level[stretch[0] - 1] + 1 if stretch[0] else 0
        said = f"… {len(stretch)} {'line' if len(stretch) == 1 else 'lines'} left out …"
        ax.text(0, y + 0.5, said, va="center", fontsize=8.5, color="#666666", style="italic", gid="gap")


def _draw_overview(
    ax: Axes, heat: DocumentHeat, evidence: Sequence[EvidenceSpan], shown: NDArray[np.bool_], colours: Normalize
) -> None:
    """Where in the document it is warm: the highest bar of each stretch, matches above, evidence below."""
    total = len(shown)
    size = total / _BINS
    bins = np.zeros(_BINS)
    np.maximum.at(bins, (heat.spans[:, 0] / size).astype(int), heat.warmth())
    top = float(colours.vmax or 1)
    ax.bar((np.arange(_BINS) + 0.5) * size, bins, width=size, color=drawing.COLOURS(colours(bins)), ec="none")
    for start, end in _stretches(shown) if not shown.all() else []:
        ax.axvspan(start, end, color="#d9e6f2", zorder=0, gid="shown")
    for span in evidence:
        seen = span.start + max(span.end - span.start, 0.004 * total)
        ax.plot([span.start, seen], [-0.14 * top] * 2, color=drawing.BLUE, lw=3, solid_capstyle="butt", gid="evidence")
    matched = heat.spans[heat.winners.any(axis=0), 0]
    ax.plot(matched, np.full(len(matched), 1.14 * top), "v", color="black", ms=4, ls="none", gid="matches")
    ax.set(xlim=(0, total), ylim=(-0.26 * top, 1.3 * top), yticks=[])
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.xaxis.set_major_formatter("{x:,.0f}")


def _stretches(inside: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open ranges of the true elements."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _draw_scale(ax: Axes, colours: Normalize) -> None:
    bar = drawing.figure_of(ax).colorbar(ScalarMappable(colours, drawing.COLOURS), cax=ax, orientation="horizontal")
    bar.set_ticks([float(colours.vmin or 0), float(colours.vmax or 1)])
    ax.tick_params(labelsize=8, length=2, pad=1)
    ax.text(-0.06, 0.5, "similarity", transform=ax.transAxes, ha="right", va="center", fontsize=8.5)


def _title(explanation: Explanation, width: float) -> str:
    query = drawing.shorten(explanation.query.text, max(10, int((width - 2.6) / 0.085) - 18))
    return f"score {explanation.score:.3f} for “{query}”"


def _caption(text: str, evidence: Sequence[EvidenceSpan]) -> str:
    caption = "colour: best similarity with a word of the query, not the score   frame, ▾: holds a match"
    if evidence:
        caption += "   line: evidence, thick: its phrase"
    return caption + drawing.missing_note([drawing.drawable(text)])
