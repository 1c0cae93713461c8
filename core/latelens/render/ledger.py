"""What pictures show: the query's words with what each contributes, and how each word of a document matches them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings, TokenKind
from latelens.explanation.cells import CellMatch, cell_matches, words_of
from latelens.explanation.contrasting import cells_of, matched_words
from latelens.explanation.evidence import EvidenceSpan
from latelens.explanation.maps import page_maps
from latelens.explanation.matches import Explanation, Match
from latelens.explanation.results import Ranked
from latelens.explanation.words import group_rows, query_entries
from latelens.pages.geometry import Box
from latelens.pages.page import Page
from latelens.refusals import check_is, described
from latelens.text.characters import words


def unread_note(explanation: Explanation, evidence: Sequence[EvidenceSpan]) -> str:
    """What a reader has to know of a text that the model could not read, and how its sentences were then chosen.

    Empty where the model read everything.
    """
    document, query = explanation.document, explanation.query
    if explanation.readable:
        return "" if document.complete else "The model could not read some characters of this text."
    worse, what = max((document.unread, "this text"), (query.unread, "the query"))
    chosen = any(span.lexical for span in evidence)
    how = ": sentences were chosen by the letters that they share with the query" if chosen else ""
    return f"The model cannot read {worse:.0%} of {what}{how}."


@dataclass(frozen=True)
class LedgerLine:
    """What one word of the query contributes to a score.

    Attributes
    ----------
    label
        The word as the query spells it; the tokens where rows belong to no word.
    is_word
        False for punctuation and for special, marker and expansion rows: one line a kind, last.
    matches
        The matches of the word's rows; the contribution is their sum.
    matched
        Words of the document that they found, in its order; empty where no row with text was. Of a page image, the
        words that stand in the cells that they found, where the page is known.
    cells
        Of a page image, the cell that each match is with; empty for a text.
    """

    label: str
    kind: TokenKind
    is_word: bool
    matches: tuple[Match, ...]
    matched: tuple[str, ...]
    cells: tuple[CellMatch, ...] = ()

    @property
    def contribution(self) -> float:
        """Sum of the similarities of the line's matches."""
        return math.fsum(match.similarity for match in self.matches)


def ledger(explanation: Explanation, *, page: Page | None = None) -> tuple[LedgerLine, ...]:
    """Lines whose contributions sum to the score: the query's words in order, then the rows that belong to none.

    `page` is the page of a page image, where it is known.
    """
    check_is("explanation", explanation, Explanation, "an Explanation, as explain gives it")
    cells = cells_of(explanation, page)
    lines = []
    for label, kind, start, _, rows in query_entries(explanation.query):
        own = tuple(cells[row] for row in rows.tolist() if cells)
        matches = tuple(explanation.matches[row] for row in rows.tolist())
        matched = words_of(own) or matched_words(explanation, rows)
        lines.append(LedgerLine(label, kind, start >= 0, matches, matched, own))
    return tuple(lines)


@dataclass(frozen=True)
class CellLine:
    """What one row of the query adds to a page's score, and where.

    Attributes
    ----------
    token, kind
        The row of the query.
    cell
        Its best match.
    pixels
        Left, top, right, bottom of that cell in the page's picture, as ``Page.image()`` draws it; None off the page,
        and where the page is not known.
    points
        The same in points, 1/72 inch, from the upper left corner of the page as it is shown.
    """

    token: str
    kind: TokenKind
    cell: CellMatch
    pixels: tuple[int, int, int, int] | None
    points: Box | None


@dataclass(frozen=True)
class PageLedger:
    """A page image's score, row by row: the lines' similarities sum to it, as `on_page` and `off_page` do."""

    score: float
    on_page: float
    off_page: float
    lines: tuple[CellLine, ...]


def page_ledger(explanation: Explanation, *, page: Page | None = None) -> PageLedger:
    """The best cell of each row of the query; `page` gives it its words, and its box in pixels and points.

    Raises
    ------
    ValueError
        If the document is a text.
    """
    maps, picture = page_maps(explanation), None if page is None else page.image()
    lines = []
    for cell, kind in zip(cell_matches(explanation, page=page), explanation.query.kinds.tolist(), strict=True):
        pixels = points = None
        if cell.box is not None and page is not None and picture is not None:
            pixels, points = page.in_pixels(cell.box, picture), page.in_points(cell.box)
        lines.append(CellLine(cell.query_token, TokenKind(kind), cell, pixels, points))
    on_page = math.fsum(value for earned in maps.earned for value in earned.ravel().tolist())
    return PageLedger(explanation.score, on_page, maps.off_page, tuple(lines))


