"""A chunk's text laid on its page: each character, word and token row gets the box where it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.pages.geometry import Box
from latelens.pages.letters import orders
from latelens.pages.locating import MIN_CONFIDENCE, most_likely
from latelens.pages.page import Page
from latelens.pages.skeleton import skeleton
from latelens.refusals import check_is


@dataclass(frozen=True, eq=False)
class TextOnPage:
    """Where the characters of a text stand on a page.

    Attributes
    ----------
    characters
        (len(text),) int32: the character of the page's text for each of the text, -1 where there is none.
    """

    page: Page
    characters: NDArray[np.int32]

    def boxes_of(self, start: int, end: int) -> tuple[Box, ...]:
        """Boxes of a span of the text, one a line, as fractions of the page; empty where it is not on the page."""
        there = self.characters[start:end]
        there = np.unique(there[there >= 0])
        if not len(there):
            return ()
        runs = [[int(there[0]), int(there[0])]]
        for character in there.tolist():
            # Marks that only one of two programs writes, as a hyphen, are no gap; other words are.
            if any(map(str.isalnum, self.page.text[runs[-1][1] + 1 : character])):
                runs.append([character, character])
            runs[-1][1] = character
        return tuple(box for first, last in runs for box in self.page.boxes_of(first, last + 1))

    def row_boxes(self, spans: NDArray[np.int32]) -> NDArray[np.float32]:
        """The box of each token row of the text, from `TokenEmbeddings.spans`: (rows, 4) float32.

        Left, top, right and bottom as fractions of the page; NaN for rows without text and off the page. A row of a
        word that is hyphenated at the end of a line has the box of its first part.
        """
        found = np.full((len(spans), 4), np.nan, dtype=np.float32)
        for i, (start, end) in enumerate(spans.tolist()):
            if start >= 0 and (boxes := self.boxes_of(start, end)):
                found[i] = boxes[0]
        return found


def lay(page: Page, text: str) -> TextOnPage:
    """Lay a chunk's text on the page that it was read from, whichever program extracted it.

    A text that does not stand there, or in several places, has no character on the page.
    """
    check_is("page", page, Page, "a Page, from open_pages")
    check_is("text", text, str, "a str")
    at = page.text.find(text) if text else -1
    if at >= 0 and page.text.find(text, at + 1) < 0:
        return TextOnPage(page, np.arange(at, at + len(text), dtype=np.int32))
    characters = np.full(len(text), -1, dtype=np.int32)
    letters = skeleton(text)
    found = most_likely(orders([page]), letters.text, 0, len(letters.text)) if letters.text else None
    if found is not None and found.confidence >= MIN_CONFIDENCE:
        hit = found.places >= 0
        characters[letters.origins[hit]] = found.searched.characters(found.places)
    return TextOnPage(page, characters)
