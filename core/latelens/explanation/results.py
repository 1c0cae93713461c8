"""What a ranking returns: documents in order, each with its explanation and its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from latelens.explanation.evidence import EvidenceSpan
from latelens.explanation.matches import Explanation
from latelens.explanation.regions import Region
from latelens.pages.page import Page
from latelens.shown import ShowsInNotebooks

ExplainMode = Literal["off", "evidence", "tokens"]


@dataclass(frozen=True)
class Ranked(ShowsInNotebooks):
    """One document of a ranking.

    Attributes
    ----------
    index
        Position of the document in the input.
    score
        MaxSim: the sum of the explanation's matches.
    explanation
        Every match behind the score.
    evidence
        The sentences that answer the query, best first; empty with ``explain="off"``.
    relevance
        Probability, 0..1, that the document answers the query; None where the encoder has no calibration, or for a
        page image.
    regions
        Of a page image, the regions that answer the query, best first; empty for a text, and with ``explain="off"``.
    page
        Of a page image, the page, where it is known: renderers draw it.
    """

    index: int
    score: float
    explanation: Explanation
    evidence: tuple[EvidenceSpan, ...]
    relevance: float | None = None
    regions: tuple[Region, ...] = ()
    page: Page | None = None


class Ranking(list[Ranked], ShowsInNotebooks):
    """What `rerank` returns: a list that a notebook shows as a report."""
