"""`latelens --pages`: the pages of PDFs and images, read as images, ranked for a question."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from latelens.bridge.metadata import to_metadata
from latelens.cli.files import STDIN
from latelens.encoders import Encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.explanation.regions import find_regions
from latelens.explanation.results import Ranked
from latelens.pages.opening import Pages, open_bytes, open_pages
from latelens.pages.page import Page
from latelens.ranking import rerank_pages

# Pages to draw, encode and rank at a time; the progress bar moves after each of them.
_SLAB = 4
# What the JSON of a page has of what travels with a chunk.
_TOLD = ("score", "mean_similarity", "complete", "grid", "off_page", "regions")


@dataclass(frozen=True)
class FoundPage:
    """A page and its place in the ranking; ``ranked.index`` is its place in the list of hits."""

    page: Page
    ranked: Ranked

    @property
    def place(self) -> str:
        """Where to find it: ``report.pdf, page 7``."""
        name = "(standard input)" if self.page.source == STDIN else self.page.source
        return f"{name}, page {self.page.label}"

    @property
    def is_pdf(self) -> bool:
        """Whether the page is one of a PDF."""
        return isinstance(self.page.drawn_by, Pages) and self.page.drawn_by.is_pdf


def read_pages(name: str) -> Pages:
    """The pages of a PDF or an image; ``"-"`` is standard input.

    Raises
    ------
    ValueError, OSError
        If it cannot be read; the message names the file.
    ImportError
        If a package is missing.
    """
    return open_bytes(sys.stdin.buffer.read(), name=STDIN) if name == STDIN else open_pages(name)


def search_pages(
    question: str,
    files: Sequence[Pages],
    encoder: Encoder,
    *,
    top: int,
    min_score: float | None = None,
    cache: EmbeddingCache | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[FoundPage]:
    """Rank the pages of all files and keep the best `top`; `advance` is told how many more were read."""
    best: list[FoundPage] = []
    for pages in files:
        for first in range(0, len(pages), _SLAB):
            slab = pages[first : first + _SLAB]
            found = rerank_pages(question, slab, encoder, top_n=top, explain="off", min_score=min_score, cache=cache)
            best += [FoundPage(slab[ranked.index], ranked) for ranked in found]
            best = sorted(best, key=lambda hit: -hit.ranked.score)[:top]
            if advance is not None:
                advance(len(slab))
    return [
        replace(hit, ranked=replace(hit.ranked, index=i, regions=find_regions(hit.ranked.explanation, page=hit.page)))
        for i, hit in enumerate(best)
    ]


def describe_page(hit: FoundPage, rank: int) -> dict[str, Any]:
    """A found page as JSON; boxes are fractions of the page: left, top, right, bottom."""
    told = to_metadata(hit.ranked, query="", model="", rank=rank, page=hit.page)
    where = {"rank": rank, "file": hit.page.source, "page": hit.page.number, "label": hit.page.label}
    return {**where, **{name: told[name] for name in _TOLD}}
