"""`PdfPagesReader`: the pages of a PDF or an image as documents whose every character has its place."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document

from latelens.bridge.pages import pages_with_text
from latelens.pages.words import WordReader


class PdfPagesReader(BaseReader):
    """Reads a PDF, or an image, as one document a page; `SimpleDirectoryReader` takes it as a ``file_extractor``.

    The text is that of `latelens.pages.open_pages`, so `add_boxes` finds every span of it exactly. The metadata are
    those of LlamaIndex's own PDF readers, ``file_path``, ``file_name``, ``page_label`` and ``total_pages``, and
    ``page_number`` from 1. Pages without text are left out, and a warning names them.

    Parameters
    ----------
    password, word_reader
        As `latelens.pages.open_pages` takes them.
    """

    def __init__(self, *, password: str | None = None, word_reader: WordReader | None = None) -> None:
        self._password, self._word_reader = password, word_reader

    def lazy_load_data(
        self, file: str | os.PathLike[str], extra_info: dict[str, Any] | None = None, fs: Any = None
    ) -> Iterable[Document]:
        """Documents in the order of the pages; `extra_info` joins their metadata.

        Raises
        ------
        ValueError
            If `fs` is given: a file is read where it lies on this machine.
        """
        if fs is not None:
            raise ValueError(f"PdfPagesReader reads local files, got fs={type(fs).__name__}; download the file first")
        for page, total in pages_with_text(file, password=self._password, word_reader=self._word_reader):
            metadata = {
                "file_path": page.source,
                "file_name": Path(page.source).name,
                "page_label": page.label,
                "page_number": page.number,
                "total_pages": total,
                **(extra_info or {}),
            }
            yield Document(id_=page.id, text=page.text, metadata=metadata)

    def load_data(
        self, file: str | os.PathLike[str], extra_info: dict[str, Any] | None = None, fs: Any = None
    ) -> list[Document]:
        """`lazy_load_data` as a list."""
        return list(self.lazy_load_data(file, extra_info, fs))
