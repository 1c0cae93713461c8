"""One vector a text that stands for its rows, so that any database can be the first of two stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.lazy import LazyEncoder


class OneVector:
    """A late-interaction model that gives each text the mean of its rows, at unit length.

    It is a rough stand-in for MaxSim, which has no such vector: take some ten times as many candidates as are wanted,
    and score them with a `TwoStage`. Questions and documents are encoded differently, as the model was trained.
    """

    def __init__(self, model: Any, *, batch_size: int | None, device: str | None) -> None:
        self.encoder = LazyEncoder(model, device=device, batch_size=batch_size)

    def documents(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each document."""
        return [mean_of_rows(rows) for rows in self.encoder.encode_documents(list(texts))] if texts else []

    def query(self, text: str) -> list[float]:
        """The vector of a question."""
        return mean_of_rows(self.encoder.encode_queries([text])[0])


def mean_of_rows(rows: TokenEmbeddings) -> list[float]:
    """The mean of all rows, at unit length; zeros where the rows cancel out."""
    mean = rows.vectors.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    vector: list[float] = (mean / length if length else mean).tolist()
    return vector
