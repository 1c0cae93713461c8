"""Sources without their texts: small enough to travel with an answer, and enough to read its citations again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from latelens.attribution.citations import Citation, Source

_NAMES = ("id", "title", "url", "start")


def without_text(source: Source) -> dict[str, Any]:
    """What a source is called and how long it is, as JSON."""
    named = {name: getattr(source, name) for name in _NAMES}
    shown = {"shown": dict(source.shown)} if source.shown else {}
    return {"length": len(source.text), **{name: value for name, value in named.items() if value is not None}, **shown}


def blank(item: Mapping[str, Any], index: int, citations: Iterable[Citation]) -> Source:
    """The source again, holding what was cited from it, at its place, and blanks elsewhere."""
    text = [" "] * item["length"]
    for citation in citations:
        if citation.source_index == index and citation.key is None:
            text[citation.source_start : citation.source_end] = citation.cited_text
    return Source("".join(text), **{name: item.get(name) for name in _NAMES}, shown=item.get("shown", {}))


def fits(items: Sequence[Mapping[str, Any]], sources: Sequence[Source]) -> bool:
    """Whether the sources are those that were written without their texts, as far as their lengths tell."""
    lengths = [len(item["text"]) if "text" in item else item["length"] for item in items]
    return lengths == [len(source.text) for source in sources]
