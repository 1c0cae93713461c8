"""A page's picture with its words, or the cells of its image, shaded by what a word of the query finds there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from latelens.explanation.matches import Explanation
from latelens.pages.geometry import Box
from latelens.pages.page import Page
from latelens.pages.rows import lay
from latelens.patches import PatchGrid
from latelens.refusals import check_count
from latelens.render.ledger import LedgerLine, document_heat, ledger
from latelens.render.plot import sheet as drawing

_WIDTH, _TOP, _BOTTOM, _GAP, _SIDE = 3.4, 0.75, 0.55, 0.15, 0.2
_COLUMNS, _DPI = 3, 110
_Draw: TypeAlias = Callable[[Axes, int, Normalize], None]
_CAPTION = (
    "Shaded: similarity of each word of the page with the word of the query above it, on one scale; it is not the "
    "score. Framed: the best matches, which are its terms."
)

_CELLS_CAPTION = (
    "Shaded: similarity of each cell of the page with the word of the query above it, on one scale; it is not the "
    "score. Framed: the best matches, which are its terms. Off page: matches with rows that show nothing of it."
)


def plot_page(
    explanation: Explanation, page: Page, *, scale: tuple[float, float] | None = None, max_panels: int = 6
) -> Figure:
    """Draw the page that a document was read from once for each word of the query, its words or cells shaded.

    A panel shows the page in grey, each word of the page shaded by its best similarity with one word of the query, and
    the words framed that hold a match; of a page image, each cell of the finest grid, and framed the cells of any grid.
    The words that contribute most come first. A document by another program than `open_pages` is laid on the page;
    what does not stand there is not shaded.

    Parameters
    ----------
    scale
        As in `plot_similarity`.
    max_panels
        Words of the query at most.

    Raises
    ------
    ValueError
        If `max_panels` is below 1 or the query has no words.
    """
    check_count("max_panels", max_panels)
    drawing.check_room(scale=scale)
    lines = ledger(explanation)
    asked = sorted((i for i, line in enumerate(lines) if line.is_word), key=lambda i: -lines[i].contribution)
    if not asked:
        raise ValueError("the query has no words to draw a panel for")
    patches = explanation.document.page
    draw = _words_of(explanation, page, lines) if patches is None else _cells_of(explanation, patches, lines)
    chosen = asked[:max_panels]
    columns = min(_COLUMNS, len(chosen))
    height = _WIDTH * page.height / page.width
    rows = math.ceil(len(chosen) / columns)
    size = (2 * _SIDE + columns * (_WIDTH + _GAP), _TOP + rows * (height + 0.35) + _BOTTOM)
    sheet = drawing.Sheet(None, None, size)
    colours = drawing.colour_range(explanation.query, scale)
    grey = np.asarray(page.image(_DPI).convert("L"))
    for place, i in enumerate(chosen):
        left = _SIDE + (place % columns) * (_WIDTH + _GAP)
        bottom = sheet.height - _TOP - (place // columns + 1) * (height + 0.35) + 0.1
        panel = sheet.panel(f"page-{i}", left, bottom, _WIDTH, height)
        panel.imshow(
            grey, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0), aspect="auto", interpolation="antialiased"
        )
        draw(panel, i, colours)
        panel.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
        name = f"{drawing.shorten(lines[i].label, 30)}  {lines[i].contribution:.2f}{_off_page(lines[i], patches)}"
        drawing.set_plain(panel.set_title(name, fontsize=9, pad=3))
    bar = sheet.panel("scale", sheet.width - _SIDE - 1.5, sheet.height - 0.27, 1.5, 0.1)
    sheet.figure.colorbar(ScalarMappable(colours, drawing.COLOURS), cax=bar, orientation="horizontal")
    bar.tick_params(labelsize=7)
    sheet.head(drawing.shorten(explanation.query.text, 70), _SIDE)
    left_out = len(asked) - len(chosen)
    more = f" Words of the query that are left out: {left_out}." if left_out else ""
    sheet.foot((_CAPTION if patches is None else _CELLS_CAPTION) + more, _SIDE)
    return sheet.figure


def _words_of(explanation: Explanation, page: Page, lines: Sequence[LedgerLine]) -> _Draw:
    """Draws the words of a text's page for one of the lines."""
    heat, laid = document_heat(explanation, lines), lay(page, explanation.document.text)
    boxes = [laid.boxes_of(start, end) for start, end in heat.spans.tolist()]

    def draw(panel: Axes, i: int, colours: Normalize) -> None:
        similarity, won = heat.similarity[i].tolist(), heat.winners[i].tolist()
        for places, value, is_best in zip(boxes, similarity, won, strict=True):
            # The pale colours of low similarity would veil the words.
            alpha = 0.1 + 0.5 * float(np.clip(colours(value), 0, 1))
            for box in places:
                panel.add_patch(_rectangle(box, facecolor=drawing.COLOURS(colours(value)), alpha=alpha, linewidth=0))
                if is_best:
                    _frame(panel, box)

    return draw


def _cells_of(explanation: Explanation, patches: PatchGrid, lines: Sequence[LedgerLine]) -> _Draw:
    """Draws the cells of a page image for one of the lines."""
    grid = patches.grids[0]

    def draw(panel: Axes, i: int, colours: Normalize) -> None:
        rows = [match.query_row for match in lines[i].matches]
        shade = np.ma.masked_invalid(patches.lay(explanation.similarity[rows].max(axis=0)))
        extent = (0, grid.width, grid.height, 0)
        # The pale colours of low similarity would veil the page.
        alpha = 0.8 * np.clip(np.ma.filled(colours(shade), 0), 0, 1)
        panel.imshow(
            shade,
            cmap=drawing.COLOURS,
            norm=colours,
            alpha=alpha,
            extent=extent,
            aspect="auto",
            interpolation="nearest",
        )
        won = [row for row in sorted({match.document_row for match in lines[i].matches}) if patches.on_page[row]]
        for left, top, right, bottom in patches.boxes(won).tolist():
            _frame(panel, (left, top, right, bottom))

    return draw


def _off_page(line: LedgerLine, patches: PatchGrid | None) -> str:
    """What is said of matches that no cell holds."""
    if patches is None:
        return ""
    off = sum(not patches.on_page[match.document_row] for match in line.matches)
    return f"  (off page: {off} of {len(line.matches)})" if off else ""


def _frame(panel: Axes, box: Box) -> None:
    panel.add_patch(_rectangle(box, fill=False, edgecolor=drawing.BLUE, linewidth=1.4, gid="won"))


def _rectangle(box: Box, **style: Any) -> Rectangle:
    left, top, right, bottom = box
    return Rectangle((left, top), right - left, bottom - top, **style)
