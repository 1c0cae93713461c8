"""An encoder that keeps what it encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.cache import EmbeddingCache
from latelens.encoders.calibration import Calibration
from latelens.encoders.protocol import Encoder, page_encoder, reads_pages

if TYPE_CHECKING:
    from latelens.pages.images import PageImage


@dataclass(frozen=True)
class CachedEncoder:
    """An encoder behind a cache: an `Encoder` itself, with the same name, fingerprint and calibration.

    >>> from latelens import EmbeddingCache, load_encoder
    >>> encoder = CachedEncoder(load_encoder("offline/all-MiniLM-L6-v2"), EmbeddingCache())
    >>> first, again = (encoder.encode_documents(["Elephants eat grass."])[0] for _ in range(2))
    >>> again is first
    True
    """

    encoder: Encoder
    cache: EmbeddingCache

    @property
    def name(self) -> str:
        """What the user loaded."""
        return self.encoder.name

    @property
    def fingerprint(self) -> str:
        """The encoder's own."""
        return self.encoder.fingerprint

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self.encoder.dim

    @property
    def calibration(self) -> Calibration | None:
        """The encoder's calibration, if it has one."""
        return getattr(self.encoder, "calibration", None)

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode the queries that the cache does not hold; one result each, in order."""
        return self.cache.encode_queries(self.encoder, texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode the documents that the cache does not hold; one result each, in order."""
        return self.cache.encode_documents(self.encoder, texts, show_progress=show_progress)


@dataclass(frozen=True)
class CachedPageEncoder(CachedEncoder):
    """`CachedEncoder` for a model that reads page images."""

    def encode_pages(self, pages: Sequence[PageImage], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode the pages that the cache does not hold; one result each, in order."""
        return self.cache.encode_pages(page_encoder(self.encoder), pages, show_progress=show_progress)


def cached(encoder: Encoder, cache: EmbeddingCache | None) -> Encoder:
    """Put an encoder behind a cache; without one, the encoder as it is."""
    if cache is None:
        return encoder
    return (CachedPageEncoder if reads_pages(encoder) else CachedEncoder)(encoder, cache)
