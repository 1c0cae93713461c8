"""The text of a PDF, page by page: its text layer, or what a reader of words sees where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from latelens.pages.numbers import page_numbers
from latelens.pages.opening import open_bytes
from latelens.pages.page import Page
from latelens.pages.words import WordReader
from latelens.text.characters import is_visible

PAGE_BREAK = "\f"


def read_pdf(data: bytes, *, name: str, word_reader: WordReader | None = None) -> tuple[list[Page], tuple[str, ...]]:
    r"""The pages of a PDF, and notes on pages that have no text, or whose text was read from a picture.

    Raises
    ------
    ValueError
        If the file is damaged, asks for a password or has no text at all.
    ImportError
        If pypdfium2 is not installed.
    """
    try:
        pages = list(open_bytes(data, name=name, word_reader=word_reader))
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{name}: ")) from error
    empty = [page.number for page in pages if not is_visible(page.text)]
    if len(empty) == len(pages):
        raise ValueError("has no text layer, as a scan has none; run an OCR program such as ocrmypdf on it first")
    seen = [page.number for page in pages if word_reader and page.text_from == word_reader.name]
    notes = [f"no text layer on {page_numbers(empty)} of {len(pages)}: not read"] if empty else []
    notes += [f"no text layer on {page_numbers(seen)} of {len(pages)}: read by OCR"] if seen else []
    return pages, tuple(notes)


def joined(pages: Sequence[Page]) -> tuple[str, tuple[int, ...]]:
    r"""The text of pages with ``\f`` between them, and where each begins in it."""
    starts = accumulate((len(page.text) + len(PAGE_BREAK) for page in pages[:-1]), initial=0)
    return PAGE_BREAK.join(page.text for page in pages), tuple(starts)
