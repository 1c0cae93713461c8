"""What `TwoStage` asks of a first stage: candidates, found in any way."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from latelens.explanation.matches import Explanation
from latelens.index.protocol import Chunk, Filter


@dataclass(frozen=True, eq=False)
class Candidate:
    """A chunk that a first stage proposes.

    Attributes
    ----------
    score
        What the first stage gives it, on its own scale; None where it gives nothing.
    stages
        Scores of stages before that one, in their order.
    explanation
        Exact MaxSim, where the first stage has computed it already; None lets `TwoStage` do so.
    """

    chunk: Chunk
    score: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    explanation: Explanation | None = None


@runtime_checkable
class FirstStage(Protocol):
    """Finds candidates. With a coroutine `acandidates` of the same arguments it is awaited where the caller can.

    Attributes
    ----------
    name
        Under which its scores stand in `Hit.stages`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    def candidates(self, query: str, k: int, filter: Filter | None) -> Sequence[Candidate]:
        """At most `k` candidates, best first. What does not fulfil the filter is left out afterwards in any case."""
        ...


def candidate(text: str, metadata: Mapping[str, Any], *, id: str | None = None, score: object = None) -> Candidate:
    """A candidate from a framework's parts, which need no id and may hold values that are no JSON.

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
