"""The attributions of an answer's fields as plain JSON, to travel with the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latelens.attribution.citations import Attribution, Source
from latelens.interchange.own_json import VERSION, from_json, to_json

_SHARED = ("version", "sources", "model", "verifier")


def fields_json(found: Mapping[str, Attribution]) -> dict[str, Any]:
    """Attributions of fields to the same sources as small JSON, without the sources' texts."""
    written = {path: to_json(attribution, source_texts=False) for path, attribution in found.items()}
    sources: list[dict[str, Any]] = []
    for one in written.values():
        sources = sources or one["sources"]
        for known, source in zip(sources, one["sources"], strict=True):
            if shown := {**known.get("shown", {}), **source.get("shown", {})}:
                known["shown"] = shown
    fields = {path: {key: one[key] for key in one if key not in _SHARED} for path, one in written.items()}
    one = next(iter(written.values()), {"model": None, "verifier": None})
    return {
        "version": VERSION,
        "fields": fields,
        "sources": sources,
        "model": one["model"],
        "verifier": one["verifier"],
    }


def fields_from_json(written: Mapping[str, Any], sources: Sequence[Source] | None = None) -> dict[str, Attribution]:
    """What `fields_json` wrote; without `sources`, each holds what was cited from it and blanks elsewhere."""
    shared = {key: written[key] for key in _SHARED}
    return {path: from_json({**shared, **one}, sources) for path, one in written["fields"].items()}
