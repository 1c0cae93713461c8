"""What `TwoStage` asks of a first stage: candidates, found in any way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

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