@dataclass(frozen=True, eq=False)
class DocumentHeat:
    """How each word of a document matches each line of the ledger.

    Attributes
    ----------
    spans
        (words, 2) int32, in order and disjoint: words, and marks between them that have a row of their own.
    similarity
        (lines, words) float32: the best similarity of any of the line's rows with any of the word's rows.
    winners
        (lines, words) bool: whether the word holds the best match of one of the line's rows.
    asked
        (lines,) bool: the lines that are words of the query; all of them where the query has no word.
    """

    spans: NDArray[np.int32]
    similarity: NDArray[np.float32]
    winners: NDArray[np.bool_]
    asked: NDArray[np.bool_]

    def warmth(self) -> NDArray[np.float32]:
        """Each word's best similarity with any word of the query, (words,) float32."""
        best: NDArray[np.float32] = self.similarity[self.asked].max(axis=0)
        return best


def document_heat(explanation: Explanation, lines: Sequence[LedgerLine]) -> DocumentHeat:
    """Gather the similarity matrix by the lines of its ledger and by the words of its document."""
    document, row_of = _by_token(explanation.document)
    rows, present, starts = group_rows(document, units := _units(document))
    shape = (len(lines), len(present))
    similarity, winners = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.bool_)
    unit_of = np.full(len(document), -1)  # token -> index in `present`
    unit_of[rows] = np.repeat(np.arange(len(present)), np.diff(starts))
    for i, line in enumerate(lines):
        asked = [match.query_row for match in line.matches]
        if len(present):
            best = explanation.similarity[asked].max(axis=0)[row_of]  # (tokens,) float32
            similarity[i] = np.maximum.reduceat(best[rows], starts[:-1])
        found = unit_of[np.isin(row_of, [match.document_row for match in line.matches])]
        winners[i, found[found >= 0]] = True
    is_word = np.array([line.is_word for line in lines], dtype=np.bool_)
    return DocumentHeat(units[present], similarity, winners, is_word if is_word.any() else ~is_word)


def top_similarity(query: TokenEmbeddings) -> float:
    """The largest similarity of the query's rows with themselves: 1 for unit rows, and the end of its colour scale."""
    return max(round(float((query.vectors**2).sum(axis=1).max()), 4), 1e-4)


def one_query(ranked: Sequence[Ranked]) -> TokenEmbeddings:
    """The query of a ranking.

    Raises
    ------
    ValueError
        If the ranking is empty, or its documents were scored for different queries.
    """
    if isinstance(ranked, str) or not isinstance(ranked, Sequence):
        raise TypeError(f"a ranking must be a Ranking, as rerank gives it, got {described(ranked)}")
    if not ranked:
        raise ValueError("nothing to show: the ranking is empty")
    for i, item in enumerate(ranked):
        check_is(f"ranked[{i}]", item, Ranked, "a Ranked, as rerank gives it")
    first, *others = (item.explanation.query for item in ranked)
    for other in others:
        if other.text != first.text or other.tokens != first.tokens:
            raise ValueError(
                f"a ranking has one query and this one has {first.text!r:.60} and {other.text!r:.60}; "
                "show one ranking at a time"
            )
    return first


def _by_token(document: TokenEmbeddings) -> tuple[TokenEmbeddings, NDArray[np.intp]]:
    """A document with a row for each token, and which of its rows that is: a pooled row comes once for each token."""
    rows = np.arange(len(document))
    if document.pooled is None:
        return document, rows
    row_of = np.repeat(rows, np.diff(document.pooled.starts))
    tokens = tuple(document.tokens[row] for row in row_of.tolist())
    spans, kinds = document.pooled.spans, document.kinds[row_of]
    return TokenEmbeddings(document.text, document.vectors[row_of], tokens, spans, kinds, document.complete), row_of


def _units(document: TokenEmbeddings) -> NDArray[np.int32]:
    """Words of the text, and marks between them that have a row of their own: (units, 2) int32."""
    spans = words(document.text)
    between = np.setdiff1d(document.content_rows(), group_rows(document, spans)[0])
    marks = np.unique(document.spans[between], axis=0)
    if not len(marks):
        return spans
    apart = np.append(True, marks[1:, 0] >= np.maximum.accumulate(marks[:-1, 1]))  # windows may cut "..." twice
    spans = np.concatenate([spans, marks[apart]])
    return spans[spans[:, 0].argsort(kind="stable")]
