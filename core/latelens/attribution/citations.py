"""What `attribute` takes and returns: sources, and the claims of an answer with their citations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from latelens.attribution.marks import read_marks
from latelens.pages.files import FilePage
from latelens.pages.geometry import Box
from latelens.shown import ShowsInNotebooks

Label = Literal["corroborated", "weak", "no_evidence", "not_checkable", "supported", "contradicted"]


@dataclass(frozen=True)
class SourceRegion:
    """A part of a page: its number, from 1, the box as fractions of the page, and the words that stand there."""

    page: int
    box: Box
    words: str


@dataclass(frozen=True)
class Source:
    """A text that an answer may rest on: a retrieved chunk.

    Attributes
    ----------
    text
        What was retrieved; every source position is a character of it.
    id, title, url
        What the caller calls it; None where it has no such thing.
    start
        Where the chunk begins in its whole document, in characters; None where the splitter did not say.
    shown
        Metadata that the model saw beside the text, such as ``{"author": "Ada Lovelace", "year": "1843"}``: each value
        can be cited under its key.
    file
        The PDF or image, and the page, that the chunk was read from; None where its metadata did not say.
    by_model
        Whether a language model wrote the text, such as a summary or the answer to a part of the question: it keeps
        its number among the sources, and is never cited, since it is no evidence.
    regions
        Of a page image, the parts that answered the query, and their words. A citation of such words names the box,
        where nothing more exact is known.
    """

    text: str
    id: str | None = None
    title: str | None = None
    url: str | None = None
    start: int | None = None
    shown: Mapping[str, str] = field(default_factory=dict, hash=False)
    file: FilePage | None = None
    by_model: bool = False
    regions: tuple[SourceRegion, ...] = ()


@dataclass(frozen=True)
class Citation:
    """A span of a source that backs a claim; ``sources[source_index].text[source_start:source_end] == cited_text``.

    Where `key` is not None, the span lies in ``sources[source_index].shown[key]`` instead.

    Attributes
    ----------
    answer_start, answer_end
        The claim, in characters of the answer.
    source_index, source_id, title, url
        Which source.
    source_start, source_end, cited_text
        The sentence in that source.
    key
        Which of the source's shown metadata was cited; None for its text.
    score
        MaxSim of the claim's words in that sentence, at most 1 (`EvidenceSpan.score`).
    relevance
        Probability, 0..1, that the source answers the claim; None where the encoder has no calibration.
    document_start, document_end
        The sentence's place in the whole document; None where the source does not know its own, and for metadata.
    page, boxes
        Its page in the source's file, from 1, and its boxes there, a line each: left, top, right and bottom as
        fractions of the page as it is shown; or the box of the region that it stands in. None and empty until they are
        looked for (`place_citations`, `place_in_regions`), and where they were not found.
    """

    answer_start: int
    answer_end: int
    source_index: int
    source_id: str | None
    source_start: int
    source_end: int
    cited_text: str
    score: float
    relevance: float | None = None
    title: str | None = None
    url: str | None = None
    document_start: int | None = None
    document_end: int | None = None
    key: str | None = None
    page: int | None = None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A sentence, list item or table row of an answer; ``answer[start:end] == text``.

    Attributes
    ----------
    label
        ``"corroborated"``: its words stand in the cited text. ``"weak"``: some do, or a number, date, name or negation
        does not. ``"no_evidence"``: nothing in the sources is like it. ``"not_checkable"``: a greeting, a question or
        a remark without a statement. Only a `Verifier` tells ``"supported"`` and ``"contradicted"``: matching words
        show neither truth nor cause.
    score
        How well the sources back the claim, 0..1; comparable between claims, answers and pools: foreign sources beside
        a claim's own hardly change it.
    reasons
        Why the label is no better, such as ``"number 150 kg not in the evidence"``.
    support
        The verifier's probability that the cited text supports the claim; None without a verifier.
    citations
        Best first.
    nearest
        Of a claim without evidence, the sentence that is most like it, for a reader to check: it does not back the
        claim. None for other claims, and where no source has a sentence; it does not count when claims are compared.
    """

    start: int
    end: int
    text: str
    label: Label
    score: float
    reasons: tuple[str, ...] = ()
    support: float | None = None
    citations: tuple[Citation, ...] = ()
    nearest: Citation | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Attribution(ShowsInNotebooks):
    """An answer, cut into claims, each with the spans that back it.

    Attributes
    ----------
    claims
        In the answer's order, disjoint; code blocks, headings and white space belong to none.
    model
        Name of the encoder.
    verifier
        Name of the verifier; None without one.
    """

    answer: str
    sources: tuple[Source, ...]
    claims: tuple[Claim, ...]
    model: str
    verifier: str | None = None

    def __repr__(self) -> str:
        cited = sum(bool(claim.citations) for claim in self.claims)
        counts = f"claims={len(self.claims)}, cited={cited}, flagged={len(self.flagged)}, sources={len(self.sources)}"
        return f"Attribution({counts}, model={self.model!r})"

    @property
    def citations(self) -> tuple[Citation, ...]:
        """All citations, in the order of the claims."""
        return tuple(citation for claim in self.claims for citation in claim.citations)

    @property
    def flagged(self) -> tuple[Claim, ...]:
        """The claims that a reader should check: weak, without evidence or contradicted."""
        return tuple(claim for claim in self.claims if claim.label in ("weak", "no_evidence", "contradicted"))

    def quoted_from(self, citation: Citation) -> str:
        """The text that a citation is a span of: its source's, or the value of the metadata that it names."""
        source = self.sources[citation.source_index]
        return source.text if citation.key is None else source.shown[citation.key]

    @cached_property
    def references(self) -> tuple[Citation, ...]:
        """The distinct cited spans, in the order of first use: the first is mark ``[1]``."""
        first: dict[_Place, Citation] = {}
        for citation in self.citations:
            first.setdefault(_place(citation), citation)
        return tuple(first.values())

    def number_of(self, citation: Citation) -> int:
        """The mark of a citation's span, from 1."""
        return self._numbers[_place(citation)]

    @cached_property
    def _numbers(self) -> dict[_Place, int]:
        return {_place(reference): number for number, reference in enumerate(self.references, start=1)}

    def marked(self) -> str:
        """The answer with marks such as ``[1][2]`` after each claim that is cited.

        Marks that the answer had are left out: two numberings side by side would mislead.
        """
        own = {mark.end: mark for mark in read_marks(self.answer)}
        numbers = {
            claim.end: "".join(f"[{number}]" for number in sorted(self.number_of(each) for each in claim.citations))
            for claim in self.claims
        }
        pieces: list[str] = []
        reached = 0
        for edge in sorted(own.keys() | numbers.keys()):
            mark = own.get(edge)
            text = self.answer[reached : edge if mark is None else max(mark.start, reached)]
            pieces += [text if mark is None else text.rstrip(" \t"), numbers.get(edge, "")]
            reached = edge
        return "".join([*pieces, self.answer[reached:]])


_Place: TypeAlias = tuple[int, str | None, int, int]


def _place(citation: Citation) -> _Place:
    return citation.source_index, citation.key, citation.source_start, citation.source_end
