"""Explanations as HTML: a self-contained piece for a notebook, or a page to keep; no network, no framework."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latelens.explanation.evidence import EvidenceSpan, find_evidence
from latelens.explanation.matches import Explanation
from latelens.explanation.results import Ranked
from latelens.refusals import check_texts
from latelens.render.html.escaping import as_script_json, escape, marked_text, word_places
from latelens.render.html.page import resource, whole_page, write_page
from latelens.render.ledger import LedgerLine, ledger, one_query, top_similarity, unread_note

# Lines of a ledger that name what they matched by more words than this are cut: expansion rows match dozens.
_MATCHED_SHOWN = 4
_LEGEND = (
    "Underlined: evidence, thick under its phrase. Shaded: similarity with the best word of the query, or with the one "
    "chosen above; it is not the score. Framed: the best match of a word of the query. In a text, the arrow keys go "
    "from word to word, up and down from match to match."
)
_REST = ' class="ll-rest"'


@dataclass(frozen=True)
class Report:
    """A ranking as HTML: notebooks show it by themselves, `save` writes it as a page.

    Attributes
    ----------
    ranked
        What `rerank` returned.
    names
        The documents' names, in the order in which they were given to `rerank`; None for their numbers.
    """

    ranked: tuple[Ranked, ...]
    names: tuple[str, ...] | None = None

    def _repr_html_(self) -> str:
        """Called by notebooks."""
        return _piece(self._chunks())

    def page(self) -> str:
        """The whole document; its content policy lets no script run but ours, and nothing be loaded."""
        title = one_query(self.ranked).text
        return whole_page(_piece(self._chunks()), title=title, scripts=[resource("report.js")])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, in UTF-8, and say where."""
        return write_page(self.page(), path)

    def _chunks(self) -> list[_Chunk]:
        numbered = enumerate(self.ranked, start=1)
        return [
            _Chunk(f"{rank}. {self._name(item)}", item.explanation, item.evidence, item.relevance)
            for rank, item in numbered
        ]

    def _name(self, item: Ranked) -> str:
        return f"document {item.index}" if self.names is None else self.names[item.index]


def report(ranked: Sequence[Ranked], *, names: Sequence[str] | None = None) -> Report:
    """Show a ranking as HTML: last in a notebook's cell, or with ``report(ranked).save("report.html")``.

    The query's words are buttons: each shows where it matched in every document. A word of a document, under the
    pointer or with the keyboard's focus, shows which word of the query it matches and their similarity. Evidence is
    underlined, thick under its phrase, and each document has its ledger, which sums to its score. `names` are the
    documents' names, in the order in which they were given to `rerank`.

    Raises
    ------
    ValueError
        If the ranking is empty or not of one query, or a document has no name.
    """
    one_query(ranked)
    if names is not None:
        check_texts("names", names)
    last = max(item.index for item in ranked)
    if names is not None and len(names) <= last:
        raise ValueError(
            f"names must have one name for each document given to rerank: got {len(names)}, and document {last} is here"
        )
    return Report(tuple(ranked), None if names is None else tuple(names))


def show_one(
    explanation: Explanation,
    evidence: Sequence[EvidenceSpan] | None = None,
    *,
    heading: str = "",
    relevance: float | None = None,
) -> str:
    """One explained document as HTML, for a notebook; its evidence is what `find_evidence` finds if none is given."""
    found = find_evidence(explanation) if evidence is None else evidence
    return _piece([_Chunk(heading, explanation, found, relevance)])


@dataclass(frozen=True)
class _Chunk:
    heading: str
    explanation: Explanation
    evidence: Sequence[EvidenceSpan]
    relevance: float | None


