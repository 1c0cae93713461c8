"""The text layer of a PDF, page by page."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

from latelens.text.characters import is_visible

PAGE_BREAK = "\f"
# How PDFium writes a hyphen at the end of a line within a word.
_SPLIT_WORD = re.compile("[\x02\ufffe](?:\r?\n)?")


def read_pdf(data: bytes) -> tuple[str, tuple[int, ...], str | None]:
    r"""Text of a PDF with ``\f`` between pages, where each page begins, and a note on pages without text.

    Words hyphenated at the end of a line are joined.

    Raises
    ------
    ValueError
        If the file is damaged, asks for a password or has no text at all.
    ImportError
        If pypdfium2 is not installed.
    """
    pages = _pages(data)
    empty = [i for i, page in enumerate(pages, start=1) if not is_visible(page)]
    if len(empty) == len(pages):
        raise ValueError("has no text layer, as a scan has none; run an OCR program such as ocrmypdf on it first")
    note = f"no text layer on {_numbers(empty)} of {len(pages)}: not read" if empty else None
    starts = accumulate((len(page) + len(PAGE_BREAK) for page in pages[:-1]), initial=0)
    return PAGE_BREAK.join(pages), tuple(starts), note


def _pages(data: bytes) -> list[str]:
    try:
        import pypdfium2
    except ModuleNotFoundError as error:
        if error.name != "pypdfium2":
            raise
        raise ImportError("reading PDF needs pypdfium2: run `pip install 'latelens[files]'`") from error
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        reason = "asks for a password" if "password" in str(error).lower() else "is no readable PDF"
        raise ValueError(f"{reason} ({error})") from error
    try:
        return [_page_text(document, i) for i in range(len(document))]
    finally:
        document.close()


def _page_text(document: Any, index: int) -> str:
    page = document[index]
    textpage = page.get_textpage()
    try:
        text = str(textpage.get_text_range(errors="replace"))
    finally:
        textpage.close()
        page.close()
    lines = _SPLIT_WORD.sub("", text).replace(PAGE_BREAK, "\n").splitlines()
    return "\n".join(line.rstrip() for line in lines)


def _numbers(pages: list[int]) -> str:
    """Page numbers in words, runs joined.

    >>> _numbers([1, 2, 3, 7])
    'pages 1-3, 7'
    """
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][-1] + 1:
            runs[-1].append(page)
        else:
            runs.append([page])
    written = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"page{'s' if len(pages) > 1 else ''} {written}"
