"""An attribution moved along when its answer is written anew around the claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from latelens.attribution.citations import Attribution, Claim
from latelens.attribution.edits import Edit, edited, place_after


def relocated(attribution: Attribution, edits: Sequence[Edit]) -> Attribution:
    """The attribution of the edited answer: the same claims with the same citations, where they stand now."""
    answer = edited(attribution.answer, edits)
    claims = []
    for claim in attribution.claims:
        start, end = place_after(claim.start, edits, begins=True), place_after(claim.end, edits)
        claims.append(replace(placed_at(claim, start, end), text=answer[start:end]))
    return replace(attribution, answer=answer, claims=tuple(claims))


def placed_at(claim: Claim, start: int, end: int) -> Claim:
    """The claim with its citations, at another place of its answer."""
    citations = tuple(replace(citation, answer_start=start, answer_end=end) for citation in claim.citations)
    nearest = claim.nearest and replace(claim.nearest, answer_start=start, answer_end=end)
    return replace(claim, start=start, end=end, citations=citations, nearest=nearest)
