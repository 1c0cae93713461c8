"""What stands in a part of a page: characters, and the words that they belong to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latelens.pages.geometry import Box
from latelens.pages.page import Page
from latelens.patches import PatchGrid


def characters_in(page: Page, patches: PatchGrid, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which characters of the page's text have their middle in the cells of some rows of one grid: (characters,)."""
    number = int(patches.grid_of(rows[:1])[0])
    grid = patches.grids[number]
    across, down = page.middles[0] * (grid.n_cols / grid.width), page.middles[1] * (grid.n_rows / grid.height)
    inside: NDArray[np.bool_] = (
        (across >= 0) & (across < grid.n_cols) & (down >= 0) & (down < grid.n_rows)
    )  # NaN is nowhere
    found = np.flatnonzero(inside)
    cells = patches.firsts[number] + down[found].astype(np.intp) * grid.n_cols + across[found].astype(np.intp)
    inside[found] = np.isin(cells, patches.cells[rows])
    return inside


def words_in(page: Page, box: Box) -> tuple[str, ...]:
    """Whole words of the page of which at least one character stands in a box, in the order of the text."""
    x, y = page.middles
    left, top, right, bottom = box
    inside = np.flatnonzero((x >= left) & (x < right) & (y >= top) & (y < bottom))
    begins, ends = page.word_edges
    found = np.unique(begins.searchsorted(inside, side="right") - 1)
    return tuple(page.text[begins[i] : ends[i]] for i in found.tolist())
