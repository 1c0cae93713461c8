"""From matches to evidence on a page image: the regions that answer the query, and the words that stand there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latelens.explanation.covering import CLEAR, answered, cover
from latelens.explanation.maps import patches_of
from latelens.explanation.matches import Explanation, deviations, found_anywhere
from latelens.explanation.words import QueryWords, query_words
from latelens.pages.geometry import Box, area, in_pixels
from latelens.pages.page import Page
from latelens.pages.under import characters_in
from latelens.pages.values import row_of
from latelens.patches import PatchGrid
from latelens.refusals import check_count, check_is, check_number

if TYPE_CHECKING:
    from PIL.Image import Image

# A word is looked for where some word is matched nearly as clearly as the best one, and a cell answers it from half
# the height of its peak on. No threshold here was measured on real weights.
_NEAR_BEST, _HALF = 0.5, 0.5


@dataclass(frozen=True)
class Region:
    """A part of a page that answers part of a query.

    Attributes
    ----------
    box
        Left, top, right, bottom as fractions of the page, around the cells and the lines of text that they touch.
    score
        What its cells earn, at most 1: for each word of the query the best similarity that one of them reaches,
        averaged over the word's pieces; then the mean over the words, weighted by how much each says on its own.
    drop
        What the page's score would lose without the rows of these cells: 0 where others match as well.
    query_words
        The words of the query that it answers best of the regions listed, in the order of the query.
    words
        The text of the lines that its cells touch, and of the numbers beside them; None where the page's words are not
        known.
    coarse
        Whether only the model's overview of the page saw it, whose cells are large.
    cells
        Of the page's `PatchGrid`, in order.
    page
        The page, where it was given: `crop` draws it.
    """

    box: Box
    score: float
    drop: float
    query_words: tuple[str, ...]
    words: str | None
    coarse: bool
    cells: tuple[int, ...] = field(repr=False)
    page: Page | None = field(default=None, repr=False, compare=False)

    @property
    def area(self) -> float:
        """Share of the page, 0..1."""
        return area(self.box)

    def crop(self, margin: float = 0.02, *, image: Image | None = None) -> Image:
        """The region as a picture, with a margin in fractions of the page around it.

        Parameters
        ----------
        margin
            0..1, on each side, as far as the page goes.
        image
            The picture of the whole page; None draws the page that `find_regions` was given.

        Raises
        ------
        ValueError
            If neither is known.
        """
        check_number("margin", margin, 0, 1)
        if image is None:
            if self.page is None:
                raise ValueError("the region knows no page to draw: find_regions(..., page=...), or crop(image=...)")
            image = self.page.image()
        left, top, right, bottom = self.box
        wider = max(left - margin, 0.0), max(top - margin, 0.0), min(right + margin, 1.0), min(bottom + margin, 1.0)
        return image.crop(in_pixels(wider, image.width, image.height))


def find_regions(explanation: Explanation, *, page: Page | None = None, max_regions: int = 3) -> tuple[Region, ...]:
    """Choose the regions of an explained page image that answer the query, the best one first.

    Cells that answer a word of the query are joined with their neighbours; a region's score is MaxSim of the query's
    words over its cells. Further regions follow as long as they match a word clearly better than those before. With
    `page`, whose words are known, a region grows to the whole lines that its cells touch, and to the numbers beside
    them: the values of a table's row. Rows of the prompt and cells beside the page never make a region. A query
    without words has none.

    Raises
    ------
    ValueError
        If the document is a text.
    """
    check_is("explanation", explanation, Explanation, "an Explanation, as explain gives it")
    check_is("page", page, (Page, type(None)), "a Page, as open_pages gives them, or None")
    check_count("max_regions", max_regions)
    patches, asked = patches_of(explanation), query_words(explanation.query)
    if not len(asked.rows) or not patches.on_page.any():
        return ()
    found = list(_joined(explanation, patches, asked))
    if not found:
        return ()
    best = np.stack([explanation.similarity[:, rows].max(axis=1) for rows in found], axis=1)  # (query rows, regions)
    reached = asked.mean_of_rows(best[asked.rows])  # (words, regions)
    scores = asked.weights @ reached
    edges, first = np.array([0, len(found)]), np.array([scores.argmax()])
    (chosen,) = cover(reached, edges, first, asked.weights, deviations([explanation]), max_regions, _is_clear)
    strengths = explanation.strengths_of(best[:, chosen])
    by_region = answered(asked.words, strengths, np.array([0, len(chosen)]), _least)
    return tuple(
        _region(explanation, patches, found[i], float(scores[i]), words, page)
        for i, words in zip(chosen, by_region, strict=True)
    )


def _joined(explanation: Explanation, patches: PatchGrid, asked: QueryWords) -> Iterator[NDArray[np.intp]]:
    """Rows of the cells that answer a word, neighbours together, grid by grid."""
    similarity = asked.mean_of_rows(explanation.similarity[asked.rows])  # (words, rows)
    floor = found_anywhere(similarity.sum(axis=1), similarity.shape[1])
    height = np.where(patches.on_page, similarity - floor[:, None], -np.inf)  # (words, rows)
    overview = patches.grid_of(slice(None)) > 0
    peaks = np.stack([np.where(side, height, -np.inf).max(axis=1) for side in (~overview, overview)])  # (2, words)
    coarse = peaks[1] - peaks[0] > CLEAR * explanation.deviation  # the overview is so far ahead of every finer cell
    peak = np.where(coarse, peaks[1], peaks[0])
    asked_for = peak >= max(_NEAR_BEST * float(peak.max()), 1e-6)
    answers = (height >= _HALF * peak[:, None]) & asked_for[:, None] & (coarse[:, None] == overview)
    values = answers.any(axis=0)  # (rows,)
    for grid in range(len(patches.grids)):
        mask = patches.lay(values, grid) == 1
        numbers = _components(mask).ravel()
        rows = np.flatnonzero(patches.grid_of(slice(None)) == grid)
        owner = numbers[patches.cells[rows] - patches.firsts[grid]]
        yield from (rows[owner == number] for number in range(1, int(numbers.max(initial=0)) + 1))


def _components(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the groups of cells that touch by a side or a corner, from 1; 0 elsewhere."""
    numbers = np.zeros(mask.shape, dtype=np.int32)
    cells = list(zip(*(each.tolist() for each in mask.nonzero()), strict=True))
    todo, number = set(cells), 0
    for first in cells:  # in reading order, so that of regions that are equally good the upper left one comes first
        if first not in todo:
            continue
        todo.remove(first)
        group, number = [first], number + 1
        while group:
            row, col = group.pop()
            numbers[row, col] = number
            near = {(row + i, col + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & todo
            todo -= near
            group += near
    return numbers


def _is_clear(gains: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which regions answer a word clearly better, (regions,) of (words, regions)."""
    clear: NDArray[np.bool_] = np.any(gains >= CLEAR, axis=0)
    return clear


def _least(best: NDArray[np.float64]) -> NDArray[np.float64]:
    """The strength that answers a word, if `best` is the largest of all words."""
    return np.maximum(_NEAR_BEST * best, 1e-6)


def _region(
    explanation: Explanation,
    patches: PatchGrid,
    rows: NDArray[np.intp],
    score: float,
    query_words: tuple[str, ...],
    page: Page | None,
) -> Region:
    every, words = patches.boxes(rows), None
    if page is not None and page.text:
        lines = _lines_under(page, patches, rows)
        every, words = np.concatenate([every, page.boxes[lines]]), _text(page, lines)
    left, top = np.nanmin(every[:, :2], axis=0).tolist()
    right, bottom = np.nanmax(every[:, 2:], axis=0).tolist()
    return Region(
        box=(left, top, right, bottom),
        score=score,
        drop=_drop(explanation, rows),
        query_words=query_words,
        words=words,
        coarse=bool(patches.grid_of(rows[:1])[0] > 0),
        cells=tuple(patches.cells[rows].tolist()),
        page=page,
    )


def _drop(explanation: Explanation, rows: NDArray[np.intp]) -> float:
    rest = np.ones(len(explanation.document), dtype=bool)
    rest[rows] = False
    if not rest.any():
        return explanation.score  # nothing would be left
    best = explanation.similarity.max(axis=1).astype(np.float64)
    without = explanation.similarity[:, rest].max(axis=1).astype(np.float64)
    return math.fsum((best - without).tolist())


def _lines_under(page: Page, patches: PatchGrid, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which characters stand on a line that has one in some rows' cells, or in such a line's row: (characters,)."""
    return np.isin(page.lines, row_of(page, np.unique(page.lines[characters_in(page, patches, rows)])))


def _text(page: Page, characters: NDArray[np.bool_]) -> str:
    """The text of whole lines, one below the other."""
    taken = np.flatnonzero(characters)
    breaks = np.flatnonzero(np.diff(page.lines[taken])) + 1
    runs = [run for run in np.split(taken, breaks) if len(run)]
    return "\n".join(line for run in runs if (line := page.text[run[0] : run[-1] + 1].strip()))
