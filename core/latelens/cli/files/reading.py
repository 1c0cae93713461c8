"""One file as one string, whose characters every offset counts."""

from __future__ import annotations

import os
import stat
import sys
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from latelens.cli.files.decoding import decode
from latelens.cli.files.finding import STDIN
from latelens.cli.files.html import SUFFIXES, looks_like_html, read_html
from latelens.cli.files.pdf import joined, read_pdf
from latelens.pages.locating import Place, Spot
from latelens.pages.page import Page
from latelens.pages.words import WordReader

# More than any document has; an endless device would fill the memory.
MAX_BYTES = 256 * 2**20
# What the shell opens, as for ``<(command)``, ends when the command does; any other pipe or device may never end.
_OPENED = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


class UnreadableFile(ValueError):
    """A file that gives no text; the message names the file, the reason and what to do."""


@dataclass(frozen=True)
class FileText:
    r"""A file's text.

    Attributes
    ----------
    name
        The path as given; ``"-"`` is standard input.
    text
        For text files what they hold, with their line ends and without a byte order mark; for HTML and PDF the
        text that was extracted.
    pages
        Where each page of a PDF begins in `text`; ``\f`` ends the page before.
    numbered
        Whether the file's lines are the text's lines.
    notes
        What a reader must know: characters replaced, pages without text.
    paper
        The pages of a PDF, with the boxes of their words.
    """

    name: str
    text: str
    pages: tuple[int, ...] = ()
    numbered: bool = False
    notes: tuple[str, ...] = ()
    paper: tuple[Page, ...] = field(default=(), repr=False)

    def page_at(self, position: int) -> int | None:
        """Page, from 1, of a character; None where there are no pages."""
        return bisect_right(self.pages, position) or None

    def place_at(self, start: int, end: int) -> Place | None:
        """Where on the pages of a PDF a span of the text stands; None for white space and where there are no pages."""
        spots = []
        for page, begins in zip(self.paper, self.pages, strict=False):
            low, high = max(start - begins, 0), min(end - begins, len(page.text))
            if low < high and (boxes := page.boxes_of(low, high)):
                spots.append(Spot(page.number, ((low, high),), boxes))
        return Place(tuple(spots), 1.0) if spots else None

    def line_at(self, position: int) -> int | None:
        """Line, from 1, of a character; None where the file's lines are others."""
        if not self.numbered:
            return None
        before = self.text[:position]
        return 1 + before.count("\n") + before.count("\r") - before.count("\r\n")


def read_file(name: str, *, encoding: str | None = None, word_reader: WordReader | None = None) -> FileText:
    """Read a text, Markdown, HTML or PDF file; ``"-"`` is standard input.

    PDF and HTML are known by their first bytes, or their suffix. `encoding` is for text and HTML without a byte
    order mark; without it, they are UTF-8 unless an HTML page says otherwise. `word_reader` reads pages of a PDF that
    have no text layer.

    Raises
    ------
    UnreadableFile
        If it cannot be opened, is no file, is larger than `MAX_BYTES`, or holds no text.
    ImportError
        If a package is missing; the message names the command to run.
    """
    try:
        return _read(name, _bytes(name), encoding, word_reader)
    except OSError as error:
        raise UnreadableFile(f"{name}: {error.strerror or error}") from error
    except ValueError as error:
        raise UnreadableFile(f"{name}: {error}") from error


def _read(name: str, data: bytes, encoding: str | None, word_reader: WordReader | None) -> FileText:
    suffix = Path(name).suffix.lower()
    if b"%PDF-" in data[:1024] or (suffix == ".pdf" and data):
        paper, notes = read_pdf(data, name=name, word_reader=word_reader)
        text, starts = joined(paper)
        return FileText(name, text, pages=starts, notes=notes, paper=tuple(paper))
    html = suffix in SUFFIXES or looks_like_html(data)
    text, note = (read_html if html else decode)(data, encoding=encoding)
    notes = (note,) if note else ()
    return FileText(name, text, numbered=not html, notes=notes if text.strip() else (*notes, "is empty"))


def _bytes(name: str) -> bytes:
    if name == STDIN:
        return _bounded(sys.stdin.buffer)
    kind = _KINDS.get(stat.S_IFMT(Path(name).stat().st_mode))
    if kind is not None and not os.path.normpath(name).startswith(_OPENED):
        raise ValueError(f"is {kind}, which may never end; pipe what it gives into the command and name -")
    with Path(name).open("rb") as file:
        return _bounded(file)


def _bounded(file: BinaryIO) -> bytes:
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES // 2**20} MiB; cut it into smaller files")
    return data
