"""`locate`: boxes of a quoted text on its page, whichever program extracted it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.pages.alignment import Laid, exact_matches, near_matches
from latelens.pages.geometry import Box
from latelens.pages.letters import Searched, orders
from latelens.pages.page import Page
from latelens.pages.skeleton import skeleton
from latelens.refusals import check_is, check_number, check_several

MIN_CONFIDENCE = 0.8
# Characters of the surroundings that tell one place from another.
_AROUND = 300
# A shorter text is found as it is or not at all, and never inside a word.
_SHORT = 16
# Two places that differ by less, in the share found of the text and of what stands around it, are not told apart.
_LESS, _ALIKE = 0.02, 0.08
# A near match as good as this is not looked for in another order.
_PLAIN = 0.95
_DIGIT = regex.compile(r"\p{N}")


@dataclass(frozen=True)
class Spot:
    """The part of a place that lies on one page.

    Attributes
    ----------
    page
        Its number, from 1.
    spans
        Half-open ranges of the page's text; more than one where other text stands between.
    boxes
        One a line, as fractions of the page: left, top, right, bottom.
    """

    page: int
    spans: tuple[tuple[int, int], ...]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Place:
    """Where a text stands.

    Attributes
    ----------
    spots
        One a page, in order; never empty.
    confidence
        Share of the text's letters and digits that stand there, 0..1; divided by the number of places where it may
        stand as well, and halved where a number differs.
    """

    spots: tuple[Spot, ...]
    confidence: float

    @property
    def page(self) -> int:
        """Number of the page on which it begins."""
        return self.spots[0].page

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Boxes on the page on which it begins."""
        return self.spots[0].boxes


def locate(
    pages: Sequence[Page],
    text: str,
    *,
    before: str = "",
    after: str = "",
    min_confidence: float = MIN_CONFIDENCE,
) -> Place | None:
    """Find a quoted text on the pages it may stand on, and give its boxes.

    The text may come from any program: spaces, line breaks, hyphens, ligatures, accents, case and punctuation count
    for nothing, and the lines of columns may be in another order. None is returned rather than a doubtful place: where
    too little of the text is found, and where it stands in several places that the surroundings do not tell apart.

    Parameters
    ----------
    pages
        From `open_pages`: all of a file, or the pages that a chunk names; neighbours in order, as a text may run on
        from one to the next.
    text
        What to look for: a sentence, a chunk, a cell.
    before, after
        What stands around it where it was quoted; some hundred characters tell a repeated passage from its twins.
    min_confidence
        0..1; below it the answer is None.

    Raises
    ------
    ValueError
        If `min_confidence` is out of range.
    """
    for name, given in (("text", text), ("before", before), ("after", after)):
        check_is(name, given, str, "a str")
    check_several("pages", pages, "Pages, from open_pages,")
    check_number("min_confidence", min_confidence, none="")
    if not 0 < min_confidence <= 1:
        raise ValueError(f"min_confidence must be above 0 and at most 1, got {min_confidence}")
    quote = skeleton(text).text
    if not quote or not (searched := list(pages)):
        return None
    left, right = skeleton(before[-2 * _AROUND :]).text[-_AROUND:], skeleton(after[: 2 * _AROUND]).text[:_AROUND]
    best = _on_fewest(searched, left + quote + right, len(left), len(left) + len(quote))
    if best is None or best.confidence < min_confidence:
        return None
    spots = _spots(best.searched, best.places)
    return Place(spots, best.confidence) if spots else None


def locate_span(
    pages: Sequence[Page], chunk: str, start: int, end: int, *, min_confidence: float = MIN_CONFIDENCE
) -> Place | None:
    """`locate` for ``chunk[start:end]``, told from its twins by the rest of the chunk."""
    check_is("chunk", chunk, str, "a str")
    for name, place in (("start", start), ("end", end)):
        check_is(name, place, int, "a position, an int,")
    if not 0 <= start <= end <= len(chunk):
        raise ValueError(f"the span ({start}, {end}) lies outside the chunk of {len(chunk)} characters")
    return locate(pages, chunk[start:end], before=chunk[:start], after=chunk[end:], min_confidence=min_confidence)


