"""The rest of an attribution, which a message's citations cannot hold: what they leave out, in small JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage

from langchain_latelens.annotations import VERSION, annotations_of, described, digest, is_ours
from langchain_latelens.sources import to_sources
from latelens.attribution.citations import Attribution, Citation, Claim, Source
from latelens.attribution.mark_checks import CheckedMark
from latelens.bridge.marks import marks_json
from latelens.bridge.metadata import KEY
from latelens.interchange.checking import checked
from latelens.interchange.stand_ins import blank, by_source, without_text


def record(
    attribution: Attribution,
    before: Mapping[str, Any],
    metadata_keys: Sequence[str],
    marks: Sequence[CheckedMark] | None,
    withdrawn: int = 0,
) -> dict[str, Any]:
    """What the annotations cannot hold: claims with their labels, what the sources are called, how to strip.

    Small JSON: neither the answer nor the sources' texts. `before` is what `describe` said of the message,
    `metadata_keys` say what else of the sources was citable, `marks` what the model's own were worth. Annotations of
    claims with numbers below `withdrawn` do not count: a stream gave them before a later line made a heading of them.
    """
    cited = by_source(attribution)
    return {
        "version": VERSION,
        "model": attribution.model,
        "verifier": attribution.verifier,
        "answer": digest(attribution.answer),
        "claims": [
            _present(
                start=claim.start,
                end=claim.end,
                label=claim.label,
                score=float(claim.score),
                reasons=list(claim.reasons) or None,
                support=None if claim.support is None else float(claim.support),
                nearest=None if claim.nearest is None else _quoted(claim.nearest),
            )
            for claim in attribution.claims
        ],
        "source_count": len(attribution.sources),
        "sources": [
            {"index": index, **without_text(source, cited[index])}
            for index, source in enumerate(attribution.sources)
            if index in cited
        ],
        **({"metadata_keys": list(metadata_keys)} if metadata_keys else {}),
        **({} if marks is None else {"marks": marks_json(marks)}),
        **({"withdrawn": withdrawn} if withdrawn else {}),
        "before": dict(before),
    }


def read(message: AIMessage, sources: Iterable[Any] | None) -> Attribution | None:
    """The attribution that a message carries; None where it carries none.

    Without `sources`, a source holds what was cited from it, at its place, and blanks elsewhere.
    """
    written = written_on(message)
    if written is None:
        return None
    answer = str(message.text)
    if written["answer"] != digest(answer):
        raise ValueError("the message's text has changed since it was cited: attach the citations again")
    citations = _citations(message, written["claims"], written.get("withdrawn", 0))
    claims = tuple(
        _claim(answer, item, citations.get(number, ()), written) for number, item in enumerate(written["claims"])
    )
    claims = _with_scores(claims, written.get("scores", ()))
    found = Attribution(answer, (), claims, written["model"], written["verifier"])
    if sources is None:
        return checked(replace(found, sources=_blank_sources(written, found)))
    return checked(replace(found, sources=tuple(to_sources(sources, written.get("metadata_keys", ())))))


def scores_of(claims: Iterable[Claim]) -> list[list[float | None]]:
    """Score and relevance of each citation."""
    return [[citation.score, citation.relevance] for claim in claims for citation in claim.citations]


def _with_scores(claims: Iterable[Claim], scores: Iterable[Sequence[Any]]) -> tuple[Claim, ...]:
    """The claims, the first of their citations with these scores."""
    left = iter(scores)

    def scored(citation: Citation) -> Citation:
        known = next(left, None)
        return citation if known is None else replace(citation, score=known[0], relevance=known[1])

    return tuple(replace(claim, citations=tuple(map(scored, claim.citations))) for claim in claims)


def written_on(message: AIMessage) -> dict[str, Any] | None:
    """What `record` wrote; None where a message has nothing of it."""
    written: dict[str, Any] | None = message.response_metadata.get(KEY)
    if written is not None and written.get("version") != VERSION:
        raise ValueError(
            f"these citations have version {written.get('version')!r} and this latelens reads version {VERSION}: "
            "run `pip install --upgrade latelens`, or attach them again"
        )
    return written


def _citations(
    message: AIMessage, claims: Sequence[Mapping[str, Any]], withdrawn: int
) -> dict[int, tuple[Citation, ...]]:
    """Our citations by claim; a claim that goes on in the next block repeats them there."""
    found: dict[int, tuple[Citation, ...]] = {}
    for block in message.content:
        here: dict[int, list[Citation]] = {}
        for annotation in filter(is_ours, annotations_of(block)):
            number = annotation["extras"]["claim"] - withdrawn
            if number >= 0:
                here.setdefault(number, []).append(_citation(annotation, claims[number]))
        for number, citations in here.items():
            found.setdefault(number, tuple(citations))
    return found


def _citation(annotation: Mapping[str, Any], claim: Mapping[str, Any]) -> Citation:
    extras = annotation["extras"]
    return Citation(
        answer_start=claim["start"],
        answer_end=claim["end"],
        source_index=extras["source_index"],
        source_id=extras.get("source_id"),
        source_start=extras["source_start"],
        source_end=extras["source_end"],
        cited_text=annotation["cited_text"],
        score=extras["score"],
        relevance=extras.get("relevance"),
        title=annotation.get("title"),
        url=annotation.get("url"),
        document_start=extras.get("document_start"),
        document_end=extras.get("document_end"),
        key=extras.get("key"),
        page=extras.get("page"),
        boxes=tuple((left, top, right, bottom) for left, top, right, bottom in extras.get("boxes", ())),
    )


def _claim(answer: str, item: Mapping[str, Any], citations: tuple[Citation, ...], written: Mapping[str, Any]) -> Claim:
    start, end, quoted = item["start"], item["end"], item.get("nearest")
    reasons, support, nearest = tuple(item.get("reasons", ())), item.get("support"), None
    if quoted is not None:
        named = next(source for source in written["sources"] if source["index"] == quoted["source_index"])
        nearest = _citation({**named, "extras": quoted, "cited_text": quoted["text"]}, item)
    return Claim(start, end, answer[start:end], item["label"], item["score"], reasons, support, citations, nearest)


def _quoted(citation: Citation) -> dict[str, Any]:
    return {"text": citation.cited_text, **_present(**described(citation))}


def _blank_sources(written: Mapping[str, Any], found: Attribution) -> tuple[Source, ...]:
    sources, cited = [Source("") for _ in range(written["source_count"])], by_source(found)
    for item in written["sources"]:
        sources[item["index"]] = blank(item, item["index"], cited.get(item["index"], ()))
    return tuple(sources)


def _present(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
