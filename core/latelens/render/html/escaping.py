"""Text as HTML that shows exactly its characters, and where its words stand for a browser."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.explanation.evidence import EvidenceSpan
from latelens.explanation.matches import Explanation
from latelens.render.ledger import LedgerLine, document_heat

# HTML has no way to write these: NUL is dropped, a lone surrogate is no character.
_UNWRITABLE = regex.compile(r"[\0\p{Cs}]")


def escape(text: str) -> str:
    """The text as HTML, in an element or in a quoted attribute, one character for each.

    >>> escape("<b title='x'>")
    '&lt;b title=&#x27;x&#x27;&gt;'
    """
    # A parser turns a bare carriage return into a line feed, and both together into one.
    return html.escape(_UNWRITABLE.sub("\ufffd", text)).replace("\r", "&#13;")


def as_script_json(value: Any) -> str:
    """JSON that can stand in a script element: it has no character that could end it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def marked_text(text: str, evidence: Sequence[EvidenceSpan]) -> str:
    """The text with ``<mark>`` around each sentence of the evidence and ``<strong>`` around its phrase."""
    parts, position = [], 0
    for span in sorted(evidence, key=lambda span: span.start):
        start, end = max(span.start, position), max(span.end, position)
        first, last = (min(max(edge, start), end) for edge in (span.phrase_start, span.phrase_end))
        phrase = f"<strong>{escape(text[first:last])}</strong>" if first < last else ""
        sentence = f"{escape(text[start:first])}{phrase}{escape(text[max(first, last) : end])}"
        parts += [escape(text[position:start]), f"<mark>{sentence}</mark>" if start < end else ""]
        position = end
    return "".join((*parts, escape(text[position:])))


def word_places(explanation: Explanation, lines: Sequence[LedgerLine]) -> dict[str, Any]:
    """What a browser needs to show the words of a document.

    ``words`` alternates the distance from the last word and the length, in UTF-16 units as browsers count;
    ``heat`` has for each line of the ledger each word's similarity in hundredths, ``won`` the words that hold a match.
    """
    heat = document_heat(explanation, lines)
    edges = _utf16_positions(explanation.document.text)[heat.spans.ravel()]
    return {
        "words": np.diff(edges, prepend=0).tolist(),
        "heat": np.rint(100 * heat.similarity).astype(int).tolist(),
        "won": [np.flatnonzero(won).tolist() for won in heat.winners],
    }


def _utf16_positions(text: str) -> NDArray[np.intp]:
    """Where each character, and the end, stands in UTF-16: (characters + 1,)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return np.append(0, np.cumsum(1 + (codes > 0xFFFF)))
