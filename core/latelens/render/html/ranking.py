"""A ranking as HTML: a self-contained piece for a notebook, or a page to keep; no network, no framework."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latelens.explanation.evidence import EvidenceSpan, find_evidence
from latelens.explanation.matches import Explanation
from latelens.explanation.results import Ranked
from latelens.pages.page import Page
from latelens.refusals import check_is, check_several, check_texts
from latelens.render.html.page import resource, whole_page, write_page
from latelens.render.html.pages import MOST, PageView, pages_piece
from latelens.render.html.texts import TextView, texts_piece
from latelens.render.ledger import one_query


@dataclass(frozen=True)
class Report:
    """A ranking as HTML: notebooks show it by themselves, `save` writes it as a page.

    Attributes
    ----------
    ranked
        What `rerank` or `rerank_pages` returned.
    names
        The documents' names, in the order in which they were given; None for those of their pages, else their numbers.
    pages
        The pages of the documents, in that order; None where they are only those that the ranking itself knows.
    """

    ranked: tuple[Ranked, ...]
    names: tuple[str, ...] | None = None
    pages: tuple[Page | None, ...] | None = None

    def _repr_html_(self) -> str:
        """Called by notebooks."""
        views = self._page_views()
        return pages_piece(views) if views else texts_piece(self._text_views())

    def page(self) -> str:
        """The whole document; its content policy lets no script run but ours, and nothing be loaded.

        Where documents have pages, their pictures come first, then the texts.
        """
        views, texts = self._page_views(), self._text_views()
        pieces = [*([pages_piece(views)] if views else []), *([texts_piece(texts)] if texts else [])]
        scripts = [resource(name) for name, some in (("pages.js", views), ("report.js", texts)) if some]
        return whole_page("\n".join(pieces), title=one_query(self.ranked).text, scripts=scripts)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, in UTF-8, and say where."""
        return write_page(self.page(), path)

    def _page_views(self) -> list[PageView]:
        return [
            PageView(f"{rank}. {self._name(item)}", item, page)
            for rank, item in enumerate(self.ranked, start=1)
            if (page := self._page(item)) is not None
        ]

    def _text_views(self) -> list[TextView]:
        """The texts, and the images of pages that are not drawn."""
        drawn = {id(view.item) for view in self._page_views()[:MOST] if view.item.explanation.document.page is not None}
        return [
            TextView(f"{rank}. {self._name(item)}", item.explanation, item.evidence, item.relevance)
            for rank, item in enumerate(self.ranked, start=1)
            if id(item) not in drawn
        ]

    def _page(self, item: Ranked) -> Page | None:
        return item.page if self.pages is None else self.pages[item.index]

    def _name(self, item: Ranked) -> str:
        page = self._page(item)
        if self.names is not None:
            return self.names[item.index]
        return f"document {item.index}" if page is None else page.name


def report(
    ranked: Sequence[Ranked],
    *,
    names: Sequence[str] | None = None,
    pages: Sequence[Page | None] | None = None,
) -> Report:
    """Show a ranking as HTML: last in a notebook's cell, or with ``report(ranked).save("report.html")``.

    The query's words are buttons: each shows where it matched in every document. A word of a document, under the
    pointer or with the keyboard's focus, shows which word of the query it matches and their similarity. Evidence is
    underlined, thick under its phrase, and each document has its ledger, which sums to its score.

    Images of pages are shown on the pages that they are of: the regions marked and cut out, the cells shaded by the
    word that is chosen, and a ledger with the cell of each match. Texts that were read from pages are, with `pages`:
    their evidence is marked on the picture, and the text report follows. Pages that are more than eight are not drawn.

    Parameters
    ----------
    ranked
        What `rerank` or `rerank_pages` returned.
    names
        The documents' names, in the order in which they were given to it.
    pages
        The page that each document was read from, from `open_pages`, in that order; None for one that has none.

    Raises
    ------
    ValueError
        If the ranking is empty or not of one query, or there are fewer names or pages than documents.
    """
    one_query(ranked)
    if names is not None:
        check_texts("names", names)
    if pages is not None:
        check_several("pages", pages, "Pages, or None for a text that has none,")
        for i, page in enumerate(pages):
            check_is(f"pages[{i}]", page, (Page, type(None)), "a Page, from open_pages, or None")
    last = max(item.index for item in ranked)
    for what, given in (("names", names), ("pages", pages)):
        if given is not None and len(given) <= last:
            raise ValueError(
                f"{what} must have one for each document given to rerank: got {len(given)}, and document {last} is here"
            )
    named, known = None if names is None else tuple(names), None if pages is None else tuple(pages)
    return Report(tuple(ranked), named, known)


def show_one(
    explanation: Explanation,
    evidence: Sequence[EvidenceSpan] | None = None,
    *,
    heading: str = "",
    relevance: float | None = None,
) -> str:
    """One explained document as HTML, for a notebook; its evidence is what `find_evidence` finds if none is given."""
    found = find_evidence(explanation) if evidence is None else evidence
    return texts_piece([TextView(heading, explanation, found, relevance)])
