"""Explained texts as HTML: one piece with its style and script, which can stand in a notebook or on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from latelens.explanation.evidence import EvidenceSpan
from latelens.explanation.matches import Explanation
from latelens.render.html.escaping import as_script_json, escape, marked_text, word_places
from latelens.render.html.page import resource
from latelens.render.html.page_cells import score_table
from latelens.render.ledger import LedgerLine, ledger, top_similarity, unread_note

# Lines of a ledger that name what they matched by more words than this are cut: expansion rows match dozens.
_MATCHED_SHOWN = 4
_LEGEND = (
    "Underlined: evidence, thick under its phrase. Shaded: similarity with the best word of the query, or with the one "
    "chosen above; it is not the score. Framed: the best match of a word of the query. In a text, the arrow keys go "
    "from word to word, up and down from match to match."
)
REST = ' class="ll-rest"'


@dataclass(frozen=True)
class TextView:
    """A document to show: its heading, and what is known of it."""

    heading: str
    explanation: Explanation
    evidence: Sequence[EvidenceSpan]
    relevance: float | None


def texts_piece(chunks: Sequence[TextView]) -> str:
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
        f'<button type="button" aria-pressed="false" data-line="{i}"{"" if line.is_word else REST}>'
        f"<bdi>{escape(line.label)}</bdi></button>"
        for i, line in enumerate(lines)
    ]
    every = '<button type="button" aria-pressed="true" data-line="-1">all words</button>'
    return f'<div class="ll-words" role="group" aria-label="Words of the query" hidden>{every}{"".join(buttons)}</div>'


def _article(chunk: TextView, lines: Sequence[LedgerLine], *, is_open: bool) -> str:
    explanation, document = chunk.explanation, chunk.explanation.document
    heading = f"<bdi>{escape(chunk.heading)}</bdi>" if chunk.heading else "document"
    readable = "" if chunk.relevance is None else f", relevance {chunk.relevance:.2f}"
    score = f"score {explanation.score:.3f}, mean similarity {explanation.mean_similarity:.2f}{readable}"
    text = marked_text(document.text, chunk.evidence)
    unread = unread_note(explanation, chunk.evidence)
    cut = f'<p class="ll-cut">{escape(unread)}</p>' if unread else ""
    if document.page is None:
        table = _ledger_table(lines, explanation.score, is_open=is_open)
    else:  # an image of a page that is not at hand
        table = score_table(explanation, None, is_open=is_open)
    return (
        f'<article><h3>{heading} <span class="ll-score">{score}</span> <span class="ll-found"></span></h3>'
        f'<div class="ll-text" dir="auto" role="group" aria-label="text">{text}</div>'
        f"{cut}{table}</article>"
    )


def _ledger_table(lines: Sequence[LedgerLine], score: float, *, is_open: bool) -> str:
    most = max(0.01, *(line.contribution for line in lines))
    rows = "".join(_ledger_row(i, line, most) for i, line in enumerate(lines))
    return (
        f"<details{' open' if is_open else ''}><summary>What the score is made of</summary><table><thead><tr>"
        '<th scope="col">query word</th><th scope="col">matched</th><th scope="col">adds</th><td></td></tr></thead>'
        f'<tbody>{rows}</tbody><tfoot><tr><th scope="row">score</th><td></td>{number_cell(score)}<td></td></tr></tfoot>'
        "</table></details>"
    )


def _ledger_row(i: int, line: LedgerLine, most: float) -> str:
    matched = ", ".join(f"<bdi>{escape(word)}</bdi>" for word in line.matched[:_MATCHED_SHOWN]) or "<i>no text</i>"
    more = f" and {len(line.matched) - _MATCHED_SHOWN} more" if len(line.matched) > _MATCHED_SHOWN else ""
    bar = f'<span style="width:{100 * max(line.contribution, 0) / most:.1f}%"></span>'
    return (
        f'<tr data-line="{i}"{"" if line.is_word else REST}><th scope="row"><bdi>{escape(line.label)}</bdi></th>'
        f'<td class="ll-matched">{matched}{more}</td>{number_cell(line.contribution)}<td class="ll-bar">{bar}</td></tr>'
    )


def number_cell(value: float) -> str:
    """A cell of a table with a number to read, and the exact one for programs."""
    return f'<td class="ll-number"><data value="{value!r}">{value:.3f}</data></td>'
