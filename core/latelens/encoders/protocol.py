"""What the rest of latelens asks of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from latelens.embeddings import TokenEmbeddings

if TYPE_CHECKING:
    from latelens.pages.images import PageImage


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


@runtime_checkable
class PageEncoder(Encoder, Protocol):
    """An encoder that also turns page images into token embeddings: ColPali and its family."""

    def encode_pages(self, pages: Sequence[PageImage], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode pages, one result each, in order; ``page`` says which cell each row of a result is.

        A page is a `Page`, as `open_pages` gives them, a picture of Pillow's, or a file with one page: its path or its
        bytes.
        """
        ...


def reads_pages(encoder: Encoder) -> bool:
    """Whether an encoder takes page images; of one that is not loaded yet, whether it may."""
    # Not `isinstance`, which before Python 3.12 computes the fingerprint to see whether there is one.
    return hasattr(encoder, "encode_pages")


def page_encoder(encoder: Encoder) -> PageEncoder:
    """The encoder, if it reads page images.

    Raises
    ------
    TypeError
        If it reads text alone.
    """
    if not reads_pages(encoder):
        raise TypeError(
            f"{encoder.name!r} reads text, not images of pages: load a model of ColPali's family, or give it the "
            "pages' text"
        )
    return cast(PageEncoder, encoder)
