"""Pages of a PDF or an image as pictures, with the evidence marked and the words shaded by what they match."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latelens.explanation.results import Ranked
from latelens.pages.geometry import Box, around, in_pixels, in_words
from latelens.pages.page import Page
from latelens.pages.rows import TextOnPage, lay
from latelens.render.html.escaping import as_script_json, escape
from latelens.render.html.page import resource, whole_page, write_page
from latelens.render.html.ranking import report
from latelens.render.ledger import LedgerLine, document_heat, ledger, one_query, top_similarity

# 1.2 million pixels of text are some 200 KB: eight of them a page that opens at once.
_MAX_PIXELS, _MOST = 1_200_000, 8
_DPI, _QUALITY = 110, 72
# White space around what is cut out of a page, as a share of its width and height.
_MARGIN_X, _MARGIN_Y = 0.03, 0.02
# Boxes are written in these parts of a page.
_PARTS = 10_000
_LEGEND = (
    "Marked: evidence. Shaded, once a word of the query is chosen above: similarity of the page's words with it, on "
    "one scale; it is not the score. Framed: its best match."
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
        return f"document {index}" if page is None else f"{Path(page.source).name}, page {page.label}"


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
    more = f"<p>{len(views) - _MOST} more pages are not drawn.</p>" if len(views) > _MOST else ""
    parts = (
        '<section class="latelens ll-onpages" aria-label="Evidence on its pages">',
        f"<style>{resource('report.css')}{resource('pages.css')}</style>",
        f'<p class="ll-query" dir="auto">{escape(query.text)}</p>',
        _buttons(lines),
        f'<p class="ll-legend">{_LEGEND}</p>',
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
    heat = document_heat(item.explanation, ledger(item.explanation))
    boxes = [
        [word, *_in_parts(box)]
        for word, (start, end) in enumerate(heat.spans.tolist())
        for box in text.boxes_of(start, end)
    ]
    return {
        "boxes": boxes,
        "heat": np.rint(100 * heat.similarity).astype(int).tolist(),
        "won": [np.flatnonzero(won).tolist() for won in heat.winners],
    }


def _in_parts(box: Box) -> list[int]:
    left, top, right, bottom = (round(edge * _PARTS) for edge in box)
    return [left, top, right - left, bottom - top]


def _article(view: _View, text: TextOnPage) -> str:
    picture = view.page.image(_dpi(view.page))
    evidence = [(span.text, text.boxes_of(span.start, span.end)) for span in view.item.evidence]
    marks = "".join(_mark(box, said) for said, boxes in evidence for box in boxes)
    cuts = "".join(_cut(picture, view.page, said, boxes) for said, boxes in evidence if boxes)
    lost = sum(not boxes for _, boxes in evidence)
    note = f'<p class="ll-cut">{lost} of {len(evidence)} not found on this page</p>' if lost else ""
    title = f"{view.rank}. {view.name}"
    score = f'<span class="ll-score">score {view.item.score:.2f}</span>'
    shown = (
        f'<div class="ll-page" style="aspect-ratio:{picture.width}/{picture.height}">'
        f'<img alt="{escape(view.name)}" src="{_jpeg(picture)}">{marks}</div>'
    )
    cutout = f'<div class="ll-cuts">{cuts}{note}</div>' if cuts or note else ""
    return f'<article><h3><bdi>{escape(title)}</bdi>{score}</h3><div class="ll-both">{shown}{cutout}</div></article>'


def _mark(box: Box, said: str) -> str:
    left, top, width, height = (value / _PARTS * 100 for value in _in_parts(box))
    style = f"left:{left:.2f}%;top:{top:.2f}%;width:{width:.2f}%;height:{height:.2f}%"
    return f'<span class="ll-here" style="{style}" title="{escape(said)}"></span>'


def _cut(picture: Any, page: Page, said: str, boxes: Sequence[Box]) -> str:
    """What stands around the evidence, cut out of the picture."""
    left, top, right, bottom = around(boxes)
    wide = (left - _MARGIN_X, top - _MARGIN_Y, right + _MARGIN_X, bottom + _MARGIN_Y)
    piece = picture.crop(in_pixels(wide, picture.width, picture.height))
    where = f"page {escape(page.label)}, {in_words((left, top, right, bottom))}"
    return f'<figure><img alt="{escape(said)}" src="{_jpeg(piece)}"><figcaption>{where}</figcaption></figure>'


def _dpi(page: Page) -> int:
    """Dots an inch that keep the picture within its limit."""
    fits = 72 * math.sqrt(_MAX_PIXELS / max(page.width * page.height, 1))
    return max(1, min(_DPI, int(fits)))


def _jpeg(picture: Any) -> str:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
