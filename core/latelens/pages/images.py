"""Pages as models see them: one RGB picture each, from whatever the caller has."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from latelens.pages.geometry import Frame
from latelens.pages.opening import Pages, open_bytes, open_pages
from latelens.pages.page import Page
from latelens.pages.pictures import upright

if TYPE_CHECKING:
    from PIL.Image import Image

    PageImage: TypeAlias = Page | Image | bytes | str | os.PathLike[str]


def check_pages(pages: Any) -> Sequence[PageImage]:
    """Refuse what is no sequence of pages; opens no file.

    Raises
    ------
    TypeError, ValueError
        The message names the position and what to give instead.
    """
    if isinstance(pages, str | bytes) or not isinstance(pages, Sequence):
        raise TypeError(
            f"pages must be a sequence of pages, got {type(pages).__name__}: open_pages(path) gives those of a file, "
            "one picture goes into a list"
        )
    for i, page in enumerate(pages if not isinstance(pages, Pages) else ()):
        if not (isinstance(page, Page | bytes | str | os.PathLike) or hasattr(page, "getexif")):
            raise TypeError(
                f"pages[{i}] must be a Page, a picture of Pillow's, a path or the bytes of a file, got "
                f"{type(page).__name__}: {page!r:.80}"
            )
        if isinstance(page, str) and "://" in page:
            raise ValueError(f"pages[{i}] is an address, {page!r:.120}, and nothing is fetched: save it to a file")
    return pages


def as_page(page: PageImage) -> Page:
    """What was given as a page: a picture of Pillow's, which has no words, becomes one of as many points as pixels.

    Raises
    ------
    ValueError
        If a file is no PDF and no image, or has several pages.
    """
    if isinstance(page, Page | bytes | str | os.PathLike):
        return page if isinstance(page, Page) else _only(page)
    drawn = _Picture(page)
    width, height = drawn.draw(1, None).size
    nowhere = np.zeros((0, 4), dtype=np.float32)
    name = getattr(page, "filename", "") or "picture"
    frame = Frame(0.0, 0.0, float(width), float(height))
    return Page(name, 1, "1", frame, "", nowhere, np.zeros(0, dtype=np.int32), "", True, drawn)


@dataclass(frozen=True, eq=False)
class _Picture:
    """Draws a picture of Pillow's as the only page that it is."""

    picture: Image

    def draw(self, number: int, dpi: int | None) -> Image:  # noqa: ARG002 - a `PageSource` of one page
        picture = upright(self.picture)
        if dpi is None:
            return picture
        size = tuple(max(1, round(side * dpi / 72)) for side in picture.size)
        return picture.resize((size[0], size[1]))


def picture_of(page: PageImage) -> Image:
    """A page as an RGB picture, drawn now: a `Page` of a PDF at 144 dots an inch, an image with its own pixels.

    Raises
    ------
    ValueError
        If a file is no PDF and no image, or has several pages.
    """
    if not isinstance(page, Page | bytes | str | os.PathLike):
        return upright(page)
    return as_page(page).image()


def text_of(page: PageImage) -> str:
    """What can be read on a page without looking at the picture: the text of a `Page`, else nothing."""
    return page.text if isinstance(page, Page) else ""


def pixels_digest(picture: Image) -> str:
    """Tells one RGB picture from another: 32 hexadecimal digits of its size and pixels."""
    digest = hashlib.blake2b(f"{picture.mode} {picture.width} {picture.height}".encode(), digest_size=16)
    digest.update(picture.tobytes())
    return digest.hexdigest()


def _only(file: bytes | str | os.PathLike[str]) -> Page:
    pages = open_bytes(file, name="the bytes given") if isinstance(file, bytes) else open_pages(Path(file))
    if len(pages) != 1:
        raise ValueError(f"{pages.path} has {len(pages)} pages: give open_pages(path), or some of its pages")
    return pages[0]
