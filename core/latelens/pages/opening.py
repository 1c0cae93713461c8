"""`open_pages`: the pages of a PDF or of an image file, each read when it is asked for."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from latelens.pages import pdfium, pictures
from latelens.pages.characters import assemble, boxes_of, lines_of
from latelens.pages.geometry import Frame
from latelens.pages.labels import has_sound_labels
from latelens.pages.page import Page
from latelens.pages.words import WordReader, from_words, read_words
from latelens.paths import checked_file
from latelens.refusals import check_count, check_is

if TYPE_CHECKING:
    from PIL.Image import Image

# More than any document has; an endless device would fill the memory.
MAX_BYTES = 256 * 2**20
# 200 dots an inch of an A3 page are 7.7 million.
MAX_PIXELS = 16_000_000
MAX_PAGES = 10_000
# A page in memory is some 100 KB; whoever walks back and forth in a report finds them read.
_KEPT = 256
_AT_ONCE = 16
_SCAN_DPI = 150
_PDF_DPI = 144


class Pages(Sequence[Page]):
    """The pages of a file, in order; a page is read when it is asked for, and the last ones are kept.

    The file is open only while a page is read or drawn. Safe to use from several threads.
    """

    def __init__(
        self, path: str, *, password: str | None, word_reader: WordReader | None, max_pixels: int, data: bytes | None
    ) -> None:
        self.path = path
        self._password = password
        self._word_reader = word_reader
        self._max_pixels = max_pixels
        self._data = data
        self._read: OrderedDict[int, Page] = OrderedDict()
        self._lock = threading.RLock()
        self._all: list[Page] | None = None
        with self._said():
            self.is_pdf = _is_pdf(path, data)
            self._count = self._counted()
        if self._count > MAX_PAGES:
            raise ValueError(f"{path}: has {self._count:,} pages, more than {MAX_PAGES:,}; cut it into smaller files")

    def __repr__(self) -> str:
        return f"Pages({self.path!r}, {len(self)} pages)"

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Page: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Page]: ...
    def __getitem__(self, index: int | slice) -> Page | Sequence[Page]:
        """The page at a position, from 0: ``pages[6]`` is page 7."""
        if isinstance(index, slice):
            return self._pages(range(*index.indices(len(self))))
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(f"{self.path} has {len(self)} pages, and position {index} is none of them")
        return self._pages([i])[0]

    def __iter__(self) -> Iterator[Page]:
        """The pages in order; some are read at a time, as opening a file costs as much as reading a page."""
        at_once = _AT_ONCE if self._word_reader is None else 1
        for first in range(0, len(self), at_once):
            yield from self[first : first + at_once]

    def all(self) -> Sequence[Page]:
        """Every page, read once and kept as long as this object: for a search of the whole file."""
        if self._all is None:
            self._all = list(self)
        return self._all

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What the file calls its pages; their numbers where it does not."""
        if not self._labelled:
            return tuple(str(i + 1) for i in range(len(self)))
        with self._said(), pdfium.opened(self._file(), self._password) as document:
            return tuple(pdfium.page_label(document, i) for i in range(len(self)))

    @cached_property
    def _labelled(self) -> bool:
        return self.is_pdf and has_sound_labels(self._file(), self._password)

    def draw(self, number: int, dpi: int | None) -> Image:
        """What `Page.image` returns."""
        with self._said():
            return self._draw(number - 1, dpi)

    def _counted(self) -> int:
        if not self.is_pdf:
            return pictures.frame_count(self._file())
        with pdfium.opened(self._file(), self._password) as document:
            return pdfium.page_count(document)

    def _pages(self, numbers: Sequence[int]) -> list[Page]:
        with self._lock:
            missing = [i for i in numbers if i not in self._read]
            with self._said():
                read = {i: self._page(i, label, frame, layer) for i, label, frame, layer in self._layers(missing)}
            found = [read.get(i) or self._read[i] for i in numbers]
            for i, page in zip(numbers, found, strict=True):
                self._read[i] = page
                self._read.move_to_end(i)
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return found

    def _layers(self, numbers: Sequence[int]) -> list[tuple[int, str, Frame, pdfium.Layer | None]]:
        """For each page its name, its frame and what its text layer holds."""
        if not numbers:
            return []
        if not self.is_pdf:
            frames = [pictures.frame_of(self._file(), i, self._max_pixels) for i in numbers]
            return [(i, str(i + 1), frame, None) for i, frame in zip(numbers, frames, strict=True)]
        with pdfium.opened(self._file(), self._password) as document:
            layers = [pdfium.read_layer(document, i) for i in numbers]
            labels = [pdfium.page_label(document, i) if self._labelled else str(i + 1) for i in numbers]
        return [(i, label, layer.frame, layer) for i, label, layer in zip(numbers, labels, layers, strict=True)]

    def _page(self, i: int, label: str, frame: Frame, layer: pdfium.Layer | None) -> Page:
        written = assemble(layer.codes if layer else [])
        text, begins = written.text, np.array(written.begins, dtype=np.bool_)
        boxes = boxes_of(written, frame.shown(layer.boxes)) if layer and text else np.zeros((0, 4), dtype=np.float32)
        lines = lines_of(boxes, begins, frame.width / frame.height)
        text_from, complete = "text layer" if text.strip() else "", layer is None or layer.complete
        if not text_from and self._word_reader is not None:
            picture = self._draw(i, _SCAN_DPI if self.is_pdf else None)
            text, boxes, lines = from_words(read_words(self._word_reader, picture), picture.width, picture.height)
            text_from = self._word_reader.name if text else ""
        boxes.setflags(write=False)
        return Page(self.path, i + 1, label, frame, text, boxes, lines, text_from, complete, self)

    def _draw(self, i: int, dpi: int | None) -> Image:
        if not self.is_pdf:
            return pictures.draw(self._file(), i, dpi=dpi, max_pixels=self._max_pixels)
        with pdfium.opened(self._file(), self._password) as document:
            return pdfium.draw(document, i, dpi=dpi or _PDF_DPI, max_pixels=self._max_pixels)

    def _file(self) -> Path | bytes:
        return Path(self.path) if self._data is None else self._data

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Name the file in what is refused."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error


