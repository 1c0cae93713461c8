"""MUVERA's fixed dimensional encoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.refusals import check_count
from latelens.single_vector.protocol import documents_within, questions_beside

# (rows, width) and the cell of each, of 2**bits -> (2**bits, width)
Join = Callable[[NDArray[np.float32], NDArray[np.intp], int], NDArray[np.float32]]


@dataclass(frozen=True)
class Muvera:
    """Rows sorted into random cells: a document's mean in each cell meets the sum of a question's rows in that cell.

    Nothing is fitted. The vector has ``repetitions * 2**bits * width + 1`` numbers, 10,241 by default, as in the paper.
    Many databases build no index over so many: pgvector stops at 2,000, or 4,000 in half precision.

    Parameters
    ----------
    repetitions
        How often space is cut anew.
    bits
        Into ``2**bits`` cells, by the side of so many random planes on which a row lies.
    width
        Numbers kept of each cell's vector, by a random projection.
    seed
        Of the planes and projections; vectors of different seeds do not compare.
    """

    repetitions: int = 20
    bits: int = 5
    width: int = 16
    seed: int = 0

    source: ClassVar[str] = "Dhulipala et al., NeurIPS 2024 (arXiv:2405.19504)"

    def __post_init__(self) -> None:
        for name in ("repetitions", "bits", "width"):
            check_count(name, getattr(self, name))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.repetitions * (1 << self.bits) * self.width + 1

    def check_encoder(self, encoder: Encoder) -> None:
        """Any encoder will do."""

    def queries(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The vectors of questions, (texts, dim) float32."""
        return questions_beside(np.stack([self._in_cells(text.vectors, _sums) for text in texts]))

    def documents(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The vectors of documents, (texts, dim) float32."""
        cells = np.stack([self._in_cells(text.vectors, _means) for text in texts])
        # A cell's mean is no longer than 1 for unit rows, and the projection keeps lengths on average.
        return documents_within(cells, float(np.sqrt(self.repetitions * 2**self.bits)))

    def _in_cells(
        self,
        rows: NDArray[np.float32],
        join: Callable[[NDArray[np.float32], NDArray[np.intp], int], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """What stands in each cell of each repetition, one after the other."""
        if not len(rows):
            return np.zeros(self.dim - 1, dtype=np.float32)
        planes, projections = _drawn(self, rows.shape[1])
        sides = rows @ planes > 0  # (repetitions, n, bits)
        cells = sides @ (1 << np.arange(self.bits))  # (repetitions, n)
        projected = rows @ projections  # (repetitions, n, width)
        joined = [join(some, cell, self.bits) for some, cell in zip(projected, cells, strict=True)]
        return np.concatenate(joined).ravel()


@lru_cache(maxsize=8)
def _drawn(method: Muvera, dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Planes (repetitions, dim, bits) and projections (repetitions, dim, width) of random signs."""
    draw = np.random.default_rng(method.seed)
    planes = draw.standard_normal((method.repetitions, dim, method.bits), dtype=np.float32)
    signs = draw.integers(0, 2, (method.repetitions, dim, method.width)) * 2 - 1
    return planes, (signs / np.sqrt(method.width)).astype(np.float32)


def _sums(rows: NDArray[np.float32], cells: NDArray[np.intp], bits: int) -> NDArray[np.float32]:
    """The sum of the rows in each cell, (2**bits, width)."""
    sums = np.zeros((2**bits, rows.shape[1]), dtype=np.float32)
    np.add.at(sums, cells, rows)
    return sums


def _means(rows: NDArray[np.float32], cells: NDArray[np.intp], bits: int) -> NDArray[np.float32]:
    """The mean of the rows in each cell, (2**bits, width); an empty one gets the row from the fewest planes away."""
    counts = np.bincount(cells, minlength=2**bits)
    means = _sums(rows, cells, bits)
    means /= np.maximum(counts, 1)[:, None].astype(np.float32)
    empty = np.flatnonzero(counts == 0)
    planes_between = np.array([code.bit_count() for code in range(2**bits)])
    apart = planes_between[empty[:, None] ^ cells]  # (empty, n)
    means[empty] = rows[apart.argmin(axis=1)]
    return means
