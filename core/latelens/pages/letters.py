"""The letters of pages in the orders in which programs extract them, and back from letters to spans of a page."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from latelens.pages.page import Page
from latelens.pages.skeleton import Skeleton, skeleton
from latelens.refusals import check_is
from latelens.text.characters import words


class PageLetters:
    """What is compared of one page: computed when it is first needed, and kept as long as the page."""

    def __init__(self, page: Page) -> None:
        self._text, self._boxes, self._lines = page.text, page.boxes, page.lines

    @cached_property
    def written(self) -> Skeleton:
        """The letters as the file writes them."""
        return skeleton(self._text)

    @cached_property
    def by_row(self) -> Skeleton | None:
        """The letters row by row across the page, as programs read that know no columns; None if it is the same."""
        order = _row_order(self._boxes, self._lines)[self.written.origins]
        if not len(order) or bool((np.diff(order) >= 0).all()):
            return None
        places = order.argsort(kind="stable")
        return Skeleton("".join(self.written.text[i] for i in places.tolist()), self.written.origins[places])

    @cached_property
    def words(self) -> NDArray[np.int32]:
        """(words, 2) spans of the page's words."""
        return words(self._text)

    def between(self, start: int, end: int) -> str:
        """The page's text between two characters."""
        return self._text[start:end]

    def is_edge(self, character: int, side: int) -> bool:
        """Whether a word begins (side 0) or ends (side 1) there; between words any character is an edge."""
        i = int(self.words[:, 0].searchsorted(character, side="right")) - 1
        if i < 0 or character >= self.words[i, 1]:
            return True
        return bool(self.words[i, side] == character + side)

    def spans(self, matched: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
        """Runs of words of which at least half is matched, (characters,), with the punctuation beside them."""
        letters = np.unique(self.written.origins)
        owner = self.words[:, 0].searchsorted(letters, side="right") - 1
        inside = owner >= 0
        inside[inside] = letters[inside] < self.words[owner[inside], 1]
        letters, owner = letters[inside], owner[inside]
        total = np.bincount(owner, minlength=len(self.words))
        hits = np.bincount(owner, weights=matched[letters], minlength=len(self.words))
        chosen = np.flatnonzero((total > 0) & (2 * hits >= total))
        if not len(chosen):
            return ()
        breaks = [0, *(np.flatnonzero(np.diff(chosen) > 1) + 1).tolist(), len(chosen)]
        ends = [(chosen[a], chosen[b - 1]) for a, b in pairwise(breaks)]
        return tuple(_with_marks(self._text, int(self.words[a, 0]), int(self.words[b, 1])) for a, b in ends)


_KNOWN: weakref.WeakKeyDictionary[Page, PageLetters] = weakref.WeakKeyDictionary()


def letters_of(page: Page) -> PageLetters:
    """The letters of a page, computed once."""
    check_is("what is searched", page, Page, "a Page, from open_pages")
    known = _KNOWN.get(page)
    if known is None:
        known = _KNOWN[page] = PageLetters(page)
    return known


class Searched:
    """The letters of several pages, in one order, as one string."""

    def __init__(self, pages: Sequence[Page], orders: Sequence[Skeleton]) -> None:
        self.pages, self._orders = pages, orders
        self.text = "".join(order.text for order in orders)
        self._starts = np.array([*accumulate((len(order.text) for order in orders), initial=0)])

    def is_whole(self, first: int, last: int) -> bool:
        """Whether a match begins where a word begins and ends where one ends."""
        return all(self._is_edge(place, side) for side, place in enumerate((first, last)))

    def _is_edge(self, place: int, side: int) -> bool:
        i, character = self._at(place)
        return letters_of(self.pages[i]).is_edge(character, side)

    def _at(self, place: int) -> tuple[int, int]:
        """Which page, and which of its characters, a letter is."""
        i = int(self._starts.searchsorted(place, side="right")) - 1
        return i, int(self._orders[i].origins[place - self._starts[i]])

    def goes_on(self, place: int, step: int) -> bool:
        """Whether the number that a digit belongs to has another digit before (step -1) or after it (step 1)."""
        other = place + step
        if not 0 <= other < len(self.text) or not self.text[other].isnumeric():
            return False
        (i, here), (j, there) = self._at(place), self._at(other)
        between = letters_of(self.pages[i]).between(min(here, there) + 1, max(here, there))
        return i == j and len(between) <= 1 and between in ("", ".", ",", "'", "\u2019")

    def characters(self, places: NDArray[np.int32]) -> NDArray[np.int64]:
        """The characters that a match lies on, as numbers that are the same for every order of the pages."""
        hit = places[places >= 0]
        owner = self.owners(hit)
        offsets = np.array([*accumulate((len(page.text) for page in self.pages), initial=0)])
        origins = np.concatenate([order.origins for order in self._orders])
        return np.asarray(offsets[owner] + origins[hit], dtype=np.int64)

    def owners(self, places: NDArray[np.int32]) -> NDArray[np.int64]:
        """Which page each place of a match is on, (places,); -1 where it has none."""
        return np.asarray(np.where(places < 0, -1, self._starts.searchsorted(places, side="right") - 1), dtype=np.int64)

    def matched(self, places: NDArray[np.int32]) -> list[tuple[Page, tuple[tuple[int, int], ...]]]:
        """Pages on which a match lies, with its spans there; `places` as in `Laid`."""
        found = []
        for i in np.unique(self.owners(places[places >= 0])).tolist():
            low, high = int(self._starts[i]), int(self._starts[i + 1])
            here = np.where((places >= low) & (places < high), places - low, -1)
            page = self.pages[i]
            found.append((page, letters_of(page).spans(_matched(page, self._orders[i], here))))
        return found


def orders(pages: Sequence[Page]) -> list[Searched]:
    """The pages' letters as the files write them and, where that is another order, row by row."""
    known = [letters_of(page) for page in pages]
    written = Searched(pages, [letters.written for letters in known])
    if all(letters.by_row is None for letters in known):
        return [written]
    return [written, Searched(pages, [letters.by_row or letters.written for letters in known])]


def _matched(page: Page, order: Skeleton, places: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which characters of a page are matched, and those between that two programs only write differently."""
    matched = np.zeros(len(page.text), dtype=np.bool_)
    hit = np.flatnonzero(places >= 0)
    matched[order.origins[places[hit]]] = True
    for i in np.flatnonzero(np.diff(hit) > 1).tolist():
        a, b = hit[i], hit[i + 1]
        low, high = places[a] + 1, places[b]
        if low < high <= low + 2 * (b - a):
            matched[order.origins[low:high]] = True
    return matched


def _with_marks(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span over the punctuation that touches it."""
    while start and not text[start - 1].isspace() and not text[start - 1].isalnum():
        start -= 1
    while end < len(text) and not text[end].isspace() and not text[end].isalnum():
        end += 1
    return start, end


def _row_order(boxes: NDArray[np.float32], lines: NDArray[np.int32]) -> NDArray[np.int64]:
    """The rank of each character's line when lines are read in rows from the top, each row from the left."""
    seen = np.flatnonzero(~np.isnan(boxes[:, 0])) if len(boxes) else np.zeros(0, dtype=np.intp)
    if not len(seen):
        return np.zeros(len(boxes), dtype=np.int64)
    numbers, firsts = np.unique(lines[seen], return_index=True)
    near = np.minimum.reduceat(boxes[seen, :2], firsts, axis=0)
    far = np.maximum.reduceat(boxes[seen, 2:], firsts, axis=0)
    middles, heights = (near[:, 1] + far[:, 1]) / 2, far[:, 1] - near[:, 1]
    rows = np.zeros(len(numbers), dtype=np.int64)
    row, last = 0, None
    for i in middles.argsort(kind="stable").tolist():
        if last is not None and middles[i] - middles[last] > 0.5 * min(heights[i], heights[last]):
            row += 1
            last = i
        last = i if last is None else last
        rows[i] = row
    ranks = np.empty(len(numbers), dtype=np.int64)
    ranks[np.lexsort((near[:, 0], rows))] = np.arange(len(numbers))
    place = np.minimum(numbers.searchsorted(lines), len(numbers) - 1)
    return ranks[place]
