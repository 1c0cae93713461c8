"""Metadata that is read before a chunk's text: it counts in the score, while evidence stays in the bare text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latelens.embeddings import moved
from latelens.explanation.evidence import EvidenceSpan
from latelens.explanation.matches import COVERED, Explanation
from latelens.explanation.words import query_words


@dataclass(frozen=True)
class Headed:
    """A chunk's text behind lines of its metadata.

    Attributes
    ----------
    text
        What is encoded.
    bare
        The chunk's own text, which `text` ends with.
    keys
        Each line's key, with the line's place in `text`.
    """

    text: str
    bare: str
    keys: tuple[tuple[str, int, int], ...] = ()


def headed(bare: str, lines: Sequence[tuple[str, str]]) -> Headed:
    r"""Put lines, each with its key, and an empty line before a text; without lines the text as it is.

    >>> headed("It opens at nine.", [("title", "title: Louvre")]).text
    'title: Louvre\n\nIt opens at nine.'
    """
    if not lines:
        return Headed(bare, bare)
    keys, start = [], 0
    for key, line in lines:
        keys.append((key, start, start + len(line)))
        start += len(line) + 1
    return Headed("\n".join(line for _, line in lines) + "\n\n" + bare, bare, tuple(keys))


def in_bare_text(explanation: Explanation, chunk: Headed) -> Explanation:
    """The same rows and the same score, each place a character of the bare text; rows of metadata have none there."""
    if not chunk.keys:
        return explanation
    rows, before = explanation.document, len(chunk.text) - len(chunk.bare)
    spans = moved(rows.spans, -before)
    behind = None if rows.pooled is None else rows.pooled.moved(-before)
    return replace(explanation, document=replace(rows, text=chunk.bare, spans=spans, pooled=behind))


def matches_in_metadata(explanation: Explanation, chunk: Headed) -> list[dict[str, Any]]:
    """For each key, the words of the query that match there, and more clearly than in the bare text; as JSON.

    `explanation` is that of the whole text, before `in_bare_text`.
    """
    asked = query_words(explanation.query)
    parts = [*chunk.keys, ("", len(chunk.text) - len(chunk.bare), len(chunk.text) + 1)]
    starts = explanation.document.spans[:, 0]
    best = np.stack([_best(explanation, (starts >= start) & (starts < end)) for _, start, end in parts], axis=1)
    strengths = explanation.strengths_of(best)  # (words, keys and the bare text)
    found = []
    for i, (key, start, end) in enumerate(chunk.keys):
        here = [j for j in range(len(asked.words)) if strengths[j].argmax() == i and strengths[j, i] >= COVERED]
        if here:
            words = [asked.words[j] for j in here]
            found.append({"key": key, "text": chunk.text[start:end], "query_words": words})
    return found


def without_words(
    evidence: Sequence[EvidenceSpan], in_metadata: Sequence[Mapping[str, Any]]
) -> tuple[EvidenceSpan, ...]:
    """The evidence without the words that match in metadata: a sentence in their context is like them, no more."""
    elsewhere = {word for found in in_metadata for word in found["query_words"]}
    return tuple(
        replace(span, query_words=tuple(word for word in span.query_words if word not in elsewhere))
        for span in evidence
    )


def _best(explanation: Explanation, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The best similarity of each query row among some rows, (query rows,) float32; -1 where there are none."""
    if not rows.any():
        return np.full(len(explanation.query), -1, dtype=np.float32)
    best: np.ndarray[Any, np.dtype[np.float32]] = explanation.similarity[:, rows].max(axis=1)
    return best
