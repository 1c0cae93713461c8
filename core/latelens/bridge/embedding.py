"""One vector a text that stands for its rows, so that any database can be the first of two stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from latelens.encoders.lazy import LazyEncoder
from latelens.encoders.options import EncoderOptions
from latelens.refusals import check_is, check_texts
from latelens.single_vector import MeanOfRows, SingleVector

MEAN = MeanOfRows()


class OneVector:
    """A late-interaction model that gives each text one vector in place of its rows, by a method.

    The vector is a rough stand-in for MaxSim, which has none: take some ten times as many candidates as are wanted,
    and score them with a `TwoStage`. Questions and documents are encoded differently, as the model was trained.
    """

    def __init__(self, model: Any, options: EncoderOptions, *, method: SingleVector) -> None:
        check_is("method", method, SingleVector, "a method of latelens.single_vector")
        self.encoder = LazyEncoder(model, **options)
        self.method = method

    def documents(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each document."""
        check_texts("texts", texts)
        self.method.check_encoder(self.encoder)
        found: list[list[float]] = []
        if len(texts):
            found = self.method.documents(self.encoder.encode_documents(list(texts))).tolist()
        return found

    def query(self, text: str) -> list[float]:
        """The vector of a question."""
        check_is("text", text, str, "a str")
        self.method.check_encoder(self.encoder)
        found: list[float] = self.method.queries(self.encoder.encode_queries([text]))[0].tolist()
        return found
