"""Candidates from a framework's chunks, which need no id and may hold values that are no JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from latelens.index.protocol import Chunk
from latelens.index.stages.first_stage import Candidate


def candidate(text: str, metadata: Mapping[str, Any], *, id: str | None = None, score: object = None) -> Candidate:
    """A candidate from a framework's parts.

    Without an id, one is made of the text and the metadata. Values that are no JSON become str; numbers of numpy
    become numbers, those that are not finite None.
    """
    plain = {str(key): _as_json(value) for key, value in metadata.items()}
    given = _as_json(score)
    number = float(given) if isinstance(given, int | float) and not isinstance(given, bool) else None
    return Candidate(Chunk(id or content_id(text, plain), text, plain), number)


def content_id(text: str, metadata: Mapping[str, Any]) -> str:
    """An id for what has none: 32 hexadecimal digits of the text and the metadata."""
    described = json.dumps([text, dict(metadata)], ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_as_json(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _as_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
