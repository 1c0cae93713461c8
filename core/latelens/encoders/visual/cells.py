"""Which cell of the page each row of an image is: read from the ids that a processor wrote, never predicted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.patches import Grid

_TILE = re.compile(r"<row_(\d+)_col_(\d+)>")


@dataclass(frozen=True)
class CellRules:
    """How a processor writes a page into ids.

    Attributes
    ----------
    image_id
        Of the token that stands for one patch.
    tiles
        Row and column, from 0, of a tile by the id of the token in front of it; empty where pages are not cut.
    tile_cells
        Patches of one tile; None where pages are not cut.
    merged
        Patches that are merged along each side into one row, where the processor gives the size of its grid.
    square
        Whether pages are stretched to one square.
    """

    image_id: int
    tiles: Mapping[int, tuple[int, int]]
    tile_cells: int | None
    merged: int | None
    square: bool


def rules_of(processor: Any) -> CellRules:
    """Read the rules from a processor of transformers."""
    tokenizer, images = processor.tokenizer, processor.image_processor
    token = getattr(processor, "image_token", None)
    image_id = getattr(processor, "image_token_id", None)
    if image_id is None:
        image_id = tokenizer.convert_tokens_to_ids(getattr(token, "content", token))
    found = ((_TILE.fullmatch(token), id) for token, id in tokenizer.get_added_vocab().items())
    tiles = {id: (int(match[1]) - 1, int(match[2]) - 1) for match, id in found if match}
    size = getattr(images, "size", None) or {}
    return CellRules(
        image_id=int(image_id),
        tiles=tiles,
        tile_cells=getattr(processor, "image_seq_len", None),
        merged=getattr(images, "merge_size", None),
        square="height" in size and size["height"] == size["width"],
    )


def lay_cells(
    ids: NDArray[np.int64], rules: CellRules, size: Sequence[int] | None = None
) -> tuple[tuple[Grid, ...], NDArray[np.int32]]:
    """The grids of one page, the finest first, and the cell of each of its ids, (n,), -1 for what is no patch.

    `size` is what the processor calls ``image_grid_thw``: pictures, patches down and patches across before merging.

    Raises
    ------
    ValueError
        If the ids are not those of one page in a layout that is known.
    """
    rows = np.flatnonzero(ids == rules.image_id)
    cells = np.full(len(ids), -1, dtype=np.int32)
    if size is not None and rules.merged:
        grid = Grid(n_cols=int(size[2]) // rules.merged, n_rows=int(size[1]) // rules.merged)
        _check(int(size[0]) == 1 and len(rows) == len(grid), rows, f"a grid of {grid.n_cols} x {grid.n_rows}")
        cells[rows] = np.arange(len(rows))
        return (grid,), cells
    if rules.tile_cells and any(id in rules.tiles for id in ids.tolist()):
        return _tiled(ids, rules, rows, cells)
    side = math.isqrt(len(rows))
    _check(
        side > 0 and side * side == len(rows) and (rules.square or len(rows) == rules.tile_cells), rows, "one square"
    )
    cells[rows] = np.arange(len(rows))
    return (Grid(side, side),), cells


def _tiled(
    ids: NDArray[np.int64], rules: CellRules, rows: NDArray[np.intp], cells: NDArray[np.int32]
) -> tuple[tuple[Grid, ...], NDArray[np.int32]]:
    """Tiles, each behind its token, make one grid; the last rows are the overview, which covers the whole page."""
    many = rules.tile_cells or 0
    side = math.isqrt(many)
    tiles = [(at, *rules.tiles[id]) for at, id in enumerate(ids.tolist()) if id in rules.tiles]
    across, down = max(tile[2] for tile in tiles) + 1, max(tile[1] for tile in tiles) + 1
    told = f"{down} x {across} tiles and an overview of {many} patches each"
    _check(side * side == many and len(tiles) == across * down and len(rows) == (len(tiles) + 1) * many, rows, told)
    inside = np.arange(many)
    for at, row, col in tiles:
        own = np.arange(at + 1, at + 1 + many)
        _check(own[-1] < len(ids) and bool((ids[own] == rules.image_id).all()), rows, told)
        cells[own] = (row * side + inside // side) * across * side + col * side + inside % side
    left = rows[cells[rows] < 0]
    _check(len(left) == many and bool((left == rows[-many:]).all()), rows, told)
    detail = Grid(n_cols=across * side, n_rows=down * side)
    cells[left] = len(detail) + inside
    return (detail, Grid(side, side)), cells


def _check(right: bool, rows: NDArray[np.intp], told: str) -> None:
    if not right:
        raise ValueError(
            f"the processor wrote {len(rows)} patches for a page, which are not {told}: the layout of this model is "
            "not known, so no row has a place on the page"
        )
