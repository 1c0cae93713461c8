"""The files that chunks name: opened only below folders that the caller names, and kept open."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latelens.pages.locating import MIN_CONFIDENCE, Place, locate_span
from latelens.pages.opening import Pages, open_pages
from latelens.pages.page import Page
from latelens.pages.words import WordReader
from latelens.refusals import check_is, described, warn_caller

# Files whose pages are kept: those of one answer, and some more.
_KEPT = 16
# Under what names loaders keep a file's path, how it ends, and under what names a page counted from 1; best first.
_PATHS = ("file_path", "source", "filename", "file_name")
_SUFFIXES = (".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
_FROM_1 = ("page_number", "page_no")


@dataclass(frozen=True)
class FilePage:
    """Where a chunk says that it was read.

    Attributes
    ----------
    path
        The file, as the loader wrote it.
    index
        Position of the page, from 0; None where it names none.
    label
        What it calls the page, such as ``"iv"``; only where it gives no number.
    """

    path: str
    index: int | None = None
    label: str | None = None


def file_page(metadata: Mapping[str, Any]) -> FilePage | None:
    """Read a chunk's metadata as loaders write it; None where it names no PDF and no image.

    A path is ``file_path``, ``source``, ``filename`` or ``file_name``. A page is ``page``, counted from 0 as
    LangChain's loaders do (PyPDF, PyMuPDF, PDFPlumber, PyPDFium2), ``page_number``, counted from 1 (Unstructured),
    the first page of ``dl_meta`` (Docling), ``page_label`` (LlamaIndex's PDFReader), or a ``source`` that is a number
    (its PyMuPDFReader).

    >>> file_page({"source": "report.pdf", "page": 6})
    FilePage(path='report.pdf', index=6, label=None)
    """
    check_is("metadata", metadata, Mapping, "a dict, as a loader writes it")
    named = (metadata.get(key) for key in _PATHS)
    path = next((value for value in named if isinstance(value, str) and value and not value.isdecimal()), None)
    if path is None or "://" in path or "\0" in path or not path.lower().endswith(_SUFFIXES):
        return None
    index = _number(metadata.get("page"))
    if index is None:
        counted = [_number(metadata.get(key)) for key in _FROM_1]
        counted += [_docling(metadata.get("dl_meta")), _written_number(metadata.get("source"))]
        index = next((number - 1 for number in counted if number), None)
    label = metadata.get("page_label")
    return FilePage(path, index, label if index is None and isinstance(label, str) and label else None)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _written_number(value: Any) -> int | None:
    written = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 7
    return int(value) if written else None


def _docling(found: Any) -> int | None:
    """The first page that Docling's items come from."""
    items = found.get("doc_items") if isinstance(found, Mapping) else None
    numbers = [
        number
        for item in (items if isinstance(items, Sequence) else ())
        for place in (item.get("prov") or () if isinstance(item, Mapping) else ())
        if isinstance(place, Mapping) and (number := _number(place.get("page_no")))
    ]
    return min(numbers, default=None)


class PageFiles:
    """Finds the passages of chunks on the pages of their files. Safe to use from several threads.

    A chunk's metadata may come from anywhere: only files below the folders given are opened, links followed; of a path
    that leads elsewhere, or to no page, nothing is said but that there are no boxes. A file that cannot be read is
    warned of once.

    Parameters
    ----------
    folders
        Where the files lie. A relative path is looked for in the working directory and in each folder.
    word_reader, password
        As `open_pages` takes them.

    Raises
    ------
    ValueError
        If a folder is not there.
    """

    def __init__(
        self,
        folders: Sequence[str | os.PathLike[str]],
        *,
        word_reader: WordReader | None = None,
        password: str | None = None,
    ) -> None:
        if isinstance(folders, str | os.PathLike) or not isinstance(folders, Sequence):
            raise TypeError(f"folders must be a sequence of folders, got {described(folders)}; put it in a list")
        check_is("password", password, (str, type(None)), "a str or None")
        for folder in folders:
            check_is("a folder", folder, (str, os.PathLike), "a path")
            if not Path(folder).is_dir():
                raise ValueError(f"there is no folder {os.fspath(folder)!r}; folders names where the files lie")
        self._folders = [Path(folder).resolve() for folder in folders]
        self._word_reader, self._password = word_reader, password
        self._open: OrderedDict[tuple[str, int, int], Pages | None] = OrderedDict()
        self._lock = threading.Lock()

    def pages(self, path: str) -> Pages | None:
        """The pages of a file; None if it does not lie below the folders, or cannot be read."""
        real = self._allowed(path)
        if real is None:
            return None
        with self._lock:
            stat = real.stat()
            key = (str(real), stat.st_mtime_ns, stat.st_size)
            if key not in self._open:
                self._open[key] = self._opened(real)
            self._open.move_to_end(key)
            while len(self._open) > _KEPT:
                self._open.popitem(last=False)
            return self._open[key]

    def page(self, where: FilePage) -> Page | None:
        """The page that is named, or the only one of a file; None where that is none or several, as for `pages`."""
        pages = self.pages(where.path)
        if pages is None:
            return None
        try:
            named = _named(pages, where)
            found = list(pages[:2]) if named is None else named
            return found[0] if len(found) == 1 else None
        except (ValueError, OSError) as error:
            _warn(error)
            return None

    def find(
        self, where: FilePage, chunk: str, start: int, end: int, *, min_confidence: float = MIN_CONFIDENCE
    ) -> Place | None:
        """Where ``chunk[start:end]`` stands: on the page that the chunk names or one beside it, else nowhere.

        A chunk that names no page is looked for in the whole file.
        """
        pages = self.pages(where.path)
        if pages is None:
            return None
        try:
            return find_in(pages, where, chunk, start, end, min_confidence=min_confidence)
        except (ValueError, OSError) as error:
            _warn(error)
            return None

    def _allowed(self, path: str) -> Path | None:
        tried = [Path(path), *(folder / path for folder in self._folders)]
        for candidate in tried:
            try:
                real = candidate.resolve()
                inside = any(real.is_relative_to(folder) for folder in self._folders)
                if inside and real.is_file():
                    return real
            except (OSError, RuntimeError):  # a name that is too long, links in a circle
                continue
        return None

    def _opened(self, real: Path) -> Pages | None:
        try:
            return open_pages(real, password=self._password, word_reader=self._word_reader)
        except (ValueError, OSError) as error:
            _warn(error)
            return None


def find_in(
    pages: Pages,
    where: FilePage | None,
    chunk: str,
    start: int,
    end: int,
    *,
    min_confidence: float = MIN_CONFIDENCE,
) -> Place | None:
    """Where ``chunk[start:end]`` stands in a file: on the page that is named or one beside it, else nowhere.

    Where no page is named it is looked for on all of them.
    """
    named = _named(pages, where) if where is not None else None
    if named is None:
        return locate_span(pages.all(), chunk, start, end, min_confidence=min_confidence)
    place = locate_span(named, chunk, start, end, min_confidence=min_confidence)
    if len(named) != 1 or (place is not None and place.confidence == 1):
        return place
    i = named[0].number - 1
    # Loaders differ in whether they count from 0, and a text may run on to the next page.
    beside = locate_span(pages[max(0, i - 1) : i + 2], chunk, start, end, min_confidence=min_confidence)
    return beside if place is None or (beside is not None and beside.confidence > place.confidence) else place


def _named(pages: Pages, where: FilePage) -> list[Page] | None:
    """The pages that a chunk names, none where the file has no such page; None where it names none."""
    if where.index is not None:
        return [pages[where.index]] if where.index < len(pages) else []
    if where.label is None:
        return None
    return [pages[i] for i, label in enumerate(pages.labels) if label == where.label]


def _warn(error: Exception) -> None:
    warn_caller(f"no boxes: {error}")
