"""Pages of a PDF or an image as pictures, with the evidence marked and the words shaded by what they match."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latelens.explanation.results import Ranked
from latelens.pages.page import Page
from latelens.pages.rows import TextOnPage, lay
from latelens.patches import PatchGrid
from latelens.refusals import check_is, check_several, check_texts
from latelens.render.html.escaping import as_script_json, escape
from latelens.render.html.page import resource, whole_page, write_page
from latelens.render.html.page_pictures import cutting, draw, in_parts, mark, marked
from latelens.render.html.ranking import report
from latelens.render.ledger import LedgerLine, document_heat, ledger, one_query, top_similarity

# Pages that are drawn: more make a file that does not open at once.
_MOST = 8
_LEGEND = (
    "Marked: evidence. Shaded, once a word of the query is chosen above: similarity of the page's words with it, on "
    "one scale; it is not the score. Framed: its best match."
)

_CELLS_LEGEND = (
    "Marked: regions that answer. Shaded, once a word of the query is chosen above: similarity of the page's cells "
    "with it, on one scale; it is not the score. Framed: its best match, unless that lies off the page."
)


@dataclass(frozen=True)
class PageReport:
    """A ranking as pictures of pages: notebooks show it by themselves, `save` writes it as a page.

    Attributes
    ----------
    ranked
        What `rerank` returned.
    pages
        The pages of the documents, in the order in which they were given to `rerank`; None for one that has none.
    names
        The documents' names, in that order; None names them by file and page.
    """

    ranked: tuple[Ranked, ...]
    pages: tuple[Page | None, ...]
    names: tuple[str, ...] | None = None

    def _repr_html_(self) -> str:
        """Called by notebooks."""
        return _piece(self._views())

    def page(self) -> str:
        """The whole document: the pictures, then the text report of the same ranking."""
        text = report(self.ranked, names=[self._name(i) for i in range(len(self.pages))])
        scripts = [resource("pages.js"), resource("report.js")]
        title = one_query(self.ranked).text
        return whole_page(f"{_piece(self._views())}\n{text._repr_html_()}", title=title, scripts=scripts)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, in UTF-8, and say where."""
        return write_page(self.page(), path)

    def _views(self) -> list[_View]:
        return [
            _View(rank, self._name(item.index), item, page)
            for rank, item in enumerate(self.ranked, start=1)
            if (page := self.pages[item.index]) is not None
        ]

    def _name(self, index: int) -> str:
        page = self.pages[index]
        if self.names is not None:
            return self.names[index]
        return f"document {index}" if page is None else page.name


def page_report(
    ranked: Sequence[Ranked], pages: Sequence[Page | None], *, names: Sequence[str] | None = None
) -> PageReport:
    """Show a ranking on its pages: last in a notebook's cell, or with ``page_report(...).save("report.html")``.

    Each of the best documents has the picture of its page with the evidence marked, and each piece of evidence cut
    out with a margin. The query's words are buttons: each shades the page's words by their similarity with it. The
    pages that are more than eight are left to the text report, which follows.

    Parameters
    ----------
    ranked
        What `rerank` returned, of texts by any program.
    pages
        The page that each text was read from, from `open_pages`, in the order in which they were given to `rerank`;
        None for a text that has none.
    names
        The documents' names, in that order.

    Raises
    ------
    ValueError
        If the ranking is empty or not of one query, or there are fewer pages or names than documents.
    """
    one_query(ranked)
    check_several("pages", pages, "Pages, or None for a text that has none,")
    for i, page in enumerate(pages):
        check_is(f"pages[{i}]", page, (Page, type(None)), "a Page, from open_pages, or None")
    if names is not None:
        check_texts("names", names)
    last = max(item.index for item in ranked)
    for what, given in (("pages", pages), ("names", names)):
        if given is not None and len(given) <= last:
            raise ValueError(
                f"{what} must have one for each document given to rerank: got {len(given)}, and document {last} is here"
            )
    return PageReport(tuple(ranked), tuple(pages), None if names is None else tuple(names))


@dataclass(frozen=True)
class _View:
    rank: int
    name: str
    item: Ranked
    page: Page


