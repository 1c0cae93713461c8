"""One number and one comment for an answer, as the frameworks' evaluators give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from latelens.attribution.citations import Source
from latelens.bridge.attributor import Attributor
from latelens.evaluation.answers import AnswerScore, score_answer

Measure = Literal["supported", "citation_precision", "citation_recall"]


class Judgement(NamedTuple):
    """What an answer is worth.

    Attributes
    ----------
    score
        A share, 0..1; None where the answer has nothing that the measure counts.
    comment
        The claims or marks that cost it something, a line each, or why there is no score.
    """

    score: float | None
    comment: str


def check_measure(measure: object) -> None:
    """Refuse what is none of the measures of which more is better."""
    if measure not in get_args(Measure):
        raise ValueError(f"measure must be one of {', '.join(get_args(Measure))}, got {measure!r}")


def judge_answer(
    attributor: Attributor, question: str | None, answer: str, sources: Sequence[Source | str], measure: Measure
) -> Judgement:
    """Score an answer by the sources that it was made of; see `latelens.evaluation.answers.score_answer`."""
    asked, cache, verifier = question or "", attributor.cache, attributor.verifier
    found = score_answer(asked, answer, sources, attributor.encoder, cache=cache, verifier=verifier)
    score: float | None = getattr(found, measure)
    if score is None:
        return Judgement(None, "no claim can be checked" if not found.claims else "the answer has no marks")
    lines = _flagged(found) if measure == "supported" else _wrong_marks(found)
    return Judgement(score, "\n".join([_said(found, measure), *lines]))


def _said(found: AnswerScore, measure: Measure) -> str:
    if measure == "citation_precision":
        return f"{found.citation_precision:.2f} of the marked sources back their claim"
    share, what = (found.supported, "the sources") if measure == "supported" else (found.citation_recall, "their marks")
    return f"{round((share or 0) * found.claims)} of {found.claims} claims are backed by {what}"


def _flagged(found: AnswerScore) -> Iterator[str]:
    for claim in found.attribution.flagged:
        reasons = f" ({'; '.join(claim.reasons)})" if claim.reasons else ""
        yield f"{claim.label.replace('_', ' ')}: {claim.text}{reasons}"


def _wrong_marks(found: AnswerScore) -> Iterator[str]:
    claims = found.attribution.claims
    for mark in found.checked.marks:
        if mark.verdict != "backed":
            claim = "" if mark.claim is None else f": {claims[mark.claim].text}"
            yield f"[{mark.number}] {mark.verdict}{claim}"
