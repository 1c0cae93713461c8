"""A heat map of query rows against document rows, and the score as bars beside it."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings, TokenKind
from latelens.explanation.matches import Explanation
from latelens.explanation.words import query_words
from latelens.patches import PatchGrid
from latelens.refusals import check_count, check_is
from latelens.render.plot import sheet as drawing
from latelens.text.characters import words

# Rows at most; a longer query shows the words with the largest contributions. 36 rows make 10 inches, gaps included.
_MAX_ROWS = 36
# Inches: bars and scale on the right, the title on top.
_RIGHT, _TOP = 2.1, 0.45
_LABEL = 18  # characters of a token at most


def plot_similarity(
    explanation: Explanation,
    *,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
    scale: tuple[float, float] | None = None,
    max_columns: int = 44,
) -> Figure:
    """Draw every query row against the document's rows, with the matches framed and their sum beside them.

    Bars on the right are the contributions; with the rows that are set apart (special, marker and expansion
    rows, in grey) they sum to the score in the title. A document of more than `max_columns` rows shows the
    columns of the matches with as much context as fits, and says what it leaves out; `plot_document` shows
    all of it.

    Parameters
    ----------
    ax
        Axes to draw into, bars and colour bar beside them; a new figure otherwise.
    figsize
        Inches of a new figure.
    scale
        Similarities of the first and the last colour. All pictures of a query have the same range by default:
        from 0 to the largest similarity of the query's rows with themselves, 1 for unit rows.
    max_columns
        Document rows to show; more than that only if each is a match.
    """
    check_is("explanation", explanation, Explanation, "an Explanation")
    check_count("max_columns", max_columns)
    drawing.check_room(ax, figsize, scale)
    rows = _shown_rows(explanation)
    best = explanation.similarity[rows].argmax(axis=1)  # (shown rows,) document rows
    columns = _shown_columns(explanation.document, np.unique(best), min(max_columns, _room(ax, figsize)))
    y, x = _places(explanation.query, rows), _places(explanation.document, columns)
    names, below = _labels(explanation.query, rows), _labels(explanation.document, columns)
    left, bottom = 0.3 + drawing.width_of(names), 0.6 + drawing.width_of(below)
    wanted = (left + _RIGHT + min(max(0.34 * len(x), 2.8), max(0.2 * x[-1], 8.4)), bottom + _TOP + 0.2 * (y[-1] + 2))
    sheet = drawing.Sheet(ax, figsize, wanted)
    width, height = sheet.width - left - _RIGHT, sheet.height - bottom - _TOP
    cells = sheet.panel("similarity", left, bottom, width, height)
    colours = drawing.colour_range(explanation.query, scale)
    _draw_cells(cells, explanation.similarity[np.ix_(rows, columns)], y, x, colours)
    for place, column in zip(y, x[columns.searchsorted(best)], strict=True):
        cells.add_patch(_frame(column, place))
        cells.add_patch(_halo(column, place))
    _name_rows(cells.yaxis, explanation.query.kinds[rows], y, names)
    _name_rows(cells.xaxis, explanation.document.kinds[columns], x, below)
    _mark_gaps(cells, columns, x, y[-1] + 0.85)
    cells.set(xlim=(x[0] - 0.6, x[-1] + 0.6), ylim=(y[-1] + 0.6, y[0] - 0.6))
    bars = sheet.panel("contributions", left + width + 0.1, bottom, 1.1, height)
    bars.sharey(cells)
    _draw_bars(bars, explanation, rows, y)
    tall = min(height, 2.2)
    _draw_scale(sheet.panel("scale", left + width + 1.4, bottom + height - tall, 0.13, tall), colours, tall)
    sheet.head(_title(explanation, rows), left)
    sheet.foot(_caption(explanation, columns) + drawing.missing_note([*names, *below]), left)
    return sheet.figure


def _room(ax: Axes | None, figsize: tuple[float, float] | None) -> int:
    """Columns that a given size has room for: a label needs 0.14 inches."""
    size = figsize if ax is None else drawing.size_of(ax)
    return max(1, int((size[0] - _RIGHT - 1) / 0.14)) if size else 10_000


def _shown_rows(explanation: Explanation) -> NDArray[np.intp]:
    best = explanation.similarity.max(axis=1)
    best[query_words(explanation.query).rows] += 2 * np.abs(best).max()  # words before marks and control rows
    return np.sort(np.argsort(-best, kind="stable")[:_MAX_ROWS])


def _shown_columns(document: TokenEmbeddings, winners: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Columns of the matches, with as many neighbours of those that have text as fit."""
    if len(document) <= most:
        return np.arange(len(document))
    shown = winners
    reading = winners[document.kinds[winners] == TokenKind.CONTENT]
    for reach in range(1, most):
        near = (reading[:, None] + np.arange(-reach, reach + 1)).ravel()
        wider = np.union1d(winners, near[(near >= 0) & (near < len(document))])
        if len(wider) + np.count_nonzero(np.diff(wider) > 1) > most:
            break
        shown = wider
    return shown


def _places(embeddings: TokenEmbeddings, shown: NDArray[np.intp]) -> NDArray[np.float64]:
    """Centres of the shown rows, one apart, with a gap where the kind changes or rows are left out."""
    gaps = np.where(np.diff(shown) > 1, 1.0, 0.45 * (np.diff(embeddings.kinds[shown].astype(int)) != 0))
    return np.append(0.0, np.cumsum(1 + gaps))


