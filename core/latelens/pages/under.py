"""What stands in a part of a page: characters, and the words that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.pages.geometry import Box
from latelens.pages.page import Page


def characters_in(page: Page, boxes: Sequence[Box] | NDArray[Any]) -> NDArray[np.bool_]:
    """Which characters of the page's text have their middle in one of some boxes: (characters,)."""
    x, y = (page.boxes[:, :2] + page.boxes[:, 2:]).T / 2  # (characters,) NaN where nothing is seen
    inside = np.zeros(len(x), dtype=bool)
    for left, top, right, bottom in boxes:
        inside |= (x >= left) & (x < right) & (y >= top) & (y < bottom)
    return inside


def words_in(page: Page, box: Box) -> tuple[str, ...]:
    """Whole words of the page of which at least one character stands in a box, in the order of the text."""
    inside = np.flatnonzero(characters_in(page, [box]))
    begins, ends = page.word_edges
    found = np.unique(begins.searchsorted(inside, side="right") - 1)
    return tuple(page.text[begins[i] : ends[i]] for i in found.tolist())