def _piece(chunks: Sequence[_Chunk]) -> str:
    """Everything in one element: style, content, figures and script; any number of them can share a page."""
    query = chunks[0].explanation.query
    ledgers = [ledger(chunk.explanation) for chunk in chunks]
    places = [word_places(chunk.explanation, lines) for chunk, lines in zip(chunks, ledgers, strict=True)]
    numbers = {
        "labels": [line.label for line in ledgers[0]],
        "asked": [line.is_word for line in ledgers[0]],
        "top": top_similarity(query),
        "chunks": places,
    }
    lines = (
        '<section class="latelens" data-format="1" aria-label="Explained ranking">',
        f"<style>{resource('report.css')}</style>",
        f'<p class="ll-query" dir="auto">{escape(query.text)}</p>',
        _buttons(ledgers[0]),
        f'<p class="ll-legend">{_LEGEND}</p>',
        *(_article(chunk, lines, is_open=i == 0) for i, (chunk, lines) in enumerate(zip(chunks, ledgers, strict=True))),
        '<div class="ll-tip" role="status" hidden></div>',
        f'<script type="application/json">{as_script_json(numbers)}</script>',
        f"<script>{resource('report.js')}</script>",
        "</section>",
    )
    return "\n".join(lines)


def _buttons(lines: Sequence[LedgerLine]) -> str:
    """One button a line of the ledger; hidden until the script makes them work."""
    buttons = [
        f'<button type="button" aria-pressed="false" data-line="{i}"{"" if line.is_word else _REST}>'
        f"<bdi>{escape(line.label)}</bdi></button>"
        for i, line in enumerate(lines)
    ]
    every = '<button type="button" aria-pressed="true" data-line="-1">all words</button>'
    return f'<div class="ll-words" role="group" aria-label="Words of the query" hidden>{every}{"".join(buttons)}</div>'


def _article(chunk: _Chunk, lines: Sequence[LedgerLine], *, is_open: bool) -> str:
    explanation, document = chunk.explanation, chunk.explanation.document
    heading = f"<bdi>{escape(chunk.heading)}</bdi>" if chunk.heading else "document"
    readable = "" if chunk.relevance is None else f", relevance {chunk.relevance:.2f}"
    score = f"score {explanation.score:.3f}, mean similarity {explanation.mean_similarity:.2f}{readable}"
    text = marked_text(document.text, chunk.evidence)
    unread = unread_note(explanation, chunk.evidence)
    cut = f'<p class="ll-cut">{escape(unread)}</p>' if unread else ""
    return (
        f'<article><h3>{heading} <span class="ll-score">{score}</span> <span class="ll-found"></span></h3>'
        f'<div class="ll-text" dir="auto" role="group" aria-label="text">{text}</div>'
        f"{cut}{_ledger_table(lines, explanation.score, is_open=is_open)}</article>"
    )


def _ledger_table(lines: Sequence[LedgerLine], score: float, *, is_open: bool) -> str:
    most = max(0.01, *(line.contribution for line in lines))
    rows = "".join(_ledger_row(i, line, most) for i, line in enumerate(lines))
    return (
        f"<details{' open' if is_open else ''}><summary>What the score is made of</summary><table><thead><tr>"
        '<th scope="col">query word</th><th scope="col">matched</th><th scope="col">adds</th><td></td></tr></thead>'
        f'<tbody>{rows}</tbody><tfoot><tr><th scope="row">score</th><td></td>{_number(score)}<td></td></tr></tfoot>'
        "</table></details>"
    )


def _ledger_row(i: int, line: LedgerLine, most: float) -> str:
    matched = ", ".join(f"<bdi>{escape(word)}</bdi>" for word in line.matched[:_MATCHED_SHOWN]) or "<i>no text</i>"
    more = f" and {len(line.matched) - _MATCHED_SHOWN} more" if len(line.matched) > _MATCHED_SHOWN else ""
    bar = f'<span style="width:{100 * max(line.contribution, 0) / most:.1f}%"></span>'
    return (
        f'<tr data-line="{i}"{"" if line.is_word else _REST}><th scope="row"><bdi>{escape(line.label)}</bdi></th>'
        f'<td class="ll-matched">{matched}{more}</td>{_number(line.contribution)}<td class="ll-bar">{bar}</td></tr>'
    )


def _number(value: float) -> str:
    """A cell with a number to read, and the exact one for programs."""
    return f'<td class="ll-number"><data value="{value!r}">{value:.3f}</data></td>'
