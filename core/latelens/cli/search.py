"""The passages of some files, ranked for a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from latelens.cli.files import FileText
from latelens.encoders import Encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.explanation.evidence import find_evidence
from latelens.explanation.results import Ranked
from latelens.pages.geometry import around, in_words
from latelens.ranking import rerank
from latelens.text.passages import split_passages

# Passages to encode and rank at a time: all at once would need 0.25 MB each (160 tokens of 384 numbers), 64 keep
# the progress bar moving.
_SLAB = 64


@dataclass(frozen=True)
class Passage:
    """A few sentences of a file: ``file.text[start:end]``."""

    file: FileText
    start: int
    end: int

    @property
    def text(self) -> str:
        """The passage as it stands in the file."""
        return self.file.text[self.start : self.end]

    @property
    def place(self) -> str:
        """Where to find it: ``manual.pdf, page 3, upper half`` or ``notes.txt:12``."""
        name = "(standard input)" if self.file.name == "-" else self.file.name
        if page := self.file.page_at(self.start):
            place = self.file.place_at(self.start, self.end)
            return f"{name}, page {page}, {in_words(around(place.boxes))}" if place else f"{name}, page {page}"
        line = self.file.line_at(self.start)
        return f"{name}:{line}" if line else name


@dataclass(frozen=True)
class Finding:
    """A passage and its place in the ranking; ``ranked.index`` is its place in the list of hits."""

    passage: Passage
    ranked: Ranked

    @property
    def place(self) -> str:
        """That of the passage."""
        return self.passage.place


def cut(file: FileText) -> list[Passage]:
    """Passages of a file, in order."""
    return [Passage(file, start, end) for start, end in split_passages(file.text)]


def search(
    question: str,
    passages: Sequence[Passage],
    encoder: Encoder,
    *,
    top: int,
    min_score: float | None = None,
    min_relevance: float | None = None,
    cache: EmbeddingCache | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[Finding]:
    """Rank passages and keep the best `top`; `advance` is told how many more were read."""
    best: list[Finding] = []
    for first in range(0, len(passages), _SLAB):
        slab = passages[first : first + _SLAB]
        texts = [passage.text for passage in slab]
        found = rerank(
            question,
            texts,
            encoder,
            top_n=top,
            explain="off",
            min_score=min_score,
            min_relevance=min_relevance,
            cache=cache,
        )
        best += [Finding(slab[ranked.index], ranked) for ranked in found]
        best = sorted(best, key=lambda hit: -hit.ranked.score)[:top]
        if advance is not None:
            advance(len(slab))
    return [
        replace(hit, ranked=replace(hit.ranked, index=i, evidence=find_evidence(hit.ranked.explanation)))
        for i, hit in enumerate(best)
    ]
