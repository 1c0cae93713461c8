"""Pictures of pages inside HTML: whole, cut out, with marks laid over them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

from latelens.pages.geometry import Box, around, in_pixels, in_words
from latelens.pages.page import Page
from latelens.render.html.escaping import escape

# 1.2 million pixels of text are some 200 KB: eight of them a page that opens at once.
_MAX_PIXELS = 1_200_000
_DPI, _QUALITY = 110, 72
# White space around what is cut out of a page, and above and below a strip, as a share of its width and height.
_MARGIN_X, _MARGIN_Y, _STRIP = 0.03, 0.02, 0.1
# Share of a page's height that a window shows at most.
_HIGHEST = 0.5
# Boxes are written in these parts of a page.
PARTS = 10_000


def draw(page: Page) -> Any:
    """The page's picture, within its limit."""
    fits = 72 * math.sqrt(_MAX_PIXELS / max(page.width * page.height, 1))
    return page.image(max(1, min(_DPI, int(fits))))


def marked(picture: Any, name: str, marks: str) -> str:
    """A picture with marks, which `mark` made, over it."""
    return (
        f'<div class="ll-page" style="aspect-ratio:{picture.width}/{picture.height}">'
        f'<img alt="{escape(name)}" src="{jpeg(picture)}">{marks}</div>'
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


def cutting(picture: Any, page: Page, said: str, boxes: Sequence[Box]) -> str:
    """What stands around some boxes, cut out of the picture."""
    left, top, right, bottom = around(boxes)
    wide = (left - _MARGIN_X, top - _MARGIN_Y, right + _MARGIN_X, bottom + _MARGIN_Y)
    piece = picture.crop(in_pixels(wide, picture.width, picture.height))
    return f'<figure><img alt="{escape(said)}" src="{jpeg(piece)}">{caption(page, boxes)}</figure>'


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
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def caption(page: Page, boxes: Sequence[Box]) -> str:
    """Which page, and where on it, some boxes are."""
    return f"<figcaption>page {escape(page.label)}, {in_words(around(boxes))}</figcaption>"
