"""The rest of an attribution, which a message's citations cannot hold: what they leave out, in small JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage

from langchain_latelens.annotations import VERSION, annotations_of, described, digest, is_ours
from langchain_latelens.sources import to_sources
from latelens.attribution.citations import Attribution, Citation, Claim, Source
from latelens.bridge.metadata import KEY
from latelens.interchange.checking import checked
from latelens.interchange.stand_ins import blank, by_source, without_text


def record(attribution: Attribution, before: Mapping[str, Any], metadata_keys: Sequence[str]) -> dict[str, Any]:
    """What the annotations cannot hold: claims with their labels, what the sources are called, how to strip.

    Small JSON: neither the answer nor the sources' texts. `before` is what `describe` said of the message,
    `metadata_keys` say what else of the sources was citable.
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
        "before": dict(before),
    }


def read(message: AIMessage, sources: Iterable[Any] | None) -> Attribution | None:
    """The attribution that a message carries; None where it carries none.

    Without `sources`, a source holds what was cited from it, at its place, and blanks elsewhere.
    """
    written = message.response_metadata.get(KEY)
    if written is None:
        return None
    if written.get("version") != VERSION:
        raise ValueError(
            f"these citations have version {written.get('version')!r} and this latelens reads version {VERSION}: "
            "run `pip install --upgrade latelens`, or attach them again"
        )
    answer = str(message.text)
    if written["answer"] != digest(answer):
        raise ValueError("the message's text has changed since it was cited: attach the citations again")
    citations = _citations(message, written["claims"])
    claims = tuple(
        _claim(answer, item, citations.get(number, ()), written) for number, item in enumerate(written["claims"])
    )
    found = Attribution(answer, (), claims, written["model"], written["verifier"])
    if sources is None:
        return checked(replace(found, sources=_blank_sources(written, found)))
    return checked(replace(found, sources=tuple(to_sources(sources, written.get("metadata_keys", ())))))


def _citations(message: AIMessage, claims: Sequence[Mapping[str, Any]]) -> dict[int, tuple[Citation, ...]]:
    """Our citations by claim; a claim that goes on in the next block repeats them there."""
    found: dict[int, tuple[Citation, ...]] = {}
    for block in message.content:
        here: dict[int, list[Citation]] = {}
        for annotation in filter(is_ours, annotations_of(block)):
            number = annotation["extras"]["claim"]
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
