"""The pages of a PDF or an image as chunks: what both frameworks' readers give."""

from __future__ import annotations

import os
from collections.abc import Iterator

from latelens.pages.numbers import page_numbers
from latelens.pages.opening import open_pages
from latelens.pages.page import Page
from latelens.pages.words import WordReader
from latelens.refusals import warn_caller
from latelens.text.characters import is_visible


def pages_with_text(
    path: str | os.PathLike[str], *, password: str | None, word_reader: WordReader | None
) -> Iterator[tuple[Page, int]]:
    """The pages that have a text, in order, each with the number of pages in the file.

    Of those that have none it is said which, once, when the last page is read: nothing is dropped in silence.
    """
    pages = open_pages(path, password=password, word_reader=word_reader)
    empty = []
    for page in pages:
        if is_visible(page.text):
            yield page, len(pages)
        else:
            empty.append(page.number)
    if empty:
        with_ocr = "" if word_reader else "; word_reader=latelens.pages.RapidReader() reads scans"
        shown = f"no text layer on {page_numbers(empty)} of {len(pages)}: not read{with_ocr}"
        warn_caller(f"{pages.path}: {shown}")
