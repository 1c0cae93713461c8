"""Words that a program reads from the picture of a page, where there is no text layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from latelens.pages.geometry import Box

if TYPE_CHECKING:
    from PIL.Image import Image


class SeenWord(NamedTuple):
    """A word in a picture: its text and its left, top, right, bottom in pixels."""

    text: str
    box: Box


class WordReader(Protocol):
    """Reads the words of a picture: any OCR program fits.

    Attributes
    ----------
    name
        What a page says its text is from.
    """

    name: str

    def read_words(self, image: Image) -> Sequence[Sequence[SeenWord]]:
        """The lines of an RGB picture in reading order, each a sequence of words."""
        ...


def read_words(reader: WordReader, image: Image) -> list[list[SeenWord]]:
    """What a reader sees, checked: words without text or place are left out.

    Raises
    ------
    ValueError
        If a box is not four finite numbers.
    """
    lines = []
    for line in reader.read_words(image):
        kept = []
        for text, box in line:
            if len(box) != 4 or not all(map(math.isfinite, box)):
                raise ValueError(f"{reader.name!r} read {text!r:.40} in the box {box!r}: a box is four finite numbers")
            if (shown := "".join(str(text).split())) and box[0] < box[2] and box[1] < box[3]:
                kept.append(SeenWord(shown, box))
        if kept:
            lines.append(kept)
    return lines


def from_words(
    lines: Sequence[Sequence[SeenWord]], width: int, height: int
) -> tuple[str, NDArray[np.float32], NDArray[np.int32]]:
    """Text of a page with a box and a line for each character; a word's box is shared out evenly.

    Returns the text, (characters, 4) float32 fractions and (characters,) int32.
    """
    text: list[str] = []
    boxes: list[Box] = []
    numbers: list[int] = []
    nowhere = (math.nan,) * 4
    for number, line in enumerate(lines):
        for word in line:
            if text:
                text.append(" " if word is not line[0] else "\n")
                boxes.append(nowhere)
                numbers.append(number)
            left, top, right, bottom = word.box
            step = (right - left) / len(word.text)
            for i, character in enumerate(word.text):
                text.append(character)
                boxes.append((left + i * step, top, left + (i + 1) * step, bottom))
                numbers.append(number)
    fractions = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    fractions /= np.array([width, height, width, height], dtype=np.float32)
    return "".join(text), fractions.clip(0, 1), np.array(numbers, dtype=np.int32)