def _on_fewest(pages: Sequence[Page], whole: str, start: int, end: int) -> Likely | None:
    """The most likely place, on one page if it holds as much of the text as several do.

    Where words are missing on a page, an alignment finds the like of them at the end of the page before.
    """
    best = most_likely(orders(pages), whole, start, end)
    touched = best.pages() if best is not None else []
    if best is None or len(touched) < 2:
        return best
    # Places that are as good, and numbers that differ, take as much from it as from the best.
    doubt = best.confidence / best.share
    alone = [one for page in touched if (one := most_likely(orders([page]), whole, start, end)) is not None]
    first = max(alone, key=lambda one: one.share, default=best)
    if first.share < best.share - _LESS:
        return best
    return first._replace(confidence=min(first.confidence, first.share * doubt))


def _spots(searched: Searched, places: NDArray[np.int32]) -> tuple[Spot, ...]:
    found = []
    for page, spans in searched.matched(places):
        boxes = tuple(box for start, end in spans for box in page.boxes_of(start, end))
        if boxes:
            found.append(Spot(page.number, spans, boxes))
    return tuple(found)


class Likely(NamedTuple):
    """A place of a quote among letters, and how sure it is."""

    searched: Searched
    places: NDArray[np.int32]  # (letters of the quote,), as in `Laid`
    confidence: float

    @property
    def share(self) -> float:
        """Of the quote's letters, those that have a place."""
        return float((self.places >= 0).mean())

    def pages(self) -> list[Page]:
        """The pages on which it lies."""
        owners = self.searched.owners(self.places)
        return [self.searched.pages[i] for i in np.unique(owners[owners >= 0]).tolist()]


def most_likely(orders: Sequence[Searched], whole: str, start: int, end: int) -> Likely | None:
    """The most likely place of ``whole[start:end]``, certain or not."""
    for searched in orders:
        # A place where it stands as it is, be it one of several, is not bettered by another order or a near match.
        found = [(searched, match) for match in _exact(searched, whole, start, end)]
        if found:
            return _weighed(found, whole, start, end)
    if end - start < _SHORT:
        return None
    found = []
    for searched in orders:
        found += [(searched, match) for match in near_matches(searched.text, whole, start, end)]
        if found and found[0][1].share >= _PLAIN:
            break
    return _weighed(found, whole, start, end) if found else None


def _exact(searched: Searched, whole: str, start: int, end: int) -> list[Laid]:
    found = exact_matches(searched.text, whole, start, end)
    if end - start >= _SHORT:
        return found
    return [match for match in found if searched.is_whole(match.places[start], match.places[end - 1])]


def _weighed(found: list[tuple[Searched, Laid]], whole: str, start: int, end: int) -> Likely:
    """The best of some matches; those as good that lie elsewhere take from its confidence."""
    found.sort(key=lambda one: (-one[1].share, -one[1].around))
    searched, best = found[0]
    places = best.places[start:end]
    taken = [searched.characters(places)]
    for other, match in found[1:]:
        if match.share < best.share - _LESS or match.around < best.around - _ALIKE:
            continue
        characters = other.characters(match.places[start:end])
        if not any(np.intersect1d(characters, known).size for known in taken):
            taken.append(characters)
    confidence = best.share / len(taken)
    if _other_number(searched, whole, start, end, places):
        confidence /= 2
    return Likely(searched, places, confidence)


def _other_number(searched: Searched, whole: str, start: int, end: int, places: NDArray[np.int32]) -> bool:
    """Whether the text has another number where ``whole[start:end]`` has one: other digits, or more of them."""
    quote = whole[start:end]
    hit = np.flatnonzero(places >= 0).tolist()
    for a, b in pairwise(hit):
        if b - a > 1 and _DIGIT.search(quote, a + 1, b):
            between = searched.text[places[a] + 1 : places[b]]
            if len(between) <= 2 * (b - a) and _DIGIT.search(between):
                return True
    for i in hit:
        if _DIGIT.match(quote[i]):
            begins = not _DIGIT.match(whole[max(start + i - 1, 0) : start + i])
            ends = not _DIGIT.match(whole[start + i + 1 : start + i + 2])
            place = int(places[i])
            if (begins and searched.goes_on(place, -1)) or (ends and searched.goes_on(place, 1)):
                return True
    return False