def _piece(views: Sequence[_View]) -> str:
    """Everything in one element: style, pictures, figures and script."""
    if not views:
        return "<p>No document of this ranking has a page.</p>"
    query = views[0].item.explanation.query
    lines = ledger(views[0].item.explanation)
    laid = [lay(view.page, view.item.explanation.document.text) for view in views[:_MOST]]
    told = {"top": top_similarity(query), "pages": [_words(v.item, t) for v, t in zip(views, laid, strict=False)]}
    images = any(view.item.explanation.document.page is not None for view in views)
    more = f"<p>{len(views) - _MOST} more pages are not drawn.</p>" if len(views) > _MOST else ""
    parts = (
        '<section class="latelens ll-onpages" aria-label="Evidence on its pages">',
        f"<style>{resource('report.css')}{resource('pages.css')}</style>",
        f'<p class="ll-query" dir="auto">{escape(query.text)}</p>',
        _buttons(lines),
        f'<p class="ll-legend">{_CELLS_LEGEND if images else _LEGEND}</p>',
        *(_article(view, text) for view, text in zip(views, laid, strict=False)),
        more,
        f'<script type="application/json">{as_script_json(told)}</script>',
        f"<script>{resource('pages.js')}</script>",
        "</section>",
    )
    return "\n".join(part for part in parts if part)


def _buttons(lines: Sequence[LedgerLine]) -> str:
    """One button a word of the query; hidden until the script makes them work."""
    buttons = [
        f'<button type="button" aria-pressed="false" data-line="{i}"><bdi>{escape(line.label)}</bdi></button>'
        for i, line in enumerate(lines)
        if line.is_word
    ]
    return f'<div class="ll-words" role="group" aria-label="Words of the query" hidden>{"".join(buttons)}</div>'


def _words(item: Ranked, text: TextOnPage) -> dict[str, Any]:
    """For a browser: the boxes of the document's words, what each matches, and where the best matches are."""
    if item.explanation.document.page is not None:
        return _cells(item, item.explanation.document.page)
    heat = document_heat(item.explanation, ledger(item.explanation))
    boxes = [
        [word, *in_parts(box)]
        for word, (start, end) in enumerate(heat.spans.tolist())
        for box in text.boxes_of(start, end)
    ]
    return {
        "boxes": boxes,
        "heat": np.rint(100 * heat.similarity).astype(int).tolist(),
        "won": [np.flatnonzero(won).tolist() for won in heat.winners],
    }


def _cells(item: Ranked, patches: PatchGrid) -> dict[str, Any]:
    """The same of a page image: cells of the finest grid, and coarser ones that won, which are framed alone."""
    lines, grids = ledger(item.explanation), patches.grid_of(slice(None))
    won = [sorted({match.document_row for match in line.matches}) for line in lines]
    coarse = {row for found in won for row in found if grids[row] > 0}
    rows = [*np.flatnonzero((grids == 0) & patches.on_page).tolist(), *sorted(coarse)]
    place = {row: i for i, row in enumerate(rows)}
    asked = [[match.query_row for match in line.matches] for line in lines]
    best = np.stack([item.explanation.similarity[each].max(axis=0)[rows] for each in asked])  # (lines, cells)
    best[:, len(rows) - len(coarse) :] = 0
    boxes = [(left, top, right, bottom) for left, top, right, bottom in patches.boxes(rows).tolist()]
    return {
        "boxes": [[i, *in_parts(box)] for i, box in enumerate(boxes)],
        "heat": np.rint(100 * best).astype(int).tolist(),
        "won": [[place[row] for row in found if row in place] for found in won],
    }


def _article(view: _View, text: TextOnPage) -> str:
    picture = draw(view.page)
    evidence = [(span.text, text.boxes_of(span.start, span.end)) for span in view.item.evidence]
    evidence += [(region.words or "region", (region.box,)) for region in view.item.regions]
    marks = "".join(mark(box, said) for said, boxes in evidence for box in boxes)
    cuts = "".join(cutting(picture, view.page, said, boxes) for said, boxes in evidence if boxes)
    lost = sum(not boxes for _, boxes in evidence)
    note = f'<p class="ll-cut">{lost} of {len(evidence)} not found on this page</p>' if lost else ""
    title = f"{view.rank}. {view.name}"
    score = f'<span class="ll-score">score {view.item.score:.2f}</span>'
    shown = marked(picture, view.name, marks)
    cutout = f'<div class="ll-cuts">{cuts}{note}</div>' if cuts or note else ""
    return f'<article><h3><bdi>{escape(title)}</bdi>{score}</h3><div class="ll-both">{cutout}{shown}</div></article>'
