"""`add_boxes`: where on the page the evidence of documents stands."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.documents import Document

from latelens.bridge.arguments import listed
from latelens.bridge.boxes import with_boxes
from latelens.bridge.metadata import marked, ours
from latelens.pages.files import PageFiles, file_page


def add_boxes(documents: Iterable[Document], files: PageFiles) -> list[Document]:
    """Copies of documents whose evidence says its page and boxes, for those read from a PDF or an image.

    Each item of ``metadata["latelens"]["evidence"]`` gets ``page``, from 1, ``boxes``, a line each: left, top, right
    and bottom as fractions of the page as it is shown, and ``place_confidence``, 0..1. Where the text runs on,
    ``continued`` holds further pages with their boxes. The file and the page are those that a loader wrote into the
    metadata (`latelens.pages.file_page`); the text decides, so a chunk whose page is another has no boxes.

    Parameters
    ----------
    documents
        From a reranker or a retriever, with evidence; others are copied as they are.
    files
        ``latelens.pages.PageFiles(["docs/"])``: only files below these folders are opened. Use one for many calls.

    Raises
    ------
    TypeError
        If an argument is of another type.
    """
    if not isinstance(files, PageFiles):
        raise TypeError(f"files must be a PageFiles, got {type(files).__name__}: write PageFiles([folder])")
    return [_boxed(document, files) for document in listed("documents", documents, Document)]


def _boxed(document: Document, files: PageFiles) -> Document:
    found = ours(document.metadata)
    metadata = dict(document.metadata)
    if found:
        where = file_page(document.metadata)
        metadata = marked(document.metadata, with_boxes(found, document.page_content, where, files))
    return document.model_copy(update={"metadata": metadata})
