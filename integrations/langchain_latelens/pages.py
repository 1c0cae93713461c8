"""`PdfPagesLoader`: the pages of a PDF or an image as documents whose every character has its place."""

from __future__ import annotations

import os
from collections.abc import Iterator

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from latelens.bridge.pages import pages_with_text
from latelens.pages.words import WordReader


class PdfPagesLoader(BaseLoader):
    """Loads a PDF, or an image, as one document a page, each read when it is asked for.

    The text is that of `latelens.pages.open_pages`, so `add_boxes` finds every span of it exactly. The metadata are
    those of LangChain's own PDF loaders: ``source``, ``page`` from 0, ``page_label`` and ``total_pages``. Pages
    without text are left out, and a warning names them.

    Parameters
    ----------
    file_path, password, word_reader
        As `latelens.pages.open_pages` takes them.
    """

    def __init__(
        self,
        file_path: str | os.PathLike[str],
        *,
        password: str | None = None,
        word_reader: WordReader | None = None,
    ) -> None:
        self.file_path = os.fspath(file_path)
        self._password, self._word_reader = password, word_reader

    def lazy_load(self) -> Iterator[Document]:
        """Documents in the order of the pages."""
        for page, total in pages_with_text(self.file_path, password=self._password, word_reader=self._word_reader):
            metadata = {"source": page.source, "page": page.number - 1, "page_label": page.label, "total_pages": total}
            yield Document(page.text, id=page.id, metadata=metadata)
