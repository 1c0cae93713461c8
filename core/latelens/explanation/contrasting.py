"""Why one document scores higher than another: for each word of the query, what it finds in either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenKind
from latelens.explanation.cells import CellMatch, cell_matches, place_of, words_of
from latelens.explanation.matches import Explanation
from latelens.explanation.words import query_entries
from latelens.pages.page import Page
from latelens.refusals import check_is
from latelens.text.characters import words


@dataclass(frozen=True)
class WordGain:
    """What one word of the query contributes to either score.

    Attributes
    ----------
    word
        The word as the query spells it; for rows that belong to no word, their tokens.
    kind
        Kind of the word's rows: special, marker and expansion rows come last, one entry a kind.
    query_start, query_end
        Place in the query, -1 for rows that belong to no word.
    a, b
        Contribution to either score: the sum of the matches of the word's rows.
    a_matched, b_matched
        The words that were matched in either document, in its order; empty where no row with text was. Of a page image,
        the words that stand in the cells that were matched, where the page is known.
    a_cells, b_cells
        Of a page image, the cell that each of the word's rows matched; their similarities sum to the contribution.
        Empty for a text.
    """

    word: str
    kind: TokenKind
    query_start: int
    query_end: int
    a: float
    b: float
    a_matched: tuple[str, ...]
    b_matched: tuple[str, ...]
    a_cells: tuple[CellMatch, ...] = ()
    b_cells: tuple[CellMatch, ...] = ()

    @property
    def gain(self) -> float:
        """What the word adds to the lead of A over B; negative where B is better."""
        return self.a - self.b


@dataclass(frozen=True)
class Contrast:
    """Two scores of one query, word by word; ``str(contrast)`` is a table, largest differences first.

    Attributes
    ----------
    gap
        Score of A minus score of B: the sum of the words' gains.
    words
        One entry a word of the query, in its order, then the rows that belong to none.
    """

    gap: float
    words: tuple[WordGain, ...]

    def __str__(self) -> str:
        ranked = sorted(self.words, key=lambda word: -abs(word.gain))
        width = max(len(word.word) for word in ranked)
        a, b = (_named(name, cells) for name, cells in (("A", ranked[0].a_cells), ("B", ranked[0].b_cells)))
        lines = [f"{'':{width}}  {'gain':>7}  in {a} | in {b}", f"{'total':{width}}  {self.gap:+7.3f}"]
        for word in ranked:
            a, b = said(word.a_matched, word.a_cells), said(word.b_matched, word.b_cells)
            lines.append(f"{word.word:{width}}  {word.gain:+7.3f}  {a} {word.a:.3f} | {b} {word.b:.3f}")
        return "\n".join(lines)


def contrast(a: Explanation, b: Explanation, *, page_a: Page | None = None, page_b: Page | None = None) -> Contrast:
    """Explain the gap between two documents' scores for one query.

    A query row adds ``max_j S_A[i, j] - max_j S_B[i, j]`` to the gap, so the gains sum to it exactly. Of page images it
    says which cells were matched; `page_a` and `page_b`, as `open_pages` gives them, say which words stand there.

    Raises
    ------
    ValueError
        If the two explanations are not of one query.
    """
    for name, one in (("a", a), ("b", b)):
        check_is(name, one, Explanation, "an Explanation, as explain gives it")
    cells_a, cells_b = cells_of(a, page_a), cells_of(b, page_b)
    if a.query.text != b.query.text or a.query.tokens != b.query.tokens:
        raise ValueError(
            f"a contrast needs one query and got {a.query.text!r:.60} and {b.query.text!r:.60}; "
            "explain both documents with the same query and model"
        )
    best_a = a.similarity.max(axis=1).astype(np.float64)  # (query rows,) float64
    best_b = b.similarity.max(axis=1).astype(np.float64)
    entries = []
    for text, kind, start, end, rows in query_entries(a.query):
        in_a, in_b = (tuple(cells[row] for row in rows.tolist() if cells) for cells in (cells_a, cells_b))
        entry = WordGain(
            word=text,
            kind=kind,
            query_start=start,
            query_end=end,
            a=math.fsum(best_a[rows].tolist()),
            b=math.fsum(best_b[rows].tolist()),
            a_matched=words_of(in_a) or matched_words(a, rows),
            b_matched=words_of(in_b) or matched_words(b, rows),
            a_cells=in_a,
            b_cells=in_b,
        )
        entries.append(entry)
    return Contrast(math.fsum([*best_a.tolist(), *(-best_b).tolist()]), tuple(entries))


def cells_of(explanation: Explanation, page: Page | None) -> tuple[CellMatch, ...]:
    """`cell_matches` of a page image; none for a text."""
    check_is("page", page, (Page, type(None)), "a Page, as open_pages gives them, or None")
    return () if explanation.document.page is None else cell_matches(explanation, page=page)


def said(matched: Sequence[str], cells: Sequence[CellMatch]) -> str:
    """What was matched, as one says it: the words, and of a page image where they stand."""
    words = ", ".join(matched)
    if not cells:
        return words or "-"
    return f"{place_of(cells)} ({words})" if words else place_of(cells)


def _named(side: str, cells: Sequence[CellMatch]) -> str:
    page = cells[0].page if cells else None
    return side if page is None else f"{side}, {page.name}"


def matched_words(explanation: Explanation, rows: NDArray[np.intp]) -> tuple[str, ...]:
    """Words of the document that these rows of the query matched, each once, in the document's order."""
    document = explanation.document
    winners = np.unique(explanation.similarity[rows].argmax(axis=1))
    known = words(document.text)
    found = []
    for start, end in document.spans_of(winners).tolist():
        owner = int(known[:, 0].searchsorted(start, side="right")) - 1
        inside = owner >= 0 and start < known[owner, 1]
        begin, stop = (int(known[owner, 0]), max(end, int(known[owner, 1]))) if inside else (start, end)
        found.append((begin, stop))
    return tuple(document.text[begin:stop] for begin, stop in sorted(set(found)))
