"""Quotes of a made PDF by any program, and how well their boxes lie on the words that were drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from made_layouts import Layout, Piece

from latelens.pages import Page, Place, locate_span
from latelens.pages.skeleton import skeleton

_POINTS = 15


class Quote(NamedTuple):
    """A span of a program's text, and the words in it."""

    text: str
    start: int
    end: int
    words: tuple[Piece, ...]


class Measured(NamedTuple):
    """Of some quotes: how many have a place, what of their words is covered, what of the covered is theirs."""

    asked: int
    located: float
    coverage: float
    precision: float
    wrong_pages: int


def _latelens(path: Path) -> list[str]:
    from latelens.pages import open_pages

    return [page.text for page in open_pages(path)]


def _pypdf(path: Path) -> list[str]:
    import pypdf

    return [page.extract_text() for page in pypdf.PdfReader(path).pages]


def _pdfplumber(path: Path) -> list[str]:
    import pdfplumber

    with pdfplumber.open(path) as document:
        return [page.extract_text() for page in document.pages]


def _pypdfium2(path: Path) -> list[str]:
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    texts = [page.get_textpage().get_text_range() for page in document]
    document.close()
    return texts


def _pymupdf(path: Path) -> list[str]:
    import pymupdf

    with pymupdf.open(path) as document:
        return [page.get_text() for page in document]


TEXTS: dict[str, Callable[[Path], list[str]]] = {
    "latelens": _latelens,
    "pypdf": _pypdf,
    "pdfplumber": _pdfplumber,
    "pypdfium2": _pypdfium2,
    "pymupdf": _pymupdf,
}


def quotes(text: str, layout: Layout, count: int, seed: int) -> list[Quote]:
    """Spans of the text from one drawn word to another some words later, with all words that stand in them."""
    letters = skeleton(text)
    found = sorted(
        (at, piece) for piece in layout.pieces if (at := _only(letters.text, skeleton(piece.text).text)) >= 0
    )
    chance, chosen = random.Random(seed), []
    for _ in range(count if len(found) > 8 else 0):
        length = chance.randint(5, 25)
        first = chance.randrange(max(1, len(found) - length))
        words = tuple(piece for _, piece in found[first : first + length])
        last, at = words[-1], found[first : first + length][-1][0]
        start = int(letters.origins[found[first][0]])
        end = int(letters.origins[at + len(skeleton(last.text).text) - 1]) + 1
        chosen.append(Quote(text, start, end, words))
    return chosen


def _only(text: str, piece: str) -> int:
    at = text.find(piece)
    return at if at >= 0 and text.find(piece, at + 1) < 0 else -1


def measure(pages: Sequence[Page], layout: Layout, asked: Sequence[Quote]) -> Measured:
    """Locate quotes on all pages; shares are of the lengths of words along their middle."""
    shares, wrong = [], 0
    for quote in asked:
        place = locate_span(pages, quote.text, quote.start, quote.end)
        if place is not None:
            wrong += not {spot.page for spot in place.spots} <= {word.page for word in quote.words}
            shares.append(_shares(layout, quote, place))
    coverage, precision = (sum(one[i] for one in shares) / max(len(shares), 1) for i in (0, 1))
    return Measured(len(asked), len(shares) / max(len(asked), 1), coverage, precision, wrong)


def _shares(layout: Layout, quote: Quote, place: Place) -> tuple[float, float]:
    mine = {id(word) for word in quote.words}
    pages = {spot.page for spot in place.spots} | {word.page for word in quote.words}
    own = others = whole = 0.0
    for piece in layout.pieces:
        if piece.page in pages:
            length = abs(piece.end[0] - piece.start[0]) + abs(piece.end[1] - piece.start[1])
            covered = length * sum(_covered(piece, place)) / _POINTS
            own += covered if id(piece) in mine else 0
            others += 0 if id(piece) in mine else covered
            whole += length if id(piece) in mine else 0
    return own / whole, own / max(own + others, 1e-9)


def _covered(piece: Piece, place: Place) -> Iterator[bool]:
    """Whether points along the middle of a word lie in a box."""
    boxes = [box for spot in place.spots if spot.page == piece.page for box in spot.boxes]
    for i in range(_POINTS):
        share = (i + 0.5) / _POINTS
        x, y = (a + share * (b - a) for a, b in zip(piece.start, piece.end, strict=True))
        yield any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in boxes)
