"""An attribution as the content blocks of a message with Anthropic's citations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from latelens.attribution.citations import Attribution, Citation, Claim, Source
from latelens.interchange.checking import as_list, as_mapping, checked, checked_sources, of_texts, source_at, unmeasured
from latelens.refusals import shown

MODEL = "anthropic"


def to_anthropic_citations(attribution: Attribution) -> list[dict[str, Any]]:
    """The answer as text blocks, the cited claims with ``char_location`` citations; their texts join to the answer.

    A document index is the source's position; character positions are half-open. The format has no place for
    scores, labels, reasons and relevances, for claims without citations, for ids and urls, for citations of
    shown metadata, nor for the chunk's place in its whole document.
    """
    attribution, reached = of_texts(attribution), 0
    blocks: list[dict[str, Any]] = []
    for claim in attribution.claims:
        if claim.citations:
            blocks += _uncited(attribution.answer[reached : claim.start])
            blocks.append({"type": "text", "text": claim.text, "citations": [_written(c) for c in claim.citations]})
            reached = claim.end
    return blocks + _uncited(attribution.answer[reached:])


def from_anthropic_citations(blocks: Sequence[Mapping[str, Any]], sources: Sequence[Source]) -> Attribution:
    """The attribution in a message's content blocks; `sources` are the documents of the request, in order.

    Each cited text block becomes a claim. Its label is ``"weak"`` and its score 0, with the reason
    ``"cited, not measured"``: the format does not say how well the text backs the claim; `attribute` measures it.
    Blocks that hold no text (thinking, tool calls) are skipped.

    Raises
    ------
    ValueError
        If a citation is not a ``char_location``, or quotes what its source does not hold there.
    """
    sources, claims, answer = checked_sources(sources), [], ""
    for number, item in enumerate(as_list(blocks, "the content")):
        block = as_mapping(item, f"block {number}")
        if block.get("type") != "text":
            continue
        text = block.get("text")
        if not isinstance(text, str):
            raise ValueError(f"block {number} has no text: {shown(text)}")
        where, start, answer = f"block {number}", len(answer), answer + text
        cited = as_list(block.get("citations") or (), f"citations of {where}")
        if cited:
            claims.append(_claim(start, text, cited, sources, where))
    return checked(Attribution(answer, sources, tuple(claims), model=MODEL))


def _uncited(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}] if text else []


def _written(citation: Citation) -> dict[str, Any]:
    return {
        "type": "char_location",
        "cited_text": citation.cited_text,
        "document_index": citation.source_index,
        "document_title": citation.title,
        "start_char_index": citation.source_start,
        "end_char_index": citation.source_end,
    }


def _claim(start: int, text: str, cited: Sequence[Any], sources: Sequence[Source], where: str) -> Claim:
    end = start + len(text)
    return unmeasured(start, end, text, _citations(start, end, cited, sources, where))


def _citations(start: int, end: int, cited: Sequence[Any], sources: Sequence[Source], where: str) -> Iterator[Citation]:
    for citation in cited:
        item = as_mapping(citation, f"a citation of {where}")
        if item.get("type") != "char_location":
            raise ValueError(
                f"a citation of {where} is a {item.get('type')!r}, which names no characters: "
                "send the documents as plain text to get 'char_location' citations"
            )
        missing = {"cited_text", "document_index", "start_char_index", "end_char_index"} - item.keys()
        if missing:
            raise ValueError(f"a citation of {where} has no {', '.join(sorted(missing))}")
        source = source_at(sources, item["document_index"], where)
        place = item["start_char_index"], item["end_char_index"]
        yield Citation(
            answer_start=start,
            answer_end=end,
            source_index=item["document_index"],
            source_id=source.id,
            source_start=place[0],
            source_end=place[1],
            cited_text=item["cited_text"],
            score=0.0,
            title=item.get("document_title"),
            url=source.url,
            document_start=None if source.start is None else source.start + place[0],
            document_end=None if source.start is None else source.start + place[1],
        )
