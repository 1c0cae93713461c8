"""Pages and their regions as pictures for a model that answers: bounded, each with a caption that names its place."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latelens.bridge.quotes import Found, Quote
from latelens.bridge.regions import is_page_image, regions_of
from latelens.pages.files import FilePage, PageFiles
from latelens.pages.opening import open_bytes
from latelens.pages.page import Page
from latelens.refusals import check_count, check_is

MIME_TYPE = "image/png"
# What most models look at: more is made smaller on their side.
MAX_PIXELS = 1_000_000


@dataclass(frozen=True)
class PagePicture:
    """A page or a part of it, as the bytes of a PNG file.

    Attributes
    ----------
    caption
        Such as ``report.pdf, page 7, region 1``.
    """

    caption: str
    data: bytes


def page_pictures(
    chunks: Sequence[tuple[Mapping[str, Any], FilePage | bytes | None]],
    *,
    folders: Sequence[str | os.PathLike[str]] = (),
    crops: bool = True,
    margin: float = 0.02,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[PagePicture]:
    """Draw the pages that chunks stand for, each given by its metadata and where its image is.

    Parameters
    ----------
    folders
        Where the files lie; no other is opened.
    crops
        Cut out the regions that the metadata hold, best first; a page without regions is drawn whole.
    margin
        Around a region, in fractions of the page.
    max_pixels
        Of each picture.

    Raises
    ------
    ValueError
        If a chunk stands for no page that may be opened.
    """
    check_is("crops", crops, bool, "True or False")
    check_count("max_pixels", max_pixels)
    files = PageFiles(folders)
    for i, (metadata, image) in enumerate(chunks):
        page = _opened(files, folders, i, image)
        regions = regions_of(metadata) if crops else []
        drawn = page.image()
        for number, region in enumerate(regions, start=1):
            yield PagePicture(f"{page.name}, region {number}", _png(region.crop(margin, image=drawn), max_pixels))
        if not regions:
            yield PagePicture(page.name, _png(drawn, max_pixels))


@dataclass(frozen=True)
class QuotedPictures:
    """Draws what the quotes of a tool point at: regions of pages, and pages without any.

    Attributes
    ----------
    most
        Pictures of one call at most, those of the first quotes.
    folders
        Where the files lie; no other is opened.
    """

    most: int
    folders: Sequence[str | os.PathLike[str]]
    files: PageFiles

    @classmethod
    def checked(cls, most: int, folders: Sequence[str | os.PathLike[str]]) -> QuotedPictures:
        """Refuse what is no number of pictures and no folders.

        Raises
        ------
        ValueError, TypeError
            The message names the value.
        """
        check_count("max_images", most, least=0)
        return cls(most, folders, PageFiles(folders))

    def __call__(self, quotes: Sequence[Quote], found: Sequence[Found]) -> Iterator[PagePicture]:
        """The pictures, each with its quote's number and source; sentences of texts have none."""
        pictured = [quote for quote in quotes if is_page_image(found[quote.chunk].metadata)]
        drawn: dict[int, Any] = {}
        for quote in pictured[: self.most]:
            chunk = found[quote.chunk]
            if quote.chunk not in drawn:
                drawn = {quote.chunk: _opened(self.files, self.folders, quote.chunk, chunk.image).image()}
            picture = drawn[quote.chunk]
            if quote.region is not None:
                picture = regions_of(chunk.metadata)[quote.region].crop(image=picture)
            yield PagePicture(f"[{quote.number}] {quote.source}", _png(picture, MAX_PIXELS))


def _opened(
    files: PageFiles, folders: Sequence[str | os.PathLike[str]], index: int, image: FilePage | bytes | None
) -> Page:
    page = page_of(files, image)
    if page is None:
        raise ValueError(
            f"chunk {index} names no page of a file in folders={list(map(str, folders))}: give folders=[...] where the "
            "files lie, or leave the chunk out"
        )
    return page


def page_of(files: PageFiles, image: FilePage | bytes | None) -> Page | None:
    """The page that a chunk stands for; None where it names none that may be opened."""
    if isinstance(image, bytes):
        return open_bytes(image, name="image")[0]
    return None if image is None else files.page(image)


def _png(picture: Any, max_pixels: int) -> bytes:
    fits = math.sqrt(max_pixels / (picture.width * picture.height))
    if fits < 1:
        picture = picture.resize((max(1, int(picture.width * fits)), max(1, int(picture.height * fits))))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
