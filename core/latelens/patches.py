"""Where on a page the rows of its image lie: cells of grids that cover the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.refusals import check_count

# Of a page: what rounding may leave of a cell that lies beside it.
_SLIVER = 1e-9


@dataclass(frozen=True)
class Grid:
    """Equal cells over a page, counted line by line from the upper left corner.

    Attributes
    ----------
    n_cols, n_rows
        How many cells stand side by side, and how many lines of them there are.
    width, height
        What the grid covers, in pages: 1.06 where a model's processor adds 6 % of white on the right.
    """

    n_cols: int
    n_rows: int
    width: float = 1.0
    height: float = 1.0

    def __post_init__(self) -> None:
        for name in ("n_cols", "n_rows"):
            check_count(f"a grid's {name}", getattr(self, name))
        for name in ("width", "height"):
            extent = getattr(self, name)
            if not (math.isfinite(extent) and extent > 0):
                raise ValueError(f"a grid's {name} is a number of pages above 0, got {extent!r}")

    def __len__(self) -> int:
        return self.n_cols * self.n_rows

    def boxes(self) -> NDArray[np.float64]:
        """Left, top, right, bottom of each cell in fractions of the page, (cells, 4); beyond 1 it is off the page."""
        lefts = np.arange(self.n_cols + 1) * self.width / self.n_cols
        tops = np.arange(self.n_rows + 1) * self.height / self.n_rows
        top, left = (each.ravel() for each in np.meshgrid(tops[:-1], lefts[:-1], indexing="ij"))
        bottom, right = (each.ravel() for each in np.meshgrid(tops[1:], lefts[1:], indexing="ij"))
        return np.stack([left, top, right, bottom], axis=1)


@dataclass(frozen=True, eq=False)
class PatchGrid:
    """The cell of each row of a page image.

    Attributes
    ----------
    grids
        The finest first, the overview of the whole page last, as models give that cut a page into tiles.
    cells
        (n,) int32, counted through the grids in their order; -1 for a row of the prompt, which lies on no page.
    image
        Digest of the pixels that were encoded; empty where it is not known.

    Raises
    ------
    ValueError, TypeError
        If a cell is in no grid, or two rows have the same.

    >>> page = PatchGrid((Grid(2, 2),), np.array([-1, 0, 1, 2, 3], dtype=np.int32))
    >>> page.boxes([2]).tolist()
    [[0.5, 0.0, 1.0, 0.5]]
    """

    grids: tuple[Grid, ...]
    cells: NDArray[np.int32]
    image: str = ""

    def __post_init__(self) -> None:
        if not self.grids:
            raise ValueError("a page image needs at least one grid of patches")
        if not isinstance(self.cells, np.ndarray) or self.cells.dtype != np.int32 or self.cells.ndim != 1:
            raise TypeError(f"cells must be a numpy array (n,) of int32, got {_described(self.cells)}")
        total = sum(map(len, self.grids))
        if self.cells.size and not -1 <= int(self.cells.min()) <= int(self.cells.max()) < total:
            raise ValueError(
                f"cells must lie in -1..{total - 1} for grids of {total} cells, got {int(self.cells.min())}.."
                f"{int(self.cells.max())}"
            )
        rows = np.bincount(self.cells[self.cells >= 0], minlength=total)
        if (rows > 1).any():
            raise ValueError(f"a cell belongs to one row, but {int(rows.max())} rows have cell {int(rows.argmax())}")

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def nbytes(self) -> int:
        """Approximate memory, in bytes."""
        return self.cells.nbytes + 100 * len(self.grids) + len(self.image)

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """Where the cells of each grid begin in the count, and where the last one's end."""
        return tuple(np.cumsum([0, *map(len, self.grids)]).tolist())

    @cached_property
    def on_page(self) -> NDArray[np.bool_]:
        """Whether each row's cell shows some of the page, (n,): not so for the prompt and for padding."""
        on_page: NDArray[np.bool_] = self._seen[self.cells]  # the last, which -1 takes, is no cell
        return on_page

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        """Boxes of the cells of all grids, and of none, cut at the page's edges: (cells + 1, 4)."""
        return np.concatenate([*(grid.boxes() for grid in self.grids), np.full((1, 4), np.nan)]).clip(0, 1)

    @cached_property
    def _seen(self) -> NDArray[np.bool_]:
        left, top, right, bottom = self._edges.T
        seen: NDArray[np.bool_] = (right - left > _SLIVER) & (bottom - top > _SLIVER)
        return seen

    def grid_of(self, rows: Any) -> NDArray[np.intp]:
        """Which of the grids each of some rows belongs to, (k,); -1 for none."""
        cells = self.cells[rows]
        return np.where(cells < 0, -1, np.searchsorted(self.firsts, cells, side="right") - 1)

    def boxes(self, rows: Any) -> NDArray[np.float64]:
        """Left, top, right, bottom of some rows' cells in fractions of the page, (k, 4), cut at its edges.

        `rows` is what indexes an array. NaN for a row off the page.
        """
        cells = self.cells[rows]
        return np.where(self._seen[cells][..., None], self._edges[cells], np.nan)

    def lay(self, values: NDArray[Any], grid: int = 0) -> NDArray[np.float32]:
        """Values of the rows, (..., n), on one of the grids: (..., n_rows, n_cols), NaN where a cell has no row."""
        shape, first, end = self.grids[grid], self.firsts[grid], self.firsts[grid + 1]
        inside = (self.cells >= first) & (self.cells < end)
        laid = np.full((*values.shape[:-1], end - first), np.nan, dtype=np.float32)
        laid[..., self.cells[inside] - first] = values[..., inside]
        return laid.reshape(*values.shape[:-1], shape.n_rows, shape.n_cols)


def _described(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
