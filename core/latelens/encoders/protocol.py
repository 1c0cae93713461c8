"""What the rest of latelens asks of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from latelens.embeddings import TokenEmbeddings


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into token embeddings. Bring your own by implementing these members.

    Attributes
    ----------
    name
        What the user loaded; it travels in metadata.
    fingerprint
        Changes whenever the vectors could change; part of every cache key.
    dim
        Length of each vector.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def dim(self) -> int: ...  # noqa: D102

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries, one result each, in order."""
        ...

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode documents of any length, one result each, in order."""
        ...
