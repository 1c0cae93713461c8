"""Fewer rows a page image: neighbouring patches become their mean, to find candidates among many pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.pooled import PooledEncoder
from latelens.encoders.protocol import page_encoder
from latelens.patches import Grid, PatchGrid
from latelens.refusals import check_count

if TYPE_CHECKING:
    from latelens.pages.images import PageImage


@dataclass(frozen=True)
class TilePooling(PooledEncoder):
    """An encoder of pages whose patches are joined in tiles of `side` x `side`; a `PageEncoder` itself.

    For finding alone: a tile answers a small word less clearly than the patch that shows it, so what is found is then
    scored and explained by whole rows, as `latelens.index.TiledIndex` does. Queries keep all their rows, pages the rows
    of their prompt.

    Parameters
    ----------
    encoder
        A model of ColPali's family.
    side
        Patches along each side of a tile: 2 leaves a quarter of the rows, 4 a sixteenth.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or below 1.
    """

    side: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("side", self.side)

    @property
    def _how(self) -> str:
        return f"tiles of {self.side} x {self.side}"

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """What the encoder makes of texts, which have no tiles; most models of this family refuse them."""
        return self.encoder.encode_documents(texts, show_progress=show_progress)

    def encode_pages(self, pages: Sequence[PageImage], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode pages and join their patches; one result each, in order."""
        encoded = page_encoder(self.encoder).encode_pages(pages, show_progress=show_progress)
        return [pool_tiles(rows, side=self.side) for rows in encoded]


def pool_tiles(page: TokenEmbeddings, *, side: int = 2) -> TokenEmbeddings:
    """Join the patches of one page image in tiles, whose cells are so much larger; grids are pooled one by one.

    A tile at the right or lower edge is the mean of the patches that are there. Rows of the prompt stay, before the
    tiles.

    Raises
    ------
    ValueError
        If the rows are those of a text.
    """
    if page.page is None:
        raise ValueError(f"tiles are joined on the grid of a page image, and {page.text[:40]!r} is a text")
    check_count("side", side)
    grids = tuple(_coarser(grid, side) for grid in page.page.grids)
    tiles = _tiles(page.page, grids, side)
    order = np.argsort(tiles, kind="stable")
    prompt, patches = np.split(order, [np.count_nonzero(tiles < 0)])
    cells, firsts = np.unique(tiles[patches], return_index=True)
    kept = np.concatenate([prompt, patches[firsts]])
    return TokenEmbeddings(
        text=page.text,
        vectors=np.concatenate([page.vectors[prompt], _means(page.vectors[patches], firsts)]),
        tokens=tuple(page.tokens[row] for row in kept.tolist()),
        spans=page.spans[kept],
        kinds=page.kinds[kept],
        complete=page.complete,
        page=PatchGrid(grids, np.concatenate([tiles[prompt], cells]).astype(np.int32), page.page.image),
    )


def _coarser(grid: Grid, side: int) -> Grid:
    """The grid of the tiles; its last ones may reach beyond the page."""
    n_cols, n_rows = math.ceil(grid.n_cols / side), math.ceil(grid.n_rows / side)
    width, height = grid.width * n_cols * side / grid.n_cols, grid.height * n_rows * side / grid.n_rows
    return Grid(n_cols, n_rows, width, height)


def _tiles(page: PatchGrid, grids: Sequence[Grid], side: int) -> NDArray[np.intp]:
    """Which tile of the coarser grids each row belongs to, (n,); -1 off the page."""
    own, tiles, first = page.grid_of(slice(None)), np.full(len(page), -1), 0
    for i, (fine, coarse) in enumerate(zip(page.grids, grids, strict=True)):
        row, col = np.divmod(page.cells[own == i] - page.firsts[i], fine.n_cols)
        tiles[own == i] = first + row // side * coarse.n_cols + col // side
        first += len(coarse)
    return tiles


def _means(vectors: NDArray[np.float32], firsts: NDArray[np.intp]) -> NDArray[np.float32]:
    """The mean of each run of rows, as long as they are on average: a unit row where they are unit rows."""
    counts = np.diff(np.append(firsts, len(vectors)))[:, None]
    means = np.add.reduceat(vectors, firsts, axis=0, dtype=np.float64) / counts if len(firsts) else vectors
    length = np.linalg.norm(means, axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    usual = np.add.reduceat(lengths, firsts, axis=0) / counts if len(firsts) else lengths
    scaled: NDArray[np.float32] = (means * np.where(length > 1e-9, usual / np.maximum(length, 1e-9), 1.0)).astype(
        np.float32
    )
    return scaled
