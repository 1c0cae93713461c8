"""What an encoder returns: one vector for each token that scores, with its token, its characters and its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.legibility import READABLE, unread_share
from latelens.patches import PatchGrid
from latelens.refusals import check_is

NO_SPAN = (-1, -1)


class TokenKind(IntEnum):
    """What a row stands for.

    CONTENT is a piece of the text. SPECIAL is a control token such as ``[CLS]``, whether the tokenizer added
    it or the text spells it out. MARKER is a row of the prompt, such as ``[Q]`` and ``[D]`` in ColBERT.
    EXPANSION is a ``[MASK]`` row that pads a query. PATCH is a patch of a page image.
    """

    CONTENT = 0
    SPECIAL = 1
    MARKER = 2
    EXPANSION = 3
    PATCH = 4


@dataclass(frozen=True, eq=False)
class PooledSpans:
    """The tokens behind pooled rows: each row is the mean of one or more of them.

    Attributes
    ----------
    spans
        (tokens, 2) int32, half-open ranges of characters, row by row; ``(-1, -1)`` for a token without visible text.
    starts
        (rows + 1,) int32: row ``i`` stands for ``spans[starts[i]:starts[i + 1]]``, never none.
    """

    spans: NDArray[np.int32]
    starts: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check("pooled spans", self.spans, np.int32, (None, 2))
        _check("pooled starts", self.starts, np.int32, (None,))
        edges = self.starts
        if not len(edges) or edges[0] != 0 or edges[-1] != len(self.spans) or (np.diff(edges) < 1).any():
            raise ValueError(f"pooled starts must rise from 0 to {len(self.spans)}, got {edges[:8].tolist()}")

    def take(self, rows: NDArray[np.intp]) -> PooledSpans:
        """The tokens behind some rows, in the order given."""
        parts = [self.spans[self.starts[row] : self.starts[row + 1]] for row in rows.tolist()]
        starts = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int32)
        return PooledSpans(np.concatenate(parts) if parts else self.spans[:0], starts)

    @staticmethod
    def joined(parts: Sequence[PooledSpans | None]) -> PooledSpans | None:
        """Rows of many texts, end to end; None where none of them is pooled.

        Raises
        ------
        ValueError
            If only some of them are.
        """
        pooled = [part for part in parts if part is not None]
        if not pooled:
            return None
        if len(pooled) < len(parts):
            raise ValueError(
                f"{len(pooled)} of {len(parts)} texts have pooled rows: encode all of them with one encoder"
            )
        starts = np.cumsum([0, *(size for part in pooled for size in np.diff(part.starts).tolist())], dtype=np.int32)
        return PooledSpans(np.concatenate([part.spans for part in pooled]), starts)

    def moved(self, by: int) -> PooledSpans:
        """The same tokens in a longer or shorter text: its characters begin `by` later; none where that is before 0."""
        return PooledSpans(moved(self.spans, by), self.starts)


@dataclass(frozen=True, eq=False)
class TokenEmbeddings:
    """The rows of one query or one document that take part in MaxSim.

    Attributes
    ----------
    text
        The string that the caller gave. Every span is a range of its characters (code points).
    vectors
        (n, dim) float32; unit rows for every model that normalises, as ColBERT models do.
    tokens
        (n,) pieces as the tokenizer writes them.
    spans
        (n, 2) int32, half-open ``[start, end)`` in ``text``; ``(-1, -1)`` where a row has no visible text.
    kinds
        (n,) uint8, one `TokenKind` a row.
    complete
        False where some visible character of ``text`` was not encoded, or `unread` is above `READABLE`.
    pooled
        The tokens behind each row where rows stand for several (`TokenPooling`); `tokens` and `spans` then name the one
        of them that is most like the row. None where each row is one token.
    page
        Where the rows of a page image lie, of which ``text`` is what can be read there otherwise; None for a text.

    Raises
    ------
    ValueError
        If the arrays do not belong together, or a vector is not finite.
    """

    text: str
    vectors: NDArray[np.float32]
    tokens: tuple[str, ...]
    spans: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    complete: bool = True
    pooled: PooledSpans | None = None
    page: PatchGrid | None = None

    def __post_init__(self) -> None:
        check_is("text", self.text, str, "a str")
        check_is("tokens", self.tokens, tuple, "a tuple of str")
        n = len(self.tokens)
        _check("vectors", self.vectors, np.float32, (n, None))
        _check("spans", self.spans, np.int32, (n, 2))
        _check("kinds", self.kinds, np.uint8, (n,))
        if self.pooled is not None and len(self.pooled.starts) != n + 1:
            raise ValueError(
                f"pooled must say of each of {n} rows what it stands for, got {len(self.pooled.starts) - 1}"
            )
        if self.page is not None:
            self._check_page(self.page)
        # One BLAS pass instead of a boolean array: a NaN or an infinity anywhere makes the sum of squares not finite.
        flat = self.vectors.reshape(-1)
        if not np.isfinite(np.dot(flat, flat)):
            bad = int(np.flatnonzero(~np.isfinite(self.vectors).all(axis=1))[:1].sum())
            raise ValueError(
                f"vectors must be finite, but row {bad} of {n} holds NaN or infinity, or the rows are too large; "
                "check the model's weights and dtype"
            )

        check_is("complete", self.complete, bool, "True or False")
        if self.complete and self.unread > READABLE:  # also for rows that were stored before this was asked
            object.__setattr__(self, "complete", False)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self.vectors.shape[1])

    @property
    def nbytes(self) -> int:
        """Approximate memory of the rows and their labels, in bytes."""
        labels = sum(len(token) for token in self.tokens) + 56 * len(self.tokens)
        behind = 0 if self.pooled is None else self.pooled.spans.nbytes + self.pooled.starts.nbytes
        cells = 0 if self.page is None else self.page.nbytes
        return self.vectors.nbytes + self.spans.nbytes + self.kinds.nbytes + behind + cells + labels + len(self.text)

    @cached_property
    def unread(self) -> float:
        """Share, 0..1, of the text's characters that the model saw but could not read, see `unread_share`."""
        return unread_share(self.text, self.tokens, self.spans)

    @property
    def is_page_image(self) -> bool:
        """Whether rows stand for patches of a page image, and none for text."""
        return bool((self.kinds == TokenKind.PATCH).any()) and not len(self.content_rows())

    def spans_of(self, rows: NDArray[np.intp]) -> NDArray[np.int32]:
        """Characters that some rows stand for, (k, 2) int32 in the text's order; pooled rows stand for several tokens.

        Tokens without visible text have none.
        """
        spans = self.spans[rows] if self.pooled is None else self.pooled.take(rows).spans
        found: NDArray[np.int32] = np.unique(spans[spans[:, 0] >= 0], axis=0)
        return found

    def content_rows(self) -> NDArray[np.intp]:
        """Indices of the rows that stand for visible text, in order: control, marker and expansion rows are out."""
        return np.flatnonzero((self.kinds == TokenKind.CONTENT) & (self.spans[:, 0] >= 0))

    def _check_page(self, page: PatchGrid) -> None:
        if len(page) != len(self.tokens):
            raise ValueError(f"page must have a cell for each of {len(self.tokens)} tokens, got {len(page)}")
        wrong = np.flatnonzero((page.cells >= 0) != (self.kinds == TokenKind.PATCH))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"rows with a cell are those of kind PATCH, but row {row} has cell {int(page.cells[row])} and kind "
                f"{TokenKind(int(self.kinds[row])).name}"
            )


def moved(spans: NDArray[np.int32], by: int) -> NDArray[np.int32]:
    """Spans, (n, 2), in a longer or shorter text: its characters begin `by` later; (-1, -1) where that is before 0."""
    there = (spans[:, :1] >= 0) & (spans[:, :1] + by >= 0)
    return np.where(there, spans + by, np.int32(-1)).astype(np.int32)


def _check(name: str, array: NDArray[Any], dtype: Any, shape: tuple[int | None, ...]) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, got {type(array).__name__}")
    if array.dtype != dtype:
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {array.dtype}")
    fits = len(array.shape) == len(shape) and all(
        want is None or got == want for got, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape {shape} for {shape[0]} tokens, got {array.shape}")
