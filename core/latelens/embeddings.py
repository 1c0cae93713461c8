"""What an encoder returns: one vector for each token that scores, with its token, its characters and its kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        False where some visible character of ``text`` was not encoded.

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

    def __post_init__(self) -> None:
        n = len(self.tokens)
        _check("vectors", self.vectors, np.float32, (n, None))
        _check("spans", self.spans, np.int32, (n, 2))
        _check("kinds", self.kinds, np.uint8, (n,))
        # One BLAS pass instead of a boolean array: a NaN or an infinity anywhere makes the sum of squares not finite.
        flat = self.vectors.reshape(-1)
        if not np.isfinite(np.dot(flat, flat)):
            bad = int(np.flatnonzero(~np.isfinite(self.vectors).all(axis=1))[:1].sum())
            raise ValueError(
                f"vectors must be finite, but row {bad} of {n} holds NaN or infinity, or the rows are too large; "
                "check the model's weights and dtype"
            )

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
        return self.vectors.nbytes + self.spans.nbytes + self.kinds.nbytes + labels + len(self.text)

    @property
    def is_page_image(self) -> bool:
        """Whether rows stand for patches of a page image, and none for text."""
        return bool((self.kinds == TokenKind.PATCH).any()) and not len(self.content_rows())

    def content_rows(self) -> NDArray[np.intp]:
        """Indices of the rows that stand for visible text, in order: control, marker and expansion rows are out."""
        return np.flatnonzero((self.kinds == TokenKind.CONTENT) & (self.spans[:, 0] >= 0))


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
