"""What both renderers of an answer call its labels, its sources and their places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import regex

from latelens.attribution import Attribution, Citation, Claim, Label, Source

NO_PROOF = "Matching words are no proof: they show neither that a claim is true nor that it was taken from there."

# Characters of a source that are shown on each side of a cited sentence.
_AROUND = 160
_MARGIN = 40
_LINK = regex.compile(r"(?i)https?://[^\s\p{C}]+")


@dataclass(frozen=True)
class LabelWords:
    """How a label is shown: a sign that needs no colour, its name, and what it says of a claim."""

    sign: str
    name: str
    meaning: str


LABELS: dict[Label, LabelWords] = {
    "supported": LabelWords("✓", "supported", "a verifier reads the cited text as saying so"),
    "corroborated": LabelWords("≈", "corroborated", "its words stand in the cited text"),
    "weak": LabelWords("△", "weak", "only some of its words stand in the sources, or a detail does not"),
    "no_evidence": LabelWords("○", "no evidence", "nothing in the sources is like it"),
    "contradicted": LabelWords("✕", "contradicted", "a verifier reads the cited text as saying otherwise"),
    "not_checkable": LabelWords("–", "not checkable", "it states nothing that a source could back"),
}


def tally(attribution: Attribution) -> dict[Label, int]:
    """How many claims have each label, without the labels that no claim has."""
    found = [claim.label for claim in attribution.claims]
    return {label: found.count(label) for label in LABELS if label in found}


def reasons(claim: Claim) -> tuple[str, ...]:
    """Why a claim is flagged: its own reasons, else what its label means; and the sentence that is most like it."""
    found = claim.reasons or (LABELS[claim.label].meaning,)
    return found if claim.nearest is None else (*found, f"most like it, but no evidence: “{claim.nearest.cited_text}”")


def numbers(attribution: Attribution) -> dict[tuple[int, str | None, int, int], int]:
    """The mark of each cited span, as `Attribution.number_of` gives it, by `place_of`."""
    return {place_of(citation): number for number, citation in enumerate(attribution.references, start=1)}


def place_of(citation: Citation) -> tuple[int, str | None, int, int]:
    """Which span of which source a citation names."""
    return citation.source_index, citation.key, citation.source_start, citation.source_end


def source_name(source: Source, index: int, total: int) -> str:
    """A source's title, else its id, else its position in the input, from 1."""
    return source.title or source.id or f"source {index + 1} of {total}"


def position(citation: Citation) -> str:
    """Where a cited text stands, as one says it."""
    if citation.key is not None:
        return f"the {citation.key!r} that was shown with it"
    if citation.document_start is None or citation.document_end is None:
        return f"characters {citation.source_start:,} to {citation.source_end:,} of the retrieved text"
    return f"characters {citation.document_start:,} to {citation.document_end:,} of the document"


def link(url: str | None) -> str | None:
    """The address if a browser may be sent there: over http or https, without a character that nobody sees."""
    return url if url and _LINK.fullmatch(url) else None


def neighbours(text: str, start: int, end: int) -> tuple[str, str]:
    """What stands before and after a span, whole words, with an ellipsis where the text goes on.

    >>> neighbours("Rain fell. They eat grass. Lions sleep.", 11, 26)
    ('Rain fell. ', ' Lions sleep.')
    """
    return _before(text, start), _after(text, end)


def _before(text: str, end: int) -> str:
    edge = end - _AROUND
    if edge <= 0:
        return text[:end]
    gap = regex.compile(r"\s+").search(text, edge, min(edge + _MARGIN, end))
    return f"… {text[gap.end() if gap else _whole(text, edge) : end]}"


def _after(text: str, start: int) -> str:
    edge = start + _AROUND
    if edge >= len(text):
        return text[start:]
    gap = regex.compile(r"(?r)\s+").search(text, edge - _MARGIN, edge)
    return f"{text[start : gap.start() if gap else _whole(text, edge)]} …"


def _whole(text: str, edge: int) -> int:
    """The next edge of a character that a reader sees as one, looked for from a little before."""
    characters = regex.finditer(r"\X", text, pos=max(0, edge - _MARGIN))
    ends: Iterator[int] = (found.end() for found in characters)
    return next(end for end in ends if end >= edge)