def open_pages(
    path: str | os.PathLike[str],
    *,
    password: str | None = None,
    word_reader: WordReader | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Pages:
    """Open a PDF, or an image (PNG, JPEG, TIFF of any number of pages), as a sequence of pages.

    Nothing is read but the number of pages; ``open_pages("report.pdf")[6]`` reads page 7.

    Parameters
    ----------
    path
        The file; what it is, its first bytes say.
    password
        Of a PDF that asks for one.
    word_reader
        Reads the words of pages without a text layer, as scans and photos are: `RapidReader` or your own. None
        leaves their text empty.
    max_pixels
        A picture of a page is drawn smaller where it would have more, and an image file that has more is refused.

    Raises
    ------
    ValueError
        If the file is damaged, asks for a password, is too large or is neither a PDF nor an image.
    FileNotFoundError, OSError
        If it cannot be opened.
    ImportError
        If a package is missing; the message names the command to run.
    """
    check_count("max_pixels", max_pixels)
    check_is("password", password, (str, type(None)), "a str or None")
    name = checked_file("path", path)
    return Pages(name, password=password, word_reader=word_reader, max_pixels=max_pixels, data=None)


def open_bytes(data: bytes, *, name: str, word_reader: WordReader | None = None) -> Pages:
    """`open_pages` for a file that is in memory already."""
    return Pages(name, password=None, word_reader=word_reader, max_pixels=MAX_PIXELS, data=data)


def _is_pdf(path: str, data: bytes | None) -> bool:
    """Whether the file begins as a PDF does, or is called one; refuses what is too large."""
    if data is None:
        if Path(path).is_dir():
            raise ValueError("is a folder; name a file")
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            head = file.read(1024)
    else:
        size, head = len(data), data[:1024]
    if size > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES // 2**20} MiB; cut it into smaller files")
    return b"%PDF-" in head or Path(path).suffix.lower() == ".pdf"
