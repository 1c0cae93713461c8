"""An attribution as Google's grounding metadata, whose positions are bytes of UTF-8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from latelens.attribution.citations import Attribution, Citation, Claim, Source
from latelens.interchange.checking import as_list, as_mapping, checked, checked_sources, of_texts, source_at, unmeasured
from latelens.refusals import check_is, shown

MODEL = "google"

PLACE = ("source_index", "source_start", "source_end")


def to_google_grounding(attribution: Attribution) -> dict[str, Any]:
    """What Gemini returns as ``groundingMetadata``: one chunk a cited span, one support a cited claim.

    A segment's ``startIndex`` and ``endIndex`` are UTF-8 bytes of the answer. A chunk's ``retrievedContext.text``
    is the cited span; the format has no fields for its place, so that goes into ``customMetadata``, which is the
    caller's own: ``source_index, source_start, source_end`` (characters) and ``source_id``. Scores are cut to 0..1.
    The format has no place for labels, reasons, relevances, claims without citations, citations of shown metadata, nor
    for the chunk's place in its whole document.

    Raises
    ------
    ValueError
        If the answer holds a lone surrogate, which has no UTF-8.
    """
    attribution = of_texts(attribution)
    offsets = _byte_offsets(attribution.answer)
    return {
        "groundingChunks": [{"retrievedContext": _context(reference)} for reference in attribution.references],
        "groundingSupports": [
            {
                "segment": {"startIndex": offsets[claim.start], "endIndex": offsets[claim.end], "text": claim.text},
                "groundingChunkIndices": [attribution.number_of(citation) - 1 for citation in claim.citations],
                "confidenceScores": [min(max(float(citation.score), 0.0), 1.0) for citation in claim.citations],
            }
            for claim in attribution.claims
            if claim.citations
        ],
    }


def from_google_grounding(grounding: Mapping[str, Any], answer: str, sources: Sequence[Source]) -> Attribution:
    """The attribution in a response's ``groundingMetadata``; `answer` is the text of the response's first part.

    Each support becomes a claim. Its label is ``"weak"`` with the reason ``"cited, not measured"``; its score is the
    highest confidence, 0 where there is none. A chunk without our ``customMetadata`` is looked for in the sources,
    first in those with its uri or title: where its text stands twice, the first is taken.

    Raises
    ------
    ValueError
        If a segment is not in the answer, or a chunk's text in no source.
    """
    grounding, sources = as_mapping(grounding, "grounding metadata"), checked_sources(sources)
    check_is("answer", answer, str, "a str")
    chunks = as_list(grounding.get("groundingChunks") or (), "groundingChunks")
    supports = as_list(grounding.get("groundingSupports") or (), "groundingSupports")
    characters = {offset: position for position, offset in enumerate(_byte_offsets(answer))}
    claims = [
        _claim(as_mapping(support, f"support {number}"), chunks, answer, characters, sources, f"support {number}")
        for number, support in enumerate(supports)
    ]
    claims.sort(key=lambda claim: (claim.start, claim.end))
    return checked(Attribution(answer, sources, tuple(claims), model=MODEL))


def _byte_offsets(text: str) -> list[int]:
    """UTF-8 bytes before each character and at the end: ``len(text) + 1`` values."""
    try:
        return [0, *accumulate(len(character.encode()) for character in text)]
    except UnicodeEncodeError as error:
        position = next(i for i, character in enumerate(text) if "\ud800" <= character <= "\udfff")
        raise ValueError(
            f"the answer holds a lone surrogate, {text[position]!r}, at {position}: it has no UTF-8 bytes to count; "
            "decode the answer properly, or use to_json"
        ) from error


def _context(citation: Citation) -> dict[str, Any]:
    named = {"title": citation.title, "uri": citation.url, "text": citation.cited_text}
    place: list[dict[str, Any]] = [{"key": key, "numericValue": getattr(citation, key)} for key in PLACE]
    if citation.source_id is not None:
        place.append({"key": "source_id", "stringValue": citation.source_id})
    return {**{key: value for key, value in named.items() if value is not None}, "customMetadata": place}


def _claim(
    support: Mapping[str, Any],
    chunks: Sequence[Any],
    answer: str,
    characters: Mapping[int, int],
    sources: Sequence[Source],
    where: str,
) -> Claim:
    segment = as_mapping(support.get("segment"), f"the segment of {where}")
    if segment.get("partIndex", 0) != 0:
        raise ValueError(f"the segment of {where} is in part {segment['partIndex']}; only the first part is read")
    # Google leaves out what is 0.
    start, end = (characters.get(segment.get(key, 0)) for key in ("startIndex", "endIndex"))
    if start is None or end is None:
        raise ValueError(
            f"the segment of {where} is {segment.get('startIndex', 0)}:{segment.get('endIndex', 0)}, which are not "
            f"byte positions between characters of the answer: give the text exactly as the model returned it, "
            f"got {shown(answer)}"
        )
    text = segment.get("text", answer[start:end])
    return unmeasured(start, end, text, _citations(start, end, support, chunks, sources, where))


def _citations(
    start: int, end: int, support: Mapping[str, Any], chunks: Sequence[Any], sources: Sequence[Source], where: str
) -> Iterator[Citation]:
    indices = as_list(support.get("groundingChunkIndices") or (), f"groundingChunkIndices of {where}")
    scores = as_list(support.get("confidenceScores") or (), f"confidenceScores of {where}")  # newer models give none
    if scores and len(scores) != len(indices):
        raise ValueError(f"{where} has {len(indices)} chunks and {len(scores)} confidence scores")
    for number, index in enumerate(indices):
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(chunks):
            raise ValueError(f"{where} names chunk {index!r} of {len(chunks)}")
        chunk = as_mapping(chunks[index], f"chunk {index}")
        if "retrievedContext" not in chunk:
            raise ValueError(f"chunk {index} is no retrievedContext but {', '.join(chunk)}, which quotes no text")
        context = as_mapping(chunk["retrievedContext"], f"the context of chunk {index}")
        yield _citation(start, end, context, scores[number] if scores else 0.0, sources, f"chunk {index}")


def _citation(
    start: int, end: int, context: Mapping[str, Any], score: float, sources: Sequence[Source], where: str
) -> Citation:
    noted = {
        item.get("key"): item.get("numericValue", item.get("stringValue"))
        for item in as_list(context.get("customMetadata") or (), f"customMetadata of {where}")
    }
    if all(key in noted for key in PLACE):
        index, source_start, source_end = (_whole(noted[key], key, where) for key in PLACE)
    else:
        index, source_start, source_end = _find(context, sources, where)
    source = source_at(sources, index, where)
    return Citation(
        answer_start=start,
        answer_end=end,
        source_index=index,
        source_id=noted.get("source_id", source.id),
        source_start=source_start,
        source_end=source_end,
        cited_text=context.get("text", ""),
        score=float(score),
        title=context.get("title"),
        url=context.get("uri"),
        document_start=None if source.start is None else source.start + source_start,
        document_end=None if source.start is None else source.start + source_end,
    )


def _whole(value: Any, key: str, where: str) -> int:
    """A JSON number that Google's own code may have turned into 3.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{key} of {where} must be a whole number, got {shown(value)}")
    return int(value)


def _find(context: Mapping[str, Any], sources: Sequence[Source], where: str) -> tuple[int, int, int]:
    text = context.get("text")
    if not isinstance(text, str) or not text:
        raise ValueError(f"{where} has no text to look for in the sources")
    uri, title = context.get("uri"), context.get("title")

    def unlike(index: int) -> tuple[bool, bool]:
        source = sources[index]
        return uri is None or source.url != uri, title is None or source.title != title

    for index in sorted(range(len(sources)), key=unlike):
        start = sources[index].text.find(text)
        if start >= 0:
            return index, start, start + len(text)
    raise ValueError(f"{where} quotes {text!r:.60}, which stands in none of the {len(sources)} sources")
