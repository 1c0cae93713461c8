"""PDFs made on the spot, whose words stand where the test put them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from pypdf import PdfReader, PdfWriter
from pypdf.generic import RectangleObject
from reportlab.pdfgen.canvas import Canvas

# Text, x and y of its baseline in points from the lower left corner.
Line = tuple[str, float, float]


def made_pdf(
    *pages: Iterable[Line], size: tuple[float, float] = (612, 792), font: float = 12, turn: float = 0
) -> bytes:
    """A PDF of Helvetica lines, each at its place, perhaps written at an angle in degrees."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=size, invariant=1)
    for lines in pages:
        canvas.setFont("Helvetica", font)
        for text, x, y in lines:
            canvas.saveState()
            canvas.translate(x, y)
            canvas.rotate(turn)
            canvas.drawString(0, 0, text)
            canvas.restoreState()
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def column(text: str, *, x: float = 72, top: float = 720, width: int = 60, leading: float = 15) -> list[Line]:
    """A text as lines below each other, cut at words after at most `width` characters."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [(line, x, top - i * leading) for i, line in enumerate([*lines, line])]


def turned(data: bytes, *, rotation: int = 0, crop: Sequence[float] | None = None) -> bytes:
    """The same pages, rotated and cropped to (left, bottom, right, top)."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    for page in writer.pages:
        if crop is not None:
            page.cropbox = RectangleObject(tuple(crop))
        page.rotate(rotation)
    return written(writer)


def locked(data: bytes, password: str) -> bytes:
    """The same pages behind a password."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(password, algorithm="RC4-128")
    return written(writer)


def written(writer: PdfWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
