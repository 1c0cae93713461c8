"""Pages of a PDF or an image as pictures, with the evidence marked and the words shaded by what they match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from latelens.explanation.results import Ranked
from latelens.pages.geometry import Box
from latelens.pages.page import Page
from latelens.pages.rows import TextOnPage, lay
from latelens.render.html.escaping import as_script_json, escape
from latelens.render.html.page import resource
from latelens.render.html.page_cells import cells_json, score_table
from latelens.render.html.page_pictures import cutting, drawn, in_parts, mark, marked
from latelens.render.ledger import LedgerLine, document_heat, ledger, top_similarity

# Pages that are drawn: more make a file that does not open at once.
MOST = 8
_LEGEND = (
    "Marked: evidence. Shaded, once a word of the query is chosen above: similarity of the page's words with it, on "
    "one scale; it is not the score. Framed: its best match."
)

_CELLS_LEGEND = (
    "Marked: regions that answer. Shaded, once a word of the query is chosen above: similarity of the page's cells "
    "with it, on one scale; it is not the score. Framed: its best match, unless that lies off the page."
)


@dataclass(frozen=True)
class PageView:
    """A document to show on its page: what the page is called, and what is known of it."""

    heading: str
    item: Ranked
    page: Page


def pages_piece(views: Sequence[PageView]) -> str:
    """Everything in one element: style, pictures, figures and script."""
    query = views[0].item.explanation.query
    lines = ledger(views[0].item.explanation)
    laid = [lay(view.page, view.item.explanation.document.text) for view in views[:MOST]]
    told = {"top": top_similarity(query), "pages": [_words(v.item, t) for v, t in zip(views, laid, strict=False)]}
    images = any(view.item.explanation.document.page is not None for view in views)
    more = f"<p>{len(views) - MOST} more pages are not drawn.</p>" if len(views) > MOST else ""
    parts = (
        '<section class="latelens ll-onpages" aria-label="Evidence on its pages">',
        f"<style>{resource('report.css')}{resource('pages.css')}</style>",
        f'<p class="ll-query" dir="auto">{escape(query.text)}</p>',
        _buttons(lines, all_words=images),
        f'<p class="ll-legend">{_CELLS_LEGEND if images else _LEGEND}</p>',
        *(_article(view, text, is_first=i == 0) for i, (view, text) in enumerate(zip(views, laid, strict=False))),
        more,
        f'<script type="application/json">{as_script_json(told)}</script>',
        f"<script>{resource('pages.js')}</script>",
        "</section>",
    )
    return "\n".join(part for part in parts if part)


def _buttons(lines: Sequence[LedgerLine], *, all_words: bool) -> str:
    """One button a word of the query; hidden until the script makes them work."""
    shown = [(i, f"<bdi>{escape(line.label)}</bdi>") for i, line in enumerate(lines) if line.is_word]
    shown = [*([(len(lines), "all words")] if all_words else []), *shown]
    buttons = [f'<button type="button" aria-pressed="false" data-line="{i}">{name}</button>' for i, name in shown]
    return f'<div class="ll-words" role="group" aria-label="Words of the query" hidden>{"".join(buttons)}</div>'


def _words(item: Ranked, text: TextOnPage) -> dict[str, Any]:
    """For a browser: the boxes of the document's words, what each matches, and where the best matches are."""
    if item.explanation.document.page is not None:
        return cells_json(item, item.explanation.document.page)
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


def _article(view: PageView, text: TextOnPage, *, is_first: bool) -> str:
    picture, item = drawn(view.page), view.item
    evidence: list[tuple[str, tuple[Box, ...], tuple[str, ...]]] = [
        *((span.text, text.boxes_of(span.start, span.end), ()) for span in item.evidence),
        *((region.words or "region", (region.box,), region.query_words) for region in item.regions),
    ]
    marks = "".join(mark(box, said) for said, boxes, _ in evidence for box in boxes)
    cuts = "".join(
        cutting(picture, view.page, said, boxes, answers=answers) for said, boxes, answers in evidence if boxes
    )
    lost = sum(not boxes for _, boxes, _ in evidence)
    note = f'<p class="ll-cut">{lost} of {len(evidence)} not found on this page</p>' if lost else ""
    score = f'<span class="ll-score">score {item.score:.2f}</span>'
    shown = marked(picture, view.page.name, marks)
    cutout = f'<div class="ll-cuts">{cuts}{note}</div>' if cuts or note else ""
    is_image = item.explanation.document.page is not None
    table = score_table(item.explanation, view.page, is_open=is_first) if is_image else ""
    heading = f"<h3><bdi>{escape(view.heading)}</bdi>{score}</h3>"
    return f'<article>{heading}<div class="ll-both">{cutout}{shown}</div>{table}</article>'
