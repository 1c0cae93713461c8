"""`page_blocks`: pages, or the regions that answer, as blocks of a message to a model that sees."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Sequence

from langchain_core.documents import Document
from langchain_core.messages.content import ContentBlock, create_image_block, create_text_block

from langchain_latelens.documents import WRAP
from latelens.bridge.arguments import listed
from latelens.bridge.page_pictures import MAX_PIXELS, MIME_TYPE, PagePicture, page_pictures
from latelens.pages.files import file_page


def page_blocks(
    documents: Sequence[Document],
    *,
    folders: Sequence[str | os.PathLike[str]] = (),
    crops: bool = True,
    margin: float = 0.02,
    max_pixels: int = MAX_PIXELS,
) -> list[ContentBlock]:
    """Draw the pages of retrieved documents: for each picture a block of text that names it, and one with the image.

    >>> from langchain_core.messages import HumanMessage
    >>> message = HumanMessage(content_blocks=page_blocks(found, folders=["reports"]))  # doctest: +SKIP

    Parameters
    ----------
    documents
        Whose metadata name a page of a PDF or an image.
    folders
        Where the files lie; no other is opened.
    crops
        Cut out the regions that a reranker or retriever found; a page without regions is drawn whole.
    margin
        Around a region, in fractions of the page.
    max_pixels
        Of each picture; larger ones are made smaller.

    Raises
    ------
    ValueError
        If a document names no page that may be opened.
    """
    chunks = [
        (document.metadata, file_page(document.metadata))
        for document in listed("documents", documents, Document, wrap=WRAP)
    ]
    return picture_blocks(page_pictures(chunks, folders=folders, crops=crops, margin=margin, max_pixels=max_pixels))


def picture_blocks(pictures: Iterable[PagePicture], end: str = "") -> list[ContentBlock]:
    """For each picture a block of text with its caption and `end`, and one with the image."""
    blocks: list[ContentBlock] = []
    for picture in pictures:
        data = base64.b64encode(picture.data).decode()
        blocks += [create_text_block(picture.caption + end), create_image_block(base64=data, mime_type=MIME_TYPE)]
    return blocks
