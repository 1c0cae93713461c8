"""What PDFium knows of a PDF. It is not safe in several threads, so all of it stands behind one lock."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latelens.pages.geometry import Frame

if TYPE_CHECKING:
    from PIL.Image import Image

# Some 60 dense pages on one: a page with more is no page that anyone reads.
MAX_CHARACTERS = 200_000
# PDF 1.6 knows no page longer than 200 inches; what says so is shown as one.
_LONGEST = 14_400.0
_DOWNWARD = 90
_WHITE = frozenset({10, 13, 32})
_LOCK = threading.Lock()


class Layer(NamedTuple):
    """A page's text layer as PDFium gives it."""

    codes: list[int]
    boxes: NDArray[np.float64]  # (codes, 4) left, bottom, right, top in points; zeros where there is none
    frame: Frame
    complete: bool


def _pypdfium2() -> Any:
    try:
        import pypdfium2
    except ModuleNotFoundError as error:
        if error.name != "pypdfium2":
            raise
        raise ImportError("reading PDF needs pypdfium2: run `pip install 'latelens[pdf]'`") from error
    return pypdfium2


@contextmanager
def opened(data: Path | bytes, password: str | None = None) -> Iterator[Any]:
    """The document, closed before anyone else may use PDFium.

    Raises
    ------
    ValueError
        If the file is damaged or asks for another password.
    """
    pdfium = _pypdfium2()
    with _LOCK:
        try:
            document = pdfium.PdfDocument(data, password=password)
        except pdfium.PdfiumError as error:
            raise ValueError(f"{_reason(str(error), password)} ({error})") from error
        try:
            yield document
        finally:
            document.close()


def _reason(message: str, password: str | None) -> str:
    if "password" not in message.lower():
        return "is no readable PDF"
    return "asks for a password" if password is None else "asks for another password"


def page_count(document: Any) -> int:
    """How many pages there are."""
    return len(document)


def page_label(document: Any, index: int) -> str:
    """What the PDF calls a page, its number where it has no name."""
    try:
        label = document.get_page_label(index)
    except Exception:  # damaged labels are no reason to refuse the page
        label = ""
    return str(label) or str(index + 1)


@contextmanager
def _page(document: Any, index: int) -> Iterator[Any]:
    try:
        page = document[index]
    except _pypdfium2().PdfiumError as error:
        raise ValueError(f"page {index + 1} cannot be read ({error})") from error
    with closing(page):
        yield page


def _fill(document: Any, index: int) -> None:
    """Make what was typed into a form part of its page, in memory: else PDFium does not read it."""
    raw = _pypdfium2().raw
    if document.get_formtype() != raw.FORMTYPE_NONE:
        with _page(document, index) as page:
            if raw.FPDFPage_GetAnnotCount(page) > 0:
                raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY)


def _frame(page: Any) -> Frame:
    left, bottom, right, top = (float(edge) for edge in page.get_bbox())
    if not (math.isfinite(left + bottom + right + top) and right - left > 0 and top - bottom > 0):
        left, bottom, right, top = 0.0, 0.0, 612.0, 792.0
    right, top = min(right, left + _LONGEST), min(top, bottom + _LONGEST)
    return Frame(left, bottom, right, top, page.get_rotation() % 360)


def read_layer(document: Any, index: int) -> Layer:
    """The characters of a page and their boxes."""
    _fill(document, index)
    with _page(document, index) as page:
        frame = _frame(page)
        with closing(page.get_textpage()) as textpage:
            angle = _angle(textpage)
            if (angle + frame.rotation) % 360 != _DOWNWARD:
                return _layer(textpage, frame)
        # PDFium gives lines that run downward as shown in reverse order; turned upright in memory they are in order.
        page.set_rotation(-angle % 360)
        with closing(page.get_textpage()) as textpage:
            return _layer(textpage, frame)


def _layer(textpage: Any, frame: Frame) -> Layer:
    count = textpage.count_chars()
    read = min(count, MAX_CHARACTERS)
    codes, boxes = _characters(textpage, read)
    return Layer(codes, boxes, frame, read == count)


def _angle(textpage: Any) -> int:
    """The direction of most of a page's text before the page is turned: degrees clockwise, a multiple of 90."""
    raw, count = _pypdfium2().raw, min(textpage.count_chars(), MAX_CHARACTERS)
    sample = range(0, count, max(1, count // 50))
    angles = [raw.FPDFText_GetCharAngle(textpage.raw, i) for i in sample]
    quarters = [round(2 * angle / math.pi) % 4 for angle in angles if angle >= 0]
    return 90 * max(set(quarters), key=quarters.count) if quarters else 0


def _characters(textpage: Any, count: int) -> tuple[list[int], NDArray[np.float64]]:
    """Code points and boxes: the height of the line and the advance, so that the boxes of a word join."""
    raw, handle = _pypdfium2().raw, textpage.raw
    codes = [raw.FPDFText_GetUnicode(handle, i) for i in range(count)]
    found = (raw.FS_RECTF * count)()
    for i, code in enumerate(codes):
        if code not in _WHITE:
            raw.FPDFText_GetLooseCharBox(handle, i, found[i])
    table = np.frombuffer(found, dtype=np.float32).reshape(-1, 4).astype(np.float64)  # left, top, right, bottom
    boxes = table[:, [0, 3, 2, 1]]
    for i in np.flatnonzero(~((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3]))).tolist():
        if codes[i] not in _WHITE:
            boxes[i] = _tight(raw, handle, i)
    return codes, boxes


def _tight(raw: Any, handle: Any, i: int) -> tuple[float, float, float, float]:
    """The box of a character's ink, for fonts that do not say how high a line is."""
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    raw.FPDFText_GetCharBox(handle, i, left, right, bottom, top)
    return left.value, bottom.value, right.value, top.value


def draw(document: Any, index: int, *, dpi: float, max_pixels: int) -> Image:
    """A page as an RGB picture of at most `max_pixels`."""
    if document.get_formtype() != _pypdfium2().raw.FORMTYPE_NONE:
        document.init_forms()  # which draws what was typed; made part of the page, it would hide highlights
    with _page(document, index) as page:
        width, height = page.get_size()
        scale = dpi / 72
        if width * height * scale**2 > max_pixels:
            scale = math.sqrt(max_pixels / (width * height)) * 0.999  # sides are rounded up
        if width * scale > max_pixels or height * scale > max_pixels:
            raise ValueError(f"page {index + 1} is {width:g} x {height:g} points and cannot be drawn")
        with closing(page.render(scale=scale)) as bitmap:
            picture: Image = bitmap.to_pil().convert("RGB").copy()  # its own memory, not PDFium's
    return picture
