"""What encoders around an encoder that join rows have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.protocol import Encoder
from latelens.refusals import check_is


@dataclass(frozen=True)
class PooledEncoder(ABC):
    """An encoder whose documents or pages have fewer rows than another's, which encodes; queries keep all theirs."""

    encoder: Encoder

    def __post_init__(self) -> None:
        check_is("encoder", self.encoder, Encoder, "an Encoder, as load_encoder gives it")

    @property
    def name(self) -> str:
        """What the user loaded, and how it is pooled."""
        return f"{self.encoder.name}, {self._how}"

    @property
    def fingerprint(self) -> str:
        """The encoder's own, and how it is pooled."""
        return f"{self.encoder.fingerprint}, {self._how}, 1"

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self.encoder.dim

    @property
    @abstractmethod
    def _how(self) -> str:
        """How rows are joined, in words."""

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries with all their rows; one result each, in order."""
        return self.encoder.encode_queries(texts)
