"""A page's picture with the cells of its image shaded: for a report, a chat, or to look at. Needs Pillow alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latelens.explanation.maps import page_maps, patches_of
from latelens.explanation.matches import Explanation
from latelens.explanation.regions import Region
from latelens.pages.geometry import Box, in_pixels
from latelens.pages.page import Page
from latelens.patches import Grid
from latelens.refusals import check_is, check_several
from latelens.render.ledger import LedgerLine, ledger, top_similarity

if TYPE_CHECKING:
    from PIL.Image import Image

# As in the HTML report: what is no more similar than a fifth of the scale is left white.
_FAINT, _CURVE, _HEAT = 0.2, 1.6, (240, 140, 30)
_WON, _REGION = (11, 83, 148), (200, 40, 40)


def overlay(
    explanation: Explanation,
    page: Page,
    *,
    word: str | None = None,
    regions: Sequence[Region] = (),
    dpi: int | None = None,
) -> Image:
    """Draw a page with the cells of its image shaded by similarity: ``overlay(...).save("page.png")``.

    Each cell of the finest grid is as warm as its similarity, on the scale of all pictures of the query: from 0 to the
    largest similarity of the query's rows with themselves. It is not the score; the cells that hold a match, which are
    its terms, are framed in blue. What lies off the page is in no picture: `page_maps` counts it.

    Parameters
    ----------
    page
        The page, from `open_pages`, or ``ranked.page``.
    word
        A word of the query as it spells it; None takes for each cell the largest similarity of any word.
    regions
        Framed in red, as `find_regions` gives them.
    dpi
        As for ``page.image``.

    Raises
    ------
    ValueError
        If the document is a text, or the query has no such word.
    """
    from PIL import Image, ImageChops

    check_is("page", page, Page, "a Page, as open_pages gives them")
    check_is("word", word, (str, type(None)), "a word of the query, or None")
    check_is("dpi", dpi, (int, type(None)), "an int or None")
    check_several("regions", regions, "Regions")
    for i, region in enumerate(regions):
        check_is(f"regions[{i}]", region, Region, "a Region, as find_regions gives them")
    values, won = _shown(explanation, word)
    picture = page.image(dpi)
    tint = Image.fromarray(_tint(values / top_similarity(explanation.query)))
    grid = patches_of(explanation).grids[0]
    # Cells stay cells: smoothed, warmth would lie where no cell has it. A padded grid is cut at the page's edges.
    shown = tint.resize(picture.size, Image.Resampling.NEAREST, box=_on_page(grid))
    drawn = ImageChops.multiply(picture, shown)
    for region in regions:
        _frame(drawn, region.box, _REGION)
    for box in won:
        _frame(drawn, box, _WON)
    return drawn


def _shown(explanation: Explanation, word: str | None) -> tuple[NDArray[np.float32], list[Box]]:
    """What is shaded, (n_rows, n_cols), and the cells that are framed."""
    maps = page_maps(explanation)
    lines = [line for line in ledger(explanation) if line.is_word]
    if word is None:
        return maps.highest, _won(lines)
    chosen = [line for line in lines if line.label == word]
    if not chosen:
        known = ", ".join(dict.fromkeys(repr(line.label) for line in lines)) or "none"
        raise ValueError(f"the query has no word {word!r:.60}; its words are {known}")
    rows = [match.query_row for line in chosen for match in line.matches]
    return maps.similarity[rows].max(axis=0), _won(chosen)


def _won(lines: Sequence[LedgerLine]) -> list[Box]:
    return list(dict.fromkeys(cell.box for line in lines for cell in line.cells if cell.box is not None))


def _tint(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours to multiply a page with, (n_rows, n_cols, 3): white where there is nothing to show."""
    strength = np.nan_to_num((share - _FAINT) / (1 - _FAINT)).clip(0, 1) ** _CURVE
    colour = 255 - strength[..., None] * (255 - np.array(_HEAT))
    rounded: NDArray[np.uint8] = np.rint(colour).astype(np.uint8)
    return rounded


def _on_page(grid: Grid) -> tuple[float, float, float, float]:
    """The part of a grid, in cells, that covers the page."""
    return 0.0, 0.0, min(grid.n_cols / grid.width, grid.n_cols), min(grid.n_rows / grid.height, grid.n_rows)


def _frame(picture: Image, box: Box, colour: tuple[int, int, int]) -> None:
    from PIL import ImageDraw

    left, top, right, bottom = in_pixels(box, picture.width, picture.height)
    width = max(2, picture.width // 400)
    ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), outline=colour, width=width)
