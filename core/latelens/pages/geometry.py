"""Boxes on a page: from the PDF's own coordinates to the page as it is shown, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# (left, top, right, bottom)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """Which rectangle of the PDF's coordinates a viewer shows, and how it is turned.

    Attributes
    ----------
    left, bottom, right, top
        The crop box within the media box, in points, y upwards.
    rotation
        Degrees clockwise: 0, 90, 180 or 270.
    """

    left: float
    bottom: float
    right: float
    top: float
    rotation: int = 0

    @property
    def width(self) -> float:
        """Width in points as shown."""
        return self.right - self.left if self.rotation % 180 == 0 else self.top - self.bottom

    @property
    def height(self) -> float:
        """Height in points as shown."""
        return self.top - self.bottom if self.rotation % 180 == 0 else self.right - self.left

    def shown(self, boxes: NDArray[np.float64]) -> NDArray[np.float32]:
        """Boxes (n, 4) of left, bottom, right, top in points, as fractions (n, 4) of the page, cut at its edges.

        A box that lies outside the page, or has no area, becomes NaN.
        """
        x = (boxes[:, [0, 2]] - self.left) / (self.right - self.left)  # (n, 2)
        y = (self.top - boxes[:, [3, 1]]) / (self.top - self.bottom)  # (n, 2), from the top
        if self.rotation == 90:
            x, y = 1 - y, x
        elif self.rotation == 180:
            x, y = 1 - x, 1 - y
        elif self.rotation == 270:
            x, y = y, 1 - x
        # A hostile number times another may be infinite: what cannot be compared is no box.
        with np.errstate(invalid="ignore", over="ignore"):
            corners = np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], axis=1).clip(0, 1).astype(np.float32)
            empty = ~((corners[:, 0] < corners[:, 2]) & (corners[:, 1] < corners[:, 3]))
        corners[empty] = np.nan
        return corners

    def stored(self, box: Box) -> Box:
        """A box in fractions of the page as shown, in the PDF's coordinates: left, bottom, right, top in points.

        >>> Frame(0, 0, 200, 100, rotation=90).stored((0.0, 0.0, 0.5, 0.1))
        (0.0, 0.0, 20.0, 50.0)
        """
        left, top, right, bottom = box
        if self.rotation == 90:
            left, top, right, bottom = top, 1 - right, bottom, 1 - left
        elif self.rotation == 180:
            left, top, right, bottom = 1 - right, 1 - bottom, 1 - left, 1 - top
        elif self.rotation == 270:
            left, top, right, bottom = 1 - bottom, left, 1 - top, right
        width, height = self.right - self.left, self.top - self.bottom
        return (
            self.left + left * width,
            self.top - bottom * height,
            self.left + right * width,
            self.top - top * height,
        )


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around boxes, of which there is at least one."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def area(box: Box) -> float:
    """Share of the page, 0..1."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def in_pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """A box in fractions as whole pixels of a picture of the page, none of the box left out.

    >>> in_pixels((0.1, 0.2, 0.305, 0.4), 100, 200)
    (10, 40, 31, 80)
    """
    # A box that ends at a pixel's edge, but for rounding, does not reach into the next one.
    left, top = int(box[0] * width + 1e-3), int(box[1] * height + 1e-3)
    right, bottom = -int(-box[2] * width + 1e-3), -int(-box[3] * height + 1e-3)
    right, bottom = right + (right < box[2] * width - 1e-3), bottom + (bottom < box[3] * height - 1e-3)
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def in_words(box: Box) -> str:
    """Where on the page a box lies, as one says it.

    >>> in_words((0.1, 0.1, 0.9, 0.2)), in_words((0.6, 0.7, 0.9, 0.8))
    ('upper half', 'lower half, right')
    """
    middle_y, middle_x = (box[1] + box[3]) / 2, (box[0] + box[2]) / 2
    half = "upper half" if middle_y < 0.5 else "lower half"
    if box[2] <= 0.55 and middle_x < 0.4:
        return f"{half}, left"
    if box[0] >= 0.45 and middle_x > 0.6:
        return f"{half}, right"
    return half
