"""Where on a page image each row of the query matched: the cell, and the words that stand there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from latelens.explanation.maps import patches_of
from latelens.explanation.matches import Explanation
from latelens.pages.geometry import Box, in_words
from latelens.pages.page import Page
from latelens.pages.under import words_in
from latelens.refusals import check_is


@dataclass(frozen=True)
class CellMatch:
    """The cell of a page image that one row of the query matched best.

    Attributes
    ----------
    query_row, query_token
        Which row of the query.
    similarity
        What the match adds to the score.
    box
        Left, top, right, bottom of the cell as fractions of the page; None where the match lies off the page, on a row
        of the prompt or of padding.
    coarse
        Whether the cell is one of the model's overview of the page, whose cells are large.
    words
        Words of the page that stand in the cell; empty where none do, and where the page's words are not known.
    page
        The page, where it was given.
    """

    query_row: int
    query_token: str
    similarity: float
    box: Box | None
    coarse: bool
    words: tuple[str, ...] = ()
    page: Page | None = field(default=None, repr=False, compare=False)

    @property
    def place(self) -> str:
        """Where the cell is, as one says it, such as ``"upper half, right"``, or ``"off page"``."""
        return "off page" if self.box is None else in_words(self.box)


def cell_matches(explanation: Explanation, *, page: Page | None = None) -> tuple[CellMatch, ...]:
    """The cell that each row of the query matched, in the query's order; their similarities sum to the score.

    With `page`, whose words are known, each cell says which of them stand in it.

    Raises
    ------
    ValueError
        If the document is a text.
    """
    check_is("explanation", explanation, Explanation, "an Explanation, as explain gives it")
    check_is("page", page, (Page, type(None)), "a Page, as open_pages gives them, or None")
    patches = patches_of(explanation)
    winners = [match.document_row for match in explanation.matches]
    boxes, grids = patches.boxes(winners).tolist(), patches.grid_of(winners).tolist()
    seen = patches.on_page[winners].tolist()
    known: dict[int, tuple[str, ...]] = {}
    found = []
    for match, (left, top, right, bottom), grid, on_page in zip(explanation.matches, boxes, grids, seen, strict=True):
        box = (left, top, right, bottom) if on_page else None
        if box is not None and page is not None and match.document_row not in known:
            known[match.document_row] = words_in(page, box)
        words = known.get(match.document_row, ())
        found.append(CellMatch(match.query_row, match.query_token, match.similarity, box, grid > 0, words, page))
    return tuple(found)


def words_of(cells: Sequence[CellMatch]) -> tuple[str, ...]:
    """The words that stand in some cells, those of the best match first, each once."""
    best_first = sorted(cells, key=lambda cell: -cell.similarity)
    return tuple(dict.fromkeys(word for cell in best_first for word in cell.words))


def place_of(cells: Sequence[CellMatch]) -> str:
    """Where the best of some matches lies, as one says it; ``"off page"`` only where all of them do."""
    on_page = [cell for cell in cells if cell.box is not None]
    return max(on_page or cells, key=lambda cell: cell.similarity).place
