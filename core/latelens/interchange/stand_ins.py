"""Sources without their texts: small enough to travel with an answer, and enough to read its citations again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from latelens.attribution.citations import Attribution, Citation, Source

_NAMES = ("id", "title", "url", "start")


def without_text(source: Source, cited: Iterable[Citation]) -> dict[str, Any]:
    """What a source is called, how long it is, and what of its shown metadata is cited, as JSON."""
    named = {name: getattr(source, name) for name in _NAMES}
    keys = {citation.key for citation in cited}
    shown = {key: value for key, value in source.shown.items() if key in keys}
    more: dict[str, Any] = {"shown": shown} if shown else {}
    if source.by_model:
        more["by_model"] = True
    return {"length": len(source.text), **{name: value for name, value in named.items() if value is not None}, **more}


def by_source(attribution: Attribution) -> dict[int, list[Citation]]:
    """For each source that is cited, or has a claim's nearest sentence, what is quoted from it."""
    found: dict[int, list[Citation]] = {}
    for claim in attribution.claims:
        for citation in (*claim.citations, *((claim.nearest,) if claim.nearest else ())):
            found.setdefault(citation.source_index, []).append(citation)
    return found


def blank(item: Mapping[str, Any], index: int, citations: Iterable[Citation]) -> Source:
    """The source again, holding what was cited from it, at its place, and blanks elsewhere."""
    text = [" "] * item["length"]
    for citation in citations:
        if citation.source_index == index and citation.key is None:
            text[citation.source_start : citation.source_end] = citation.cited_text
    named: dict[str, Any] = {name: item.get(name) for name in _NAMES}
    return Source("".join(text), **named, shown=item.get("shown", {}), by_model=item.get("by_model", False))


def fits(items: Sequence[Mapping[str, Any]], sources: Sequence[Source]) -> bool:
    """Whether the sources are those that were written without their texts, as far as their lengths tell."""
    lengths = [len(item["text"]) if "text" in item else item["length"] for item in items]
    return lengths == [len(source.text) for source in sources]
