"""A copy of a PDF with highlights in it: real annotations, which any viewer lists and removes."""

from __future__ import annotations

import colorsys
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latelens.pages.geometry import Box
from latelens.pages.locating import Place, Spot
from latelens.pages.opening import MAX_BYTES
from latelens.pages.page import Page

# Pale enough to read black on them, and told apart with every kind of colour vision as far as five can be.
_COLOURS = ("ffe066", "a5d8ff", "b2f2bb", "ffc9c9", "d0bfff")
_TITLE_LENGTH = 80


@dataclass(frozen=True)
class PdfMark:
    """One highlight.

    Attributes
    ----------
    place
        Where it lies, from `locate`.
    title
        Its line in the outline.
    comment
        What a viewer shows when the mark is opened.
    colour
        Marks with one number have one colour, from 0.
    """

    place: Place
    title: str
    comment: str = ""
    colour: int = 0


def colour_of(number: int) -> str:
    """The colour of a source by its number from 0, as six hexadecimal digits; no two are the same up to 60.

    >>> colour_of(0)
    'ffe066'
    """
    if number < len(_COLOURS):
        return _COLOURS[number]
    red, green, blue = colorsys.hls_to_rgb((0.08 + 0.382 * (number - len(_COLOURS))) % 1, 0.82, 0.9)
    return f"{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def write_marks(
    pages: Sequence[Page], marks: Sequence[PdfMark], target: str | os.PathLike[str], *, heading: str
) -> Path:
    """Write a copy of a PDF with highlights, and an outline entry for each below `heading`.

    The file's own bytes stay as they are, the marks are appended to them (an incremental update): links, forms and
    other annotations keep working, and what was signed can still be checked.

    Raises
    ------
    ValueError
        If the PDF is encrypted, or damaged so that nothing can be appended, or `target` is the PDF itself.
    ImportError
        If pypdf is not installed.
    """
    source, written = Path(pages[0].source), Path(target)
    if written.exists() and written.samefile(source):
        raise ValueError(f"{str(target)!r} is the PDF itself; name another file for the copy")
    frames = {page.number: page for page in pages}
    with _refused(source):
        writer = _writer(source)
        for mark in marks:
            for spot in mark.place.spots:
                _annotate(writer, frames[spot.page], spot, mark)
        _outline(writer, frames, marks, heading)
        out = io.BytesIO()
        writer.write(out)
    written.write_bytes(out.getvalue())
    return written


def _writer(source: Path) -> Any:
    try:
        from pypdf import PdfReader, PdfWriter
    except ModuleNotFoundError as error:
        if error.name != "pypdf":
            raise
        raise ImportError("marking a PDF needs pypdf: run `pip install 'latelens[pdf]'`") from error
    data = source.read_bytes()
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES // 2**20} MiB")
    reader = PdfReader(io.BytesIO(data))
    if reader.is_encrypted:
        raise ValueError("is encrypted, and a marked copy would not be; decrypt it first")
    return PdfWriter(reader, incremental=True)


@contextmanager
def _refused(source: Path) -> Iterator[None]:
    """Name the file in what is refused."""
    try:
        yield
    except (ImportError, OSError):
        raise
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    except Exception as error:  # a damaged file can break pypdf anywhere
        raise ValueError(f"{source}: cannot be marked, as pypdf does not read it ({error!r:.200})") from error


def _annotate(writer: Any, page: Page, spot: Spot, mark: PdfMark) -> None:
    from pypdf.annotations import Highlight
    from pypdf.generic import ArrayObject, FloatObject, NameObject, TextStringObject

    quads = [_quad(page, box) for box in spot.boxes]
    xs, ys = ([value for quad in quads for value in quad[axis::2]] for axis in (0, 1))
    annotation = Highlight(
        rect=(min(xs), min(ys), max(xs), max(ys)),
        quad_points=ArrayObject([FloatObject(round(value, 3)) for quad in quads for value in quad]),
        highlight_color=colour_of(mark.colour),
        printing=True,
        title_bar="latelens",
    )
    annotation[NameObject("/Contents")] = TextStringObject(_plain(mark.comment))
    writer.add_annotation(page.number - 1, annotation)


def _quad(page: Page, box: Box) -> list[float]:
    """Four corners as the page is shown, upper left, upper right, lower left, lower right, in the PDF's coordinates."""
    left, top, right, bottom = box
    corners = ((left, top), (right, top), (left, bottom), (right, bottom))
    return [value for x, y in corners for value in page.frame.stored((x, y, x, y))[:2]]


def _outline(writer: Any, pages: dict[int, Page], marks: Sequence[PdfMark], heading: str) -> None:
    from pypdf.generic import Fit

    if not marks:
        return
    first = marks[0].place.page - 1
    parent: Any = writer.add_outline_item(_short(heading), first, is_open=True)
    for mark in marks:
        page, box = pages[mark.place.page], mark.place.boxes[0]
        left, bottom, right, top = page.frame.stored(box)
        fit = Fit.xyz(left=round(min(left, right), 1), top=round(max(top, bottom) + 40, 1))
        writer.add_outline_item(_short(mark.title), page.number - 1, parent=parent, fit=fit)


def _short(text: str) -> str:
    line = " ".join(_plain(text).split())
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1].rstrip() + "…"


def _plain(text: str) -> str:
    """The text without what UTF-16 cannot write."""
    return text.encode("utf-16", "replace").decode("utf-16")
