"""A score laid on the page that earned it: what each cell adds, and what was similar without adding anything."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.explanation.matches import Explanation
from latelens.explanation.words import query_words
from latelens.patches import PatchGrid
from latelens.refusals import check_is


@dataclass(frozen=True, eq=False)
class PageMaps:
    """Maps of a page image, indexed [row, column] from the upper left corner.

    A row of the page has seen all of it through attention: a cell is where the winning row stands, no proof that its
    ink alone made it win.

    Attributes
    ----------
    earned
        One map a grid, the finest first, (n_rows, n_cols) float64: the matches that the cell won, summed.
    off_page
        What was won by rows that show nothing of the page: those of the prompt, and padding. Together with all of
        `earned` it is the score.
    off_page_rows
        The query's rows whose match lies off the page.
    similarity
        (query rows, n_rows, n_cols) float32 on the finest grid, NaN where a cell has no row: every pair, whether it won
        or not.
    highest
        (n_rows, n_cols) float32: the largest similarity of any word of the query with each cell. It is no share of the
        score.
    """

    earned: tuple[NDArray[np.float64], ...]
    off_page: float
    off_page_rows: tuple[int, ...]
    similarity: NDArray[np.float32]
    highest: NDArray[np.float32]

    @property
    def scale(self) -> tuple[float, float]:
        """The smallest and the largest similarity on the page: one scale for the maps of all tokens."""
        return float(np.nanmin(self.similarity)), float(np.nanmax(self.similarity))


def page_maps(explanation: Explanation) -> PageMaps:
    """Lay the matches and similarities of a page image on its grids.

    Raises
    ------
    ValueError
        If the document is a text.
    """
    check_is("explanation", explanation, Explanation, "an Explanation, as explain gives it")
    page = patches_of(explanation)
    best = explanation.similarity.max(axis=1).astype(np.float64)  # (query rows,)
    winners = explanation.similarity.argmax(axis=1)
    on_page = page.on_page[winners]
    won = np.zeros(page.firsts[-1])
    np.add.at(won, page.cells[winners[on_page]], best[on_page])
    earned = tuple(
        won[first : first + len(grid)].reshape(grid.n_rows, grid.n_cols)
        for grid, first in zip(page.grids, page.firsts, strict=False)
    )
    similarity = page.lay(explanation.similarity)
    asked = query_words(explanation.query).rows
    rows = similarity[asked] if len(asked) else similarity
    return PageMaps(
        earned=earned,
        off_page=math.fsum(best[~on_page].tolist()),
        off_page_rows=tuple(np.flatnonzero(~on_page).tolist()),
        similarity=similarity,
        highest=rows.max(axis=0),
    )


def patches_of(explanation: Explanation) -> PatchGrid:
    """The cells of a page image.

    Raises
    ------
    ValueError
        If the document is a text, or an image whose cells are not known.
    """
    page = explanation.document.page
    if page is None:
        raise ValueError(
            f"the document {explanation.document.text[:40]!r} has no cells of a page: encode_pages gives page images, "
            "and find_evidence explains texts"
        )
    return page
