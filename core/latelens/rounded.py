"""MaxSim over rows rounded to bfloat16: half the cost on processors that compute with it, and a bound on the error.

With the bound, exact scores are needed only for documents that may be among the best by the rounded ones.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from latelens.maxsim import blocks

if TYPE_CHECKING:
    import torch

# Rows to multiply at a time: their products with 32 query rows in bfloat16 take 1 MiB. Smaller blocks were slower.
_BLOCK_ROWS = 1 << 14
# The same for rows that are copied first, so that the copy stays in the cache.
_COPIED_ROWS = 4096
# Rows to round at a time, so that they stay in the cache and little memory is taken on the way.
_ROUND_ROWS = 2048
# bfloat16 keeps 8 bits, and the instructions round to nearest: by at most this share of the result.
_UNIT = 2.0**-8
# Products of longer rows may be too large for float32.
_LONGEST = 1e15
_EPS = float(np.finfo(np.float32).eps)


class Rows(Protocol):
    """(rows, dim), of which slices are float32 arrays."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def __getitem__(self, some: slice, /) -> NDArray[np.float32]: ...


@dataclass(frozen=True, eq=False)
class RoundedRows:
    """Rows in bfloat16.

    Attributes
    ----------
    values
        (rows, dim) bfloat16.
    lost
        No row is further than this from what was rounded.
    norm
        No row is longer than this, rounded or not.
    """

    values: torch.Tensor
    lost: float
    norm: float

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return int(self.values.shape[0])  # a tensor takes a microsecond to say so

    @cached_property
    def dim(self) -> int:
        """Length of each row."""
        return int(self.values.shape[1])

    def maxsim(
        self, query: NDArray[np.float32], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores of documents that own rows ``offsets[i]:offsets[i + 1]``, and how far each may be from `maxsim`'s.

        Both are (documents,) float64.
        """
        asked = _Asked(query, _BLOCK_ROWS)
        best = np.empty((len(query), len(offsets) - 1), dtype=np.float32)  # (query rows, documents)
        for first, last in blocks(offsets, _BLOCK_ROWS):
            # Always as many rows, though they be another document's: oneDNN makes its code anew for other sizes.
            start, end = int(offsets[first]), max(int(offsets[last]), int(offsets[first]) + _BLOCK_ROWS)
            best[:, first:last] = asked.best(self.values[start:end], offsets[first : last + 1] - start)
        return best.sum(axis=0, dtype=np.float64), asked.error(best, self.lost, self.norm)


def maxsim_apart(
    query: NDArray[np.float32], documents: Sequence[RoundedRows]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`RoundedRows.maxsim` with documents whose rows lie apart; each has one at least, and the query's dimension.

    Their rows are copied together, some at a time: one product a document takes three times as long.
    """
    import torch

    asked = _Asked(query, _COPIED_ROWS)
    offsets = np.cumsum([0, *map(len, documents)])
    best = np.empty((len(query), len(documents)), dtype=np.float32)  # (query rows, documents)
    together = asked.rows.new_zeros((_COPIED_ROWS, query.shape[1]))
    for first, last in blocks(offsets, _COPIED_ROWS):
        edges = offsets[first : last + 1] - offsets[first]
        some = documents[first].values
        if edges[-1] <= _COPIED_ROWS:
            torch.cat([document.values for document in documents[first:last]], out=together[: edges[-1]])
            some = together
        best[:, first:last] = asked.best(some, edges)
    lost, norm = (np.array([getattr(document, name) for document in documents]) for name in ("lost", "norm"))
    return best.sum(axis=0, dtype=np.float64), asked.error(best, lost, norm)


class _Asked:
    """A query's rows in bfloat16, and room for their products with so many rows of documents at a time."""

    def __init__(self, query: NDArray[np.float32], rows: int) -> None:
        import torch

        self.query = query
        self.rows = torch.tensor(query, device="cpu").to(torch.bfloat16)
        self._room = self.rows.new_empty((len(query), rows))

    def best(self, some: torch.Tensor, edges: NDArray[np.int64]) -> NDArray[np.float32]:
        """The largest product of each query row in each document, (query rows, documents), of rows in bfloat16."""
        import torch

        with torch.inference_mode():
            fits = len(some) == self._room.shape[1]
            similarity = torch.mm(self.rows, some.T, out=self._room) if fits else torch.mm(self.rows, some.T)
        return _largest(similarity.view(torch.int16).numpy()[:, : edges[-1]], edges[:-1])

    def error(
        self, best: NDArray[np.float32], lost: float | NDArray[np.float64], norm: float | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """How far the sum of `best` may be from the exact score, (documents,).

        With ``q = q' + a`` and ``d = d' + b``, where ``q'`` and ``d'`` are rounded, ``|qd - q'd'| <= |a| |d| + |q'|
        |b|`` for each pair of rows, so for the largest of them too, whose rounding to bfloat16 moves it by at most
        `_UNIT` of itself; sums in float32 lose less than ``dim`` times their epsilon.
        """
        import torch

        kept = self.rows.to(torch.float64).numpy()
        lengths = np.linalg.norm(self.query.astype(np.float64), axis=1)
        off = np.linalg.norm(self.query - kept, axis=1).sum() * norm + np.linalg.norm(kept, axis=1).sum() * lost
        off += 2 * self.query.shape[1] * _EPS * lengths.sum() * norm + 1e-30  # both products' sums, and underflow
        error: NDArray[np.float64] = off + _UNIT * np.abs(best).sum(axis=0, dtype=np.float64)
        return error


def rounded(values: Rows, norm: float) -> RoundedRows | None:
    """Round rows, (rows, dim), of which none is longer than `norm`; None where one may be too long.

    Takes as long as two products with 32 query rows, and half the memory of the rows.
    """
    if norm > _LONGEST:
        return None
    import torch

    kept, lost = torch.empty(values.shape, dtype=torch.bfloat16, device="cpu"), 0.0
    for first in range(0, values.shape[0], _ROUND_ROWS):
        exact = torch.tensor(
            values[first : first + _ROUND_ROWS], device="cpu"
        )  # a copy: mapped rows cannot be written to
        near = kept[first : first + _ROUND_ROWS]
        near.copy_(exact)
        lost = max(lost, float(torch.linalg.vector_norm(exact.sub_(near), dim=1).max()))
    # Lengths are roots of sums in float32, where squares of less than 1e-38 are nothing.
    return RoundedRows(kept, lost * (1 + 1e-4) + 1e-17, norm * (1 + 1e-4) + lost + 1e-17)


def pays() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32, as far as is known of it.

    False where torch is not loaded: it is not loaded for this.
    """
    return sys.modules.get("torch") is not None and _has_bfloat16()


@cache
def _has_bfloat16() -> bool:
    import torch

    # AVX-512 BF16, which every processor with AMX has too; its products are exact and its sums float32. Whether the
    # others gain was not measured.
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return asked is not None and bool(asked()) and bool(there)


def _largest(bits: NDArray[np.int16], edges: NDArray[np.int64]) -> NDArray[np.float32]:
    """The largest number of each document, (query rows, documents), of bfloat16s by their bits, (query rows, rows).

    Bits of positive numbers are ordered like the numbers, and twice as fast to compare.
    """
    found = np.maximum.reduceat(bits, edges, axis=1)
    if (found < 0).any():  # all are negative, whose bits run the other way
        found = _turned(np.maximum.reduceat(_turned(bits), edges, axis=1))
    numbers: NDArray[np.float32] = (found.astype(np.int32) << 16).view(np.float32)
    return numbers


def _turned(bits: NDArray[np.int16]) -> NDArray[np.int16]:
    """The bits of negative numbers in the order of the numbers, and back again."""
    return bits ^ ((bits >> 15) & np.int16(0x7FFF))
