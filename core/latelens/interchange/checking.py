"""What every format is checked for when it is read: that each span is where it says it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from latelens.attribution.citations import Attribution, Citation, Claim, Source
from latelens.refusals import check_is, check_several, described, shown

# Neither Anthropic nor Google says how well the cited text backs a claim: such a claim stays to be checked.
UNMEASURED = "cited, not measured"


def checked(attribution: Attribution) -> Attribution:
    """The attribution itself, once its claims are disjoint and every span has the text that it quotes."""
    reached = 0
    for number, claim in enumerate(attribution.claims):
        where = f"claim {number}"
        _check_span(attribution.answer, claim.start, claim.end, claim.text, f"{where} of the answer")
        if claim.start < reached:
            raise ValueError(f"{where} starts at {claim.start}, inside the claim before it, which ends at {reached}")
        reached = claim.end
        for citation in (*claim.citations, *((claim.nearest,) if claim.nearest else ())):
            source = source_at(attribution.sources, citation.source_index, where)
            place = f"the citation of {where} in source {citation.source_index}"
            if citation.key is not None and citation.key not in source.shown:
                raise ValueError(f"{place} names the metadata {citation.key!r}, which was not shown with the source")
            _check_span(
                attribution.quoted_from(citation),
                citation.source_start,
                citation.source_end,
                citation.cited_text,
                place,
            )
            if (citation.answer_start, citation.answer_end) != (claim.start, claim.end):
                raise ValueError(f"{place} is for {citation.answer_start}:{citation.answer_end}, not for its claim")
    return attribution


def checked_sources(sources: Iterable[Source]) -> tuple[Source, ...]:
    """The sources, once each is one."""
    check_several("sources", sources, "Sources")
    given = tuple(sources)
    for i, source in enumerate(given):
        check_is(f"sources[{i}]", source, Source, "a Source")
    return given


def check_attribution(attribution: object) -> None:
    """Refuse what `attribute` does not give."""
    check_is("attribution", attribution, Attribution, "an Attribution, as attribute gives it")


def source_at(sources: Sequence[Source], index: Any, where: str) -> Source:
    """The source that an index names, from 0."""
    if isinstance(index, bool) or not isinstance(index, int):
        raise ValueError(f"{where} cites source {shown(index)}; a source is named by its position, an int")
    if not 0 <= index < len(sources):
        raise ValueError(f"{where} cites source {index} of {len(sources)}: give the sources that were cited, in order")
    return sources[index]


def of_texts(attribution: Attribution) -> Attribution:
    """The attribution without citations of shown metadata, for formats in which every citation is a piece of a text."""
    check_attribution(attribution)
    claims = (
        replace(claim, citations=tuple(citation for citation in claim.citations if citation.key is None))
        for claim in attribution.claims
    )
    return replace(attribution, claims=tuple(claims))


def unmeasured(start: int, end: int, text: str, citations: Iterable[Citation]) -> Claim:
    """A claim that somebody else cited: ``"weak"``, because nothing here measured it."""
    citations = tuple(citations)
    score = max((citation.score for citation in citations), default=0.0)
    return Claim(start, end, text, label="weak", score=score, reasons=(UNMEASURED,), citations=citations)


def as_mapping(item: Any, where: str) -> Mapping[str, Any]:
    """The item, if it is a JSON object."""
    if not isinstance(item, Mapping):
        raise ValueError(f"{where} must be a JSON object, got {described(item)}")
    return item


def as_list(item: Any, where: str) -> Sequence[Any]:
    """The item, if it is a JSON array."""
    if not isinstance(item, list | tuple):
        raise ValueError(f"{where} must be a list, got {described(item)}")
    return item


def _check_span(text: str, start: Any, end: Any, quoted: str, where: str) -> None:
    if any(isinstance(value, bool) or not isinstance(value, int) for value in (start, end)):
        raise ValueError(f"{where} must be a range of ints, got {shown(start)}:{shown(end)}")
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"{where} is {start}:{end}, outside a text of {len(text)} characters")
    if text[start:end] != quoted:
        raise ValueError(f"{where} quotes {quoted!r:.60}, but {start}:{end} is {text[start:end]!r:.60}")
