"""Image files as pages: PNG, JPEG, and TIFF of many pages, turned as their EXIF says."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from latelens.pages.geometry import Frame

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = ("PNG", "JPEG", "TIFF")
_POINTS = 72.0


def frame_count(data: Path | bytes) -> int:
    """How many pages an image file has."""
    with _opened(data) as image:
        return int(getattr(image, "n_frames", 1))


def frame_of(data: Path | bytes, index: int, max_pixels: int) -> Frame:
    """The size of one page in points, by the dots an inch that the file names, else 72."""
    with _opened(data) as image:
        image.seek(index)
        _check(image, max_pixels)
        width, height = image.size
        across, down = _resolution(image)
        # EXIF orientations 5 to 8 lay the picture on its side.
        if image.getexif().get(274, 1) in (5, 6, 7, 8):
            width, height, across, down = height, width, down, across
    return Frame(0.0, 0.0, width * _POINTS / across, height * _POINTS / down)


def draw(data: Path | bytes, index: int, *, dpi: int | None, max_pixels: int) -> Image:
    """One page as an RGB picture: its own pixels, or so many dots an inch, at most `max_pixels`."""
    from PIL import Image

    with _opened(data) as image:
        image.seek(index)
        _check(image, max_pixels)
        across, down = _resolution(image)
        if image.getexif().get(274, 1) in (5, 6, 7, 8):
            across, down = down, across
        picture = upright(image)
    if dpi is None:
        return picture
    width, height = picture.width * dpi / across, picture.height * dpi / down
    fits = min(1.0, math.sqrt(max_pixels / (width * height)))
    size = max(1, int(width * fits)), max(1, int(height * fits))
    return picture.resize(size, Image.Resampling.LANCZOS)


def upright(image: Image) -> Image:
    """A picture as it is looked at: turned as its EXIF says, RGB, on white."""
    from PIL import ImageOps

    return _on_white(ImageOps.exif_transpose(image))


@contextmanager
def _opened(data: Path | bytes) -> Iterator[Image]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError as error:
        if error.name != "PIL":
            raise
        raise ImportError("pictures of pages need Pillow: run `pip install 'latelens[pdf]'`") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on sizes, which are checked below, and on odd metadata
            with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=_FORMATS) as image:
                yield image
    except UnidentifiedImageError as error:
        raise ValueError("is neither a PDF nor a PNG, JPEG or TIFF image") from error
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"is no readable image ({error})") from error


def _check(image: Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(
            f"has a page of {width:,} x {height:,} pixels, more than {max_pixels:,}; open_pages(..., max_pixels=...) "
            "reads it"
        )


def _resolution(image: Image) -> tuple[float, float]:
    """Dots an inch across and down."""
    given = image.info.get("dpi", (_POINTS, _POINTS))
    try:
        across, down = (float(value) for value in given)
    except (TypeError, ValueError, ZeroDivisionError):
        return _POINTS, _POINTS
    sensible = 10 <= across <= 10_000 and 10 <= down <= 10_000
    return (across, down) if sensible else (_POINTS, _POINTS)


def _on_white(image: Image) -> Image:
    """Without transparency, as it looks on paper; 16 bits a pixel brought to 8."""
    from PIL import Image

    if image.mode.startswith("I"):
        return image.point(lambda value: value / 257).convert("L").convert("RGB")
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
