"""Rows as an `ExactIndex` or a `LanceIndex` keeps them: whole, at half or at a quarter of the size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

RowType = Literal["float32", "float16", "int8"]
ROW_TYPES: tuple[str, ...] = get_args(RowType)
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True, eq=False)
class StoredRows:
    """Rows of one type; what they are is what `exact` gives, and every score is that of these.

    Attributes
    ----------
    values
        (rows, dim) float32, float16 or int8.
    steps
        (rows,) float32, what 1 stands for in each row of int8; None for the others.
    """

    values: NDArray[Any]
    steps: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, some: slice) -> NDArray[np.float32]:
        return self.part(some).exact()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions."""
        return len(self.values), int(self.values.shape[1])

    @property
    def row_type(self) -> str:
        """One of `ROW_TYPES`."""
        return self.values.dtype.name

    @property
    def nbytes(self) -> int:
        """Memory of the rows, in bytes."""
        return self.values.nbytes + (0 if self.steps is None else self.steps.nbytes)

    def part(self, some: slice) -> StoredRows:
        """Some of the rows; nothing is copied."""
        return StoredRows(self.values[some], None if self.steps is None else self.steps[some])

    def exact(self) -> NDArray[np.float32]:
        """The rows, (rows, dim) float32: the same memory where that is what is kept."""
        values: NDArray[np.float32] = self.values.astype(np.float32, copy=False)
        return values if self.steps is None else values * self.steps[:, None]

    def as_type(self, row_type: str) -> StoredRows:
        """The same rows kept as another type; as they are where it is this one.

        Raises
        ------
        ValueError
            If a number is too large for float16.
        """
        if row_type == self.row_type:
            return self
        exact = self.exact()
        if row_type == "float32":
            return StoredRows(exact)
        if row_type == "float16":
            return StoredRows(_halved(exact))
        return StoredRows(*_in_steps(exact))


def joined(parts: Iterable[StoredRows]) -> StoredRows:
    """Rows of one type, end to end; copies them."""
    found = list(parts)
    steps = [part.steps for part in found if part.steps is not None]
    return StoredRows(np.concatenate([part.values for part in found]), np.concatenate(steps) if steps else None)


def in_types(parts: Iterable[StoredRows], row_type: str) -> Iterator[StoredRows]:
    """Each part kept as this type."""
    return (part.as_type(row_type) for part in parts)


def kept_rows(manifest: Mapping[str, Any], asked: str | None, path: Path) -> str:
    """The type that a folder keeps its rows in; refuses another one that was asked for."""
    kept = str(manifest.get("rows", "float32"))
    if asked not in (None, kept):
        raise ValueError(
            f"{str(path)!r} keeps its rows as {kept}, and rows={asked!r} was asked for: leave rows out, or fill a new "
            "folder"
        )
    return kept


def _halved(exact: NDArray[np.float32]) -> NDArray[np.float16]:
    largest = float(np.abs(exact).max(initial=0))
    if largest > _LARGEST:
        raise ValueError(
            f"a row holds {largest:.3g}, and float16 ends at {_LARGEST:.0f}; take rows='float32' or "
            "'int8', or a model that normalises its rows"
        )
    return exact.astype(np.float16)


def _in_steps(exact: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rows as multiples, -127..127, of a step for each.

    The last 8 bits of a step are 0, so that 127 steps are a float32: rows that are such multiples already stay what
    they are, however often they are written anew.
    """
    largest = np.abs(exact).max(axis=1, initial=0) / np.float32(127)
    steps = ((largest.view(np.int32) + 0xFF) & ~0xFF).view(np.float32)
    multiples = np.rint(exact / np.where(steps > 0, steps, 1)[:, None])
    return multiples.astype(np.int8), steps
