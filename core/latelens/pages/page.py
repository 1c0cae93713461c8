"""A page of a PDF or of an image: its text in reading order, and where on the page each character stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.pages.geometry import Box, Frame, in_pixels

if TYPE_CHECKING:
    from PIL.Image import Image

_WORD = regex.compile(r"\S+")


class PageSource(Protocol):
    """What draws a page: `Pages`."""

    def draw(self, number: int, dpi: int | None) -> Image:
        """The page of a number as an RGB picture."""
        ...


@dataclass(frozen=True)
class Word:
    """What stands between two spaces; ``page.text[start:end] == text``.

    Attributes
    ----------
    boxes
        One box, or one a line for a word that is hyphenated at the end of a line; none where it is not on the page.
    """

    text: str
    start: int
    end: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Page:
    """One page, as a viewer shows it: turned and cropped.

    Attributes
    ----------
    source
        The file's path as it was given.
    number
        From 1.
    label
        What the PDF calls the page, such as ``"iv"``; its number where it has no name.
    frame
        Where the page lies in the PDF's coordinates; for an image its size in points.
    text
        In the order in which the file writes it; words hyphenated at the end of a line are joined. Empty where the
        page has no text layer and nothing has read it.
    boxes
        (characters, 4) float32: left, top, right, bottom of each character as fractions of the page. NaN for white
        space and for what lies outside the page.
    lines
        (characters,) int32, never falling: characters with one number stand side by side on one line.
    text_from
        ``"text layer"``, the name of the `WordReader`, or ``""`` where there is no text.
    complete
        False where the page holds more characters than are read.
    """

    source: str
    number: int
    label: str
    frame: Frame
    text: str
    boxes: NDArray[np.float32]
    lines: NDArray[np.int32]
    text_from: str
    complete: bool
    drawn_by: PageSource

    def __repr__(self) -> str:
        return f"Page({self.id!r}, {self.width:g} x {self.height:g} points, {self.text[:40]!r})"

    @property
    def id(self) -> str:
        """Path and number, ``report.pdf:page_7``."""
        return f"{self.source}:page_{self.number}"

    @property
    def name(self) -> str:
        """What a reader calls it, ``report.pdf, page 7``."""
        return f"{Path(self.source).name}, page {self.label}"

    @property
    def width(self) -> float:
        """Width in points, 1/72 inch, as shown."""
        return self.frame.width

    @property
    def height(self) -> float:
        """Height in points, 1/72 inch, as shown."""
        return self.frame.height

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The page's words with their boxes, in the order of the text."""
        spans = zip(*(edges.tolist() for edges in self.word_edges), strict=True)
        return tuple(Word(self.text[start:end], start, end, self.boxes_of(start, end)) for start, end in spans)

    @cached_property
    def word_edges(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where the words begin and where they end in the text, (words,) each."""
        spans = np.array([found.span() for found in _WORD.finditer(self.text)], dtype=np.intp).reshape(-1, 2)
        return spans[:, 0], spans[:, 1]

    @cached_property
    def middles(self) -> NDArray[np.float32]:
        """Where the middle of each character is, across and down: (2, characters), NaN where there is no box."""
        middles: NDArray[np.float32] = np.float32(0.5) * (self.boxes[:, :2] + self.boxes[:, 2:]).T
        return middles

    def boxes_of(self, start: int, end: int) -> tuple[Box, ...]:
        """Boxes of a span of the text, one a line, as fractions of the page.

        Where a line has a wide gap, as between columns or cells, each side has its box. Empty for white space.
        """
        seen = np.flatnonzero(~np.isnan(self.boxes[start:end, 0])) + start
        if not len(seen):
            return ()
        lines = self.lines[seen]
        firsts = np.flatnonzero(np.append(True, lines[1:] != lines[:-1]))
        boxes = self.boxes[seen]
        near = np.minimum.reduceat(boxes[:, :2], firsts, axis=0)
        far = np.maximum.reduceat(boxes[:, 2:], firsts, axis=0)
        return tuple((left, top, right, bottom) for left, top, right, bottom in np.hstack([near, far]).tolist())

    def in_points(self, box: Box) -> Box:
        """A box in fractions as points from the upper left corner of the page as shown."""
        return box[0] * self.width, box[1] * self.height, box[2] * self.width, box[3] * self.height

    def in_pixels(self, box: Box, image: Image) -> tuple[int, int, int, int]:
        """A box in fractions as whole pixels of a picture of the page, as ``image.crop`` takes them."""
        return in_pixels(box, image.width, image.height)

    def image(self, dpi: int | None = None) -> Image:
        """The page as an RGB picture, drawn now and not kept.

        Parameters
        ----------
        dpi
            Dots an inch; None is 144 for a PDF and an image's own pixels. A page so large that its picture would pass
            the limit of `open_pages` is drawn smaller.

        Raises
        ------
        ValueError
            If `dpi` is not positive, or the file has changed so that the page cannot be drawn any more.
        ImportError
            If Pillow is not installed.
        """
        if dpi is not None and not 0 < dpi <= 2400:
            raise ValueError(f"dpi must be between 1 and 2400, got {dpi}")
        return self.drawn_by.draw(self.number, dpi)
