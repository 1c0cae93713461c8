"""What a method that makes one vector of many rows is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder


@runtime_checkable
class SingleVector(Protocol):
    """Makes one vector of a text's rows; the closer a question's and a document's are, the higher is MaxSim, roughly.

    Every vector has length 1, so cosine, dot product and Euclidean distance order documents alike: it does not matter
    which of them a database computes.

    Attributes
    ----------
    source
        Where the method comes from.
    """

    source: ClassVar[str]

    def check_encoder(self, encoder: Encoder) -> None:
        """Refuse an encoder whose rows the method does not know."""
        ...

    def queries(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The vectors of questions, (texts, dim) float32."""
        ...

    def documents(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The vectors of documents, (texts, dim) float32."""
        ...


def at_length_one(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each vector over its length; zeros stay zeros.

    >>> at_length_one(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def questions_beside(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Vectors of questions, to be compared with `documents_within`, (texts, dim + 1)."""
    return at_length_one(np.pad(vectors, ((0, 0), (0, 1))))


def documents_within(vectors: NDArray[np.floating], radius: float) -> NDArray[np.float32]:
    """Vectors of documents over `radius`, with one more coordinate that makes the length 1, (texts, dim + 1).

    Their cosine with `questions_beside` is then in proportion to the dot product, which databases that compare by
    angle or by distance do not offer (Bachrach et al., RecSys 2014). A vector longer than the radius is shortened.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    inside = vectors / np.maximum(lengths, radius)
    rest = np.sqrt(np.maximum(0, 1 - (inside**2).sum(axis=1, keepdims=True)))
    return np.hstack([inside, rest]).astype(np.float32)
