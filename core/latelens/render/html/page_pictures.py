"""Pictures of pages inside HTML: whole, cut out, with marks laid over them."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from latelens.pages.geometry import Box, around, in_pixels, in_words
from latelens.pages.page import Page
from latelens.render.html.escaping import escape

# 1.2 million pixels of text are some 200 KB: eight of them a page that opens at once.
_MAX_PIXELS = 1_200_000
_DPI, _QUALITY = 110, 72
# Pixels and quality, until a picture has no more characters than this. Pages of papers and manuals have 60,000 to
# 130,000 at the first, pages of small print up to 210,000. 860,000 pixels are a letter at 96 dots an inch.
_LADDER, _BUDGET = ((860_000, 35), (600_000, 20)), 130_000
_SHARPEST = 144  # dots an inch
# White space around what is cut out of a page, and above and below a strip, as a share of its width and height.
_MARGIN_X, _MARGIN_Y, _STRIP = 0.03, 0.02, 0.1
# Share of a page's height that a window shows at most.
_HIGHEST = 0.5
# Boxes are written in these parts of a page.
PARTS = 10_000


@dataclass(frozen=True)
class DrawnPage:
    """A page's picture for HTML: its size in pixels, the address of itself, and what an element of it is called."""

    width: int
    height: int
    address: str

    @property
    def id(self) -> str:
        """The same for the same picture: a notebook may show a page twice."""
        return f"ll-{hashlib.blake2b(self.address.encode(), digest_size=8).hexdigest()}"


def draw(page: Page) -> Any:
    """The page's picture, within its limit."""
    return page.image(min(_DPI, _fitting(page, _MAX_PIXELS)))


def drawn(page: Page) -> DrawnPage:
    """The page's picture as small as a page of small print must be, for three of them to make half a megabyte."""
    for pixels, quality in _LADDER:
        picture = page.image(min(_SHARPEST, _fitting(page, pixels)))
        address = _address(picture, *(("WEBP", quality) if _has_webp() else ("JPEG", quality + 20)))
        if len(address) <= _BUDGET:
            break
    return DrawnPage(picture.width, picture.height, address)


def _fitting(page: Page, pixels: int) -> int:
    """Dots an inch at which the page has so many pixels."""
    return max(1, int(72 * math.sqrt(pixels / max(page.width * page.height, 1))))


def marked(picture: DrawnPage, name: str, marks: str) -> str:
    """A picture with marks, which `mark` made, over it."""
    width, height = picture.width, picture.height
    image = f'<image id="{picture.id}" width="{width}" height="{height}" href="{picture.address}"/>'
    return (
        f'<div class="ll-page" style="aspect-ratio:{width}/{height}"><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(name)}">{image}</svg>{marks}</div>'
    )


def mark(box: Box, said: str) -> str:
    """A mark over a part of a picture; `box` in fractions of it."""
    left, top, width, height = (value / PARTS * 100 for value in in_parts(box))
    style = f"left:{left:.2f}%;top:{top:.2f}%;width:{width:.2f}%;height:{height:.2f}%"
    return f'<span class="ll-here" style="{style}" title="{escape(said)}"></span>'


def in_parts(box: Box) -> list[int]:
    """Left, top, width and height in ten-thousandths."""
    left, top, right, bottom = (round(edge * PARTS) for edge in box)
    return [left, top, right - left, bottom - top]


def cutting(picture: DrawnPage, page: Page, said: str, boxes: Sequence[Box], *, answers: Sequence[str] = ()) -> str:
    """What stands around some boxes, as a part of a picture that `marked` shows: it is not held twice.

    `answers` are the words of the query that it answers, for the caption.
    """
    left, top, right, bottom = around(boxes)
    wide = (left - _MARGIN_X, top - _MARGIN_Y, right + _MARGIN_X, bottom + _MARGIN_Y)
    x, y, end, foot = in_pixels(wide, picture.width, picture.height)
    shown = (
        f'<svg viewBox="{x} {y} {end - x} {foot - y}" role="img" aria-label="{escape(said)}">'
        f'<use href="#{picture.id}"/></svg>'
    )
    # As wide as it is on the page, which is as wide as all figures together.
    share = f"{100 * (end - x) / picture.width:.1f}%"
    return f'<figure style="width:{share}">{shown}{caption(page, boxes, answers)}</figure>'


def window(page: Page, drawn: str, said: str, boxes: Sequence[Box]) -> str:
    """The whole page behind a window as wide as it, which shows what stands a little above and below some boxes.

    `drawn` is the class of an element whose background is the page's picture. A script, `answer.js`, lets the window
    be scrolled; without it the window stands where it is.
    """
    _, top, _, bottom = around(boxes)
    low, high = max(0.0, top - _STRIP), min(1.0, bottom + _STRIP)
    high = min(high, low + _HIGHEST)
    width, height = page.width, page.height
    name = escape(f"page {page.label}")
    marks = "".join(mark(box, said) for box in boxes)
    shown = f"aspect-ratio:{width:.2f}/{height:.2f};margin-top:{-100 * low * height / width:.3f}%"
    return (
        f'<figure><div class="ll-window" tabindex="0" role="region" aria-label="{name}" data-at="{low:.4f}" '
        f'style="aspect-ratio:{width:.2f}/{(high - low) * height:.2f}">'
        f'<div class="ll-page {drawn}" role="img" aria-label="{name}" style="{shown}">{marks}</div></div>'
        f"{caption(page, boxes)}</figure>"
    )


def jpeg(picture: Any) -> str:
    """A picture as the address of itself."""
    return _address(picture, "JPEG", _QUALITY)


def _address(picture: Any, kind: str, quality: int) -> str:
    out = io.BytesIO()
    picture.save(out, kind, quality=quality, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


def _has_webp() -> bool:
    """Whether Pillow was built with it, as its wheels are: text takes half of the bytes that JPEG needs."""
    from PIL import features

    return bool(features.check("webp"))


def caption(page: Page, boxes: Sequence[Box], answers: Sequence[str] = ()) -> str:
    """Which page, where on it some boxes are, and which words of the query they answer."""
    more = f": <bdi>{escape(', '.join(answers))}</bdi>" if answers else ""
    return f"<figcaption>page {escape(page.label)}, {in_words(around(boxes))}{more}</figcaption>"
