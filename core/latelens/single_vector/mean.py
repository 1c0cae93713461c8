"""The mean of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.single_vector.protocol import at_length_one


@dataclass(frozen=True)
class MeanOfRows:
    """The mean of the rows, at length 1: as long as a row, nothing to fit; zeros where rows cancel out.

    The mean of similarities stands for their maximum. That suits a model that was trained on means, as
    sentence-embedding models are.
    """

    source: ClassVar[str] = "Reimers and Gurevych, EMNLP 2019 (mean pooling)"

    def check_encoder(self, encoder: Encoder) -> None:
        """Any encoder will do."""

    def queries(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The vectors of questions, (texts, dim) float32."""
        return at_length_one(np.stack([text.vectors.sum(axis=0, dtype=np.float64) for text in texts]))

    def documents(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The vectors of documents, (texts, dim) float32."""
        return self.queries(texts)
