"""Why a document that should have ranked higher did not: which words of the query found nothing in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np

from latelens.embeddings import TokenEmbeddings, TokenKind
from latelens.explanation.cells import CellMatch, words_of
from latelens.explanation.contrasting import cells_of, matched_words, said
from latelens.explanation.matches import COVERED, explain
from latelens.explanation.words import query_entries
from latelens.pages.page import Page


@dataclass(frozen=True)
class WordMiss:
    """What one word of the query found in a document, and what it could have found.

    Attributes
    ----------
    word
        The word as the query spells it; for rows that belong to no word, their tokens.
    kind
        Kind of the word's rows: special, marker and expansion rows come last, one entry a kind.
    query_start, query_end
        Place in the query, -1 for rows that belong to no word.
    earned
        Contribution to the score: the sum of the matches of the word's rows.
    lost
        What the word could add at most: each of its rows could match with 1.
    strength
        How clearly it is matched, at most 1, see `Explanation.word_strengths`; None for rows of no word, and for a page
        image, where no strength is known to be enough.
    matched
        The words that it matched in the document, in its order. Of a page image, the words that stand in the cells that
        it matched, where the page is known.
    cells
        Of a page image, the cell that each of the word's rows matched best: where to look for what is missing. Empty
        for a text.
    """

    word: str
    kind: TokenKind
    query_start: int
    query_end: int
    earned: float
    lost: float
    strength: float | None
    matched: tuple[str, ...]
    cells: tuple[CellMatch, ...] = ()

    @property
    def found(self) -> bool:
        """Whether anything in the document answers the word; true without a strength."""
        return self.strength is None or self.strength >= COVERED


@dataclass(frozen=True)
class Miss:
    """What a document lacks for a query; ``str(miss)`` is a table, largest losses first.

    Attributes
    ----------
    score
        MaxSim. Score and losses sum to the number of query rows, the score of the query with itself.
    words
        One entry a word of the query, in its order, then the rows that belong to none.
    uncovered
        The words that found nothing, function words left out.
    """

    score: float
    words: tuple[WordMiss, ...]
    uncovered: tuple[str, ...]

    def __str__(self) -> str:
        ranked = sorted(self.words, key=lambda word: (word.found, -word.lost))
        width = max(len(word.word) for word in ranked)
        lines = [f"{'':{width}}    lost  best match"]
        for word in ranked:
            matched = said(word.matched, word.cells)
            lines.append(f"{word.word:{width}}  {word.lost:6.3f}  {matched if word.found else f'nothing ({matched})'}")
        return "\n".join(lines)


def explain_miss(query: TokenEmbeddings, document: TokenEmbeddings, *, page: Page | None = None) -> Miss:
    """Say for each word of a query what a document lacks.

    Of a page image it says where on it the best matches are; `page`, as `open_pages` gives it, says which words stand
    there.

    Raises
    ------
    ValueError
        If the dimensions differ or a side has no rows.
    """
    explanation = explain(query, document)
    best = explanation.similarity.max(axis=1).astype(np.float64)  # (query rows,) float64
    known = [] if document.is_page_image else explanation.word_strengths.tolist()
    strengths = chain(known, repeat(None))  # words come first
    cells, words = cells_of(explanation, page), []
    for (text, kind, start, end, rows), strength in zip(query_entries(query), strengths, strict=False):
        earned = math.fsum(best[rows].tolist())
        own = tuple(cells[row] for row in rows.tolist() if cells)
        word = WordMiss(
            word=text,
            kind=kind,
            query_start=start,
            query_end=end,
            earned=earned,
            lost=len(rows) - earned,
            strength=strength,
            matched=words_of(own) or matched_words(explanation, rows),
            cells=own,
        )
        words.append(word)
    return Miss(explanation.score, tuple(words), explanation.uncovered)
