"""An answer as HTML, each claim with the sentences that back it: for a notebook, or as a page to keep; no network."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from latelens.attribution import Attribution, Citation, Claim, Label
from latelens.pages.files import PageFiles
from latelens.pages.page import Page
from latelens.refusals import check_is
from latelens.render.html.escaping import escape
from latelens.render.html.page import resource, whole_page, write_page
from latelens.render.html.page_pictures import caption, draw, jpeg, window
from latelens.render.labels import (
    LABELS,
    NO_PROOF,
    link,
    neighbours,
    numbers,
    place_of,
    position,
    reasons,
    source_name,
    tally,
)

_TITLE_LENGTH = 60
_UNCITED_SHOWN = 20
# Pages that are drawn, some 200 KB each.
_PAGES = 8


@dataclass(frozen=True)
class AnswerReport:
    """An attributed answer as HTML: notebooks show it by themselves, `save` writes it as a page."""

    attribution: Attribution
    files: PageFiles | None = None

    def _repr_html_(self) -> str:
        """Called by notebooks."""
        return show_answer(self.attribution, self.files)

    def page(self) -> str:
        """The whole document; its content policy lets no script run but ours, and nothing be loaded."""
        title = " ".join(self.attribution.answer[: 4 * _TITLE_LENGTH].split())[:_TITLE_LENGTH] or "Answer"
        return whole_page(show_answer(self.attribution, self.files), title=title, scripts=[resource("answer.js")])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, in UTF-8, and say where."""
        return write_page(self.page(), path)


def answer_report(attribution: Attribution, *, files: PageFiles | None = None) -> AnswerReport:
    """Show an answer as HTML: last in a notebook's cell, or with ``answer_report(attribution).save("answer.html")``.

    Each cited claim has numbered marks: under the pointer or with the keyboard's focus, a mark shows the sentence of
    the source among its neighbours, and it leads to the list of sources below. Claims that a reader should check
    stand out by line, sign and word, with the reason. All of it works without a script, except that the Escape key
    closes what a mark shows and that a source under the pointer shows its claims.

    With `files`, ``PageFiles(["docs/"])``, each cited sentence whose source is a PDF or an image there is also shown
    on its page, marked: the page is open at the sentence and can be scrolled. The first eight pages are drawn, each
    once; of the others it is said where on the page the sentence stands.
    """
    check_is("attribution", attribution, Attribution, "an Attribution, as attribute gives it")
    return AnswerReport(attribution, files)


def show_answer(attribution: Attribution, files: PageFiles | None = None) -> str:
    """Everything in one element: style, answer, sources and script; any number of them can share a page."""
    piece = _Piece(attribution, files)
    sources = piece.sources()
    lines = (
        '<section class="latelens ll-answer" data-format="answer-1" aria-label="Answer with its sources">',
        f"<style>{resource('report.css')}{resource('answer.css')}{piece.pictures()}</style>",
        piece.tally(),
        f'<p class="ll-legend">{NO_PROOF}</p>',
        f'<div class="ll-text" dir="{_direction(attribution.answer)}">{"".join(piece.answer())}</div>',
        piece.to_check(),
        sources,
        piece.meanings(),
        f"<script>{resource('answer.js')}</script>",
        "</section>",
    )
    return "\n".join(line for line in lines if line)


