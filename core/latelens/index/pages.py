"""Images of pages in an index: encoded only where they are new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from latelens.encoders.protocol import page_encoder
from latelens.index.arguments import check_count
from latelens.index.batches import batches
from latelens.index.protocol import PAGE_IMAGE, EncodedChunk, Index
from latelens.pages.images import picture_of, pixels_digest
from latelens.refusals import check_is

if TYPE_CHECKING:
    from latelens.pages.page import Page


def add_pages(
    index: Index,
    pages: Sequence[Page],
    *,
    metadata: Mapping[str, Any] | None = None,
    batch_size: int = 16,
    show_progress: bool = False,
) -> int:
    """Store the images of pages, replacing those with the same ids, and return how many were encoded.

    A page is a chunk under its own id, such as ``report.pdf:page_7``: its text is what can be read there, its document
    the file, and its metadata name ``source``, ``file_name``, ``page`` from 0, ``page_label`` and ``page_image``, the
    digest of its pixels. A page that is stored already, unchanged, is not encoded again. Each batch is acknowledged
    before the next is drawn, so a call that was interrupted is simply made again.

    >>> from latelens.pages import open_pages
    >>> add_pages(index, open_pages("report.pdf"))  # doctest: +SKIP
    20

    Parameters
    ----------
    metadata
        Of every page, besides its own.

    Raises
    ------
    TypeError
        If the index's encoder reads text alone.
    """
    check_is("index", index, Index, "an index of latelens.index")
    check_count("batch_size", batch_size)
    encoder, written = page_encoder(index.encoder), 0
    with tqdm(total=len(pages), desc="Indexing", unit="page", disable=not show_progress) as progress:
        for batch in batches(pages, batch_size):
            told = [{**(metadata or {}), **_metadata(page)} for page in batch]
            new = _new(index, batch, told)
            rows = encoder.encode_pages([batch[i] for i in new])
            chunks = [
                EncodedChunk(
                    batch[i].id, batch[i].text, told[i], batch[i].source, rows=each, fingerprint=encoder.fingerprint
                )
                for i, each in zip(new, rows, strict=True)
            ]
            written += index.upsert(chunks)
            progress.update(len(batch))
    return written


def _new(index: Index, pages: Sequence[Page], told: Sequence[Mapping[str, Any]]) -> list[int]:
    """Positions of the pages that the index does not hold as they are."""
    known = index.get([page.id for page in pages])
    return [
        i
        for i, (page, chunk) in enumerate(zip(pages, known, strict=True))
        if chunk is None
        or chunk.text != page.text
        or chunk.metadata != {**told[i], PAGE_IMAGE: pixels_digest(picture_of(page))}
    ]


def _metadata(page: Page) -> dict[str, Any]:
    name = Path(page.source).name
    return {"source": page.source, "file_name": name, "page": page.number - 1, "page_label": page.label}