def _draw_cells(
    ax: Axes, similarity: NDArray[np.float32], y: NDArray[np.float64], x: NDArray[np.float64], colours: Normalize
) -> None:
    """One mesh in which the gaps are empty cells."""
    y_edges, from_row = _edges(y)
    x_edges, from_column = _edges(x)
    cells = similarity[np.ix_(from_row, from_column)].astype(np.float64)
    cells[from_row < 0] = np.nan
    cells[:, from_column < 0] = np.nan
    ax.pcolormesh(x_edges, y_edges, cells, cmap=drawing.COLOURS, norm=colours, edgecolors="#e8e8e8", linewidth=0.4)


def _edges(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Borders of cells and gaps, and which row each cell shows, -1 for a gap."""
    edges = np.unique(np.round(np.concatenate([places - 0.5, places + 0.5]), 6))
    source = np.full(len(edges) - 1, -1)
    source[edges.searchsorted(places) - 1] = np.arange(len(places))
    return edges, source


def _frame(x: float, y: float) -> Rectangle:
    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec="black", lw=1.5, zorder=3, clip_on=False, gid="winner")


def _halo(x: float, y: float) -> Rectangle:
    """White around a frame and under all frames: it must not cut into a neighbour's."""
    return Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec="white", lw=3, zorder=2.5, clip_on=False, gid="halo")


def _labels(embeddings: TokenEmbeddings, shown: NDArray[np.intp]) -> list[str]:
    """Each row's characters; of a page image its cell, column and line from 1; else its token."""
    if embeddings.page is not None:
        return [_cell(embeddings.page, row) or embeddings.tokens[row] for row in shown.tolist()]
    known = words(embeddings.text)
    labels = []
    for row in shown.tolist():
        start, end = embeddings.spans[row].tolist()
        owner = int(known[:, 0].searchsorted(start, side="right")) - 1
        inside = start >= 0 and owner >= 0 and known[owner, 0] < start < known[owner, 1]
        text = embeddings.text[start:end] if start >= 0 else embeddings.tokens[row]
        # A dot in front of a piece that goes on with a word: "mega", "·her", "·bi".
        labels.append(("·" if inside else "") + drawing.shorten(text, _LABEL))
    return labels


def _cell(page: PatchGrid, row: int) -> str:
    """Such as ``"3, 12"``; empty for a row of the prompt."""
    grid = int(page.grid_of([row])[0])
    if grid < 0:
        return ""
    line, column = divmod(int(page.cells[row]) - page.firsts[grid], page.grids[grid].n_cols)
    return f"{'overview ' if grid else ''}{column + 1}, {line + 1}"


def _name_rows(axis: XAxis | YAxis, kinds: NDArray[np.uint8], places: NDArray[np.float64], names: list[str]) -> None:
    axis.set_ticks(places.tolist(), names, fontsize=8.5)
    axis.set_tick_params(length=0, labelrotation=90 if axis.axis_name == "x" else 0)
    for label, kind in zip(axis.get_ticklabels(), kinds.tolist(), strict=True):
        drawing.set_plain(label)
        if kind != TokenKind.CONTENT:
            label.set(color="#666666", fontstyle="italic")


def _mark_gaps(ax: Axes, columns: NDArray[np.intp], x: NDArray[np.float64], bottom: float) -> None:
    """Dots under each gap where columns are left out."""
    ax.spines[:].set_visible(False)
    for i in np.flatnonzero(np.diff(columns) > 1).tolist():
        ax.text((x[i] + x[i + 1]) / 2, bottom, "…", ha="center", va="center", color="#666666", gid="gap")


def _draw_bars(ax: Axes, explanation: Explanation, rows: NDArray[np.intp], y: NDArray[np.float64]) -> None:
    """Contributions beside the rows; those of rows that are no text in grey."""
    best = explanation.similarity[rows].max(axis=1).tolist()
    is_text = explanation.query.kinds[rows] == TokenKind.CONTENT
    ax.barh(y, best, height=0.78, color=[drawing.BLUE if text else drawing.GREY for text in is_text.tolist()])
    low, high = min(0.0, *best), max(*best, 0.01)
    for place, value in zip(y.tolist(), best, strict=True):
        said = drawing.number(value)
        ax.text(max(value, 0) + 0.04 * high, place, said, va="center", fontsize=8.5, gid="contribution")
    ax.set(xlim=(low * 1.1, high * 1.55), xticks=[])
    ax.tick_params(left=False, labelleft=False)
    ax.spines[:].set_visible(False)
    ax.axvline(0, color="#666666", lw=0.8)


def _draw_scale(ax: Axes, colours: Normalize, tall: float) -> None:
    drawing.figure_of(ax).colorbar(ScalarMappable(colours, drawing.COLOURS), cax=ax)
    ax.tick_params(labelsize=8)
    ax.text(3.8, 1 + 0.06 / tall, "similarity", transform=ax.transAxes, ha="right", fontsize=8.5)


def _title(explanation: Explanation, rows: NDArray[np.intp]) -> str:
    total = len(explanation.query)
    if len(rows) == total:
        return f"score {explanation.score:.3f} = sum of {total} framed similarities"
    part = math.fsum(explanation.similarity[rows].max(axis=1).tolist())
    return (
        f"score {explanation.score:.3f} = {part:.3f} for the {len(rows)} rows shown"
        f" + {explanation.score - part:.3f} for {total - len(rows)} more"
    )


def _caption(explanation: Explanation, columns: NDArray[np.intp]) -> str:
    """What the axes are, what is left out."""
    total = len(explanation.document)
    caption = "query rows × " + ("cells of the page: column, line" if explanation.document.page else "document rows")
    if len(columns) < total:
        caption += f"; {len(columns)} of {total} document rows shown, around the matches"
    return caption