class _Piece:
    """The parts of one output, which link to each other."""

    def __init__(self, attribution: Attribution, files: PageFiles | None) -> None:
        self._attribution, self._files = attribution, files
        self._numbers = numbers(attribution)
        self._flagged = {claim.start: i for i, claim in enumerate(attribution.flagged, start=1)}
        said = repr((attribution.answer, attribution.claims)).encode("utf-8", "surrogatepass")
        self._prefix = f"ll-{hashlib.sha256(said).hexdigest()[:12]}"  # outputs of one page must not share ids
        self._cards = 0
        self._first: set[int] = set()
        self._drawn: dict[str, tuple[str, str]] = {}  # of a page's id: the class that has its picture, the picture

    def tally(self) -> str:
        """How many claims have each label."""
        chips = [
            f'<li class="ll-{label}">{_sign(label)} {count} {LABELS[label].name}</li>'
            for label, count in tally(self._attribution).items()
        ]
        return f'<ul class="ll-tally" aria-label="Claims by label">{"".join(chips)}</ul>' if chips else ""

    def answer(self) -> Iterator[str]:
        """The answer's pieces in order; what is added to its characters stands in ``.ll-cite`` alone."""
        text, reached = self._attribution.answer, 0
        for claim in self._attribution.claims:
            yield _apart(text[reached : claim.start])
            marks = "".join(self._mark(claim, citation) for citation in self._in_order(claim))
            flag = self._flag(claim) if claim.start in self._flagged else ""
            claimed = f'<bdi class="ll-claim">{escape(text[claim.start : claim.end])}</bdi>'
            yield f'<span class="ll-unit ll-{claim.label}">{claimed}{marks}{flag}</span>'
            reached = claim.end
        yield _apart(text[reached:])

    def to_check(self) -> str:
        """The flagged claims with their reasons, for those who have no pointer, and for paper."""
        items = [
            f'<li id="{self._prefix}-f{i}" class="ll-{claim.label}"><span class="ll-badge">{_named(claim.label)}</span>'
            f" <q><bdi>{escape(claim.text)}</bdi></q>{_reasons(claim)}</li>"
            for i, claim in enumerate(self._attribution.flagged, start=1)
        ]
        return f'<h3>To check</h3><ol class="ll-check">{"".join(items)}</ol>' if items else ""

    def sources(self) -> str:
        """The cited sentences by their marks, then what was not cited."""
        references = self._attribution.references
        items = "".join(self._source(number, citation) for number, citation in enumerate(references, start=1))
        cited = f'<ol class="ll-sources">{items}</ol>' if items else "<p>No source is cited.</p>"
        return f"<h3>Sources</h3>{cited}{self._uncited()}"

    def meanings(self) -> str:
        """What the labels mean that occur here."""
        lines = [
            f'<dt class="ll-{label}">{_named(label)}</dt><dd>{LABELS[label].meaning}</dd>'
            for label in tally(self._attribution)
        ]
        return f'<dl class="ll-meanings">{"".join(lines)}</dl>' if lines else ""

    def _in_order(self, claim: Claim) -> list[Citation]:
        return sorted(claim.citations, key=lambda citation: self._numbers[place_of(citation)])

    def _mark(self, claim: Claim, citation: Citation) -> str:
        number = self._numbers[place_of(citation)]
        self._cards += 1
        card = f"{self._prefix}-c{self._cards}"
        anchor = "" if number in self._first else f' id="{self._prefix}-m{number}"'
        self._first.add(number)
        return (
            f'<span class="ll-cite" data-n="{number}"><a class="ll-mark" role="doc-noteref"{anchor} '
            f'href="#{self._prefix}-s{number}" aria-describedby="{card}">[{number}]</a>'
            f'<span class="ll-card" role="tooltip" id="{card}">{self._card(claim, citation)}</span></span>'
        )

    def _card(self, claim: Claim, citation: Citation) -> str:
        text = self._attribution.quoted_from(citation)
        before, after = neighbours(text, citation.source_start, citation.source_end)
        readable = "" if citation.relevance is None else f", relevance {citation.relevance:.2f}"
        return (
            f'<span class="ll-where">{self._name(citation)}</span>'
            f'<span class="ll-quote" dir="auto">{escape(before)}<mark>{escape(citation.cited_text)}</mark>'
            f"{escape(after)}</span>"
            f'<span class="ll-soft">{_named(claim.label)}, score {citation.score:.2f}{readable}</span>'
        )

    def _flag(self, claim: Claim) -> str:
        i = self._flagged[claim.start]
        card = f"{self._prefix}-r{i}"
        return (
            f'<span class="ll-cite ll-flag"><a class="ll-mark" href="#{self._prefix}-f{i}" aria-describedby="{card}">'
            f'{_named(claim.label)}</a><span class="ll-card" role="tooltip" id="{card}">{_reasons(claim)}</span></span>'
        )

    def _source(self, number: int, citation: Citation) -> str:
        address = link(citation.url)
        where = f"{escape(citation.source_id)}, " if citation.source_id and citation.title else ""
        shown = escape(address) if address else ""
        way = f'<a rel="noopener noreferrer nofollow" target="_blank" href="{shown}">{shown}</a>' if address else ""
        # The line ends of a page are shown by its picture.
        shown_below = self._on_page(citation)
        flow = ' class="ll-flow"' if shown_below else ""
        back = f'<a role="doc-backlink" aria-label="mark {number}" href="#{self._prefix}-m{number}">[{number}]</a>'
        return (
            f'<li id="{self._prefix}-s{number}" data-n="{number}">{back} <span class="ll-where">{self._name(citation)}'
            f'</span> <span class="ll-soft"><bdi>{where}</bdi>{escape(position(citation))}</span>'
            f'<blockquote dir="auto"{flow}>{escape(citation.cited_text)}</blockquote>'
            f"{shown_below}{way}</li>"
        )

    def pictures(self) -> str:
        """The style of the pages that were drawn: each picture once, however many sentences are shown on it."""
        if self._files is None:
            return ""
        rules = (f".latelens .{name}{{background-image:url({address})}}" for name, address in self._drawn.values())
        return resource("pages.css") + "".join(rules)

    def _on_page(self, citation: Citation) -> str:
        """The page, open where the sentence stands, with a mark over it; empty where that is not known."""
        source = self._attribution.sources[citation.source_index]
        if self._files is None or source.file is None or citation.key is not None:
            return ""
        place = self._files.find(source.file, source.text, citation.source_start, citation.source_end)
        pages = self._files.pages(source.file.path)
        if place is None or pages is None:
            return ""
        page = pages[place.page - 1]
        drawn = self._picture(page)
        said = citation.cited_text
        return window(page, drawn, said, place.boxes) if drawn else f"<figure>{caption(page, place.boxes)}</figure>"

    def _picture(self, page: Page) -> str:
        """The class that has the page's picture; empty where as many as may be are drawn."""
        if page.id not in self._drawn and len(self._drawn) < _PAGES:
            name = f"{self._prefix}-p{len(self._drawn) + 1}"
            self._drawn[page.id] = name, jpeg(draw(page))
        return self._drawn.get(page.id, ("", ""))[0]

    def _name(self, citation: Citation) -> str:
        sources = self._attribution.sources
        name = source_name(sources[citation.source_index], citation.source_index, len(sources))
        return f"<bdi>{escape(name)}</bdi>"

    def _uncited(self) -> str:
        sources = self._attribution.sources
        cited = {citation.source_index for citation in self._attribution.references}
        left = [
            source_name(source, i, len(sources)) + (", written by a model: no evidence" if source.by_model else "")
            for i, source in enumerate(sources)
            if i not in cited
        ]
        if not left:
            return ""
        names = "".join(f"<li><bdi>{escape(name)}</bdi></li>" for name in left[:_UNCITED_SHOWN])
        more = f"<li>and {len(left) - _UNCITED_SHOWN} more</li>" if len(left) > _UNCITED_SHOWN else ""
        return f"<details><summary>Not cited: {len(left)} of {len(sources)}</summary><ul>{names}{more}</ul></details>"


def _apart(text: str) -> str:
    # A direction that the text turns, and does not turn back, must not reach the marks.
    return f"<bdi>{escape(text)}</bdi>" if text.strip() else escape(text)


def _direction(text: str) -> str:
    """Which way a text runs, by its first letter: a browser that is asked looks past what stands in ``<bdi>``."""
    ways = {"L": "ltr", "R": "rtl", "AL": "rtl"}
    found = (ways[kind] for kind in map(unicodedata.bidirectional, text) if kind in ways)
    return next(found, "ltr")


def _sign(label: Label) -> str:
    return f'<span aria-hidden="true">{LABELS[label].sign}</span>'


def _named(label: Label) -> str:
    return f"{_sign(label)} {LABELS[label].name}"


def _reasons(claim: Claim) -> str:
    return "".join(f'<span class="ll-reason"><bdi>{escape(reason)}</bdi></span>' for reason in reasons(claim))
