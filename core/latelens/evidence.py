"""From matches to evidence: the sentences of a chunk that answer the query, and the phrase inside each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation import Explanation
from latelens.query_words import group_rows, query_words
from latelens.sentences import split_sentences
from latelens.text import words

# A second sentence is evidence if it earns this share of what the best one earns, or if the chunk would lose this
# share of its score without it. Against every sentence that holds a best match, F1 against marked sentences rose
# from .62 to .83 (SQuAD dev, the half for tuning) and from .48 to .52 (SciFact train), with the offline model.
_NEAR, _NEEDED = 0.85, 0.1


@dataclass(frozen=True)
class EvidenceSpan:
    """A sentence of a chunk that answers part of a query; ``chunk[start:end] == text``.

    Attributes
    ----------
    start, end
        Half-open range of characters of the chunk.
    score
        What the sentence earns: the sum, over the rows of the query's words, of the best similarity that a
        row of this sentence reaches.
    drop
        What the chunk's score would lose without this sentence's rows: 0 where others match as well.
    query_words
        The words of the query that find their best match in this sentence, in the order of the query.
    phrase_start, phrase_end
        The part of the sentence, in characters of the chunk and whole words, where the matches are densest.
    """

    start: int
    end: int
    text: str
    score: float
    drop: float
    query_words: tuple[str, ...]
    phrase_start: int
    phrase_end: int


def find_evidence(
    explanation: Explanation,
    *,
    max_spans: int = 3,
    sentences: Sequence[tuple[int, int]] | None = None,
) -> tuple[EvidenceSpan, ...]:
    """Rank the sentences of an explained document by what they answer, best first.

    A sentence's score is MaxSim of the query's words over the rows of that sentence, encoded in the context
    of the whole chunk. Further sentences follow the best one if they hold a word's best match, and earn nearly
    as much as the best one or are needed for the chunk's score. A word that matches nothing, with no similarity
    above 0, belongs to no sentence. Special, marker and expansion rows never make a span. `sentences` replaces
    the built-in splitter: spans of the document's text, in order and disjoint. A document without visible text
    has no evidence.
    """
    if max_spans < 1:
        raise ValueError(f"max_spans must be at least 1, got {max_spans}; use explain='off' for no evidence")
    text = explanation.document.text
    spans = split_sentences(text) if sentences is None else _checked(sentences, text)
    grouped = _by_sentence(explanation.document, spans)
    asked = query_words(explanation.query)
    if not len(grouped.sentences) or not len(asked.rows):
        return ()
    similarity = explanation.similarity.take(grouped.rows, axis=1)  # (query rows, rows by sentence) float32
    best = np.maximum.reduceat(similarity, grouped.starts[:-1], axis=1)  # (query rows, sentences) float32
    earned = best[asked.rows]  # (rows of words, sentences) float32
    scores = earned.sum(axis=0, dtype=np.float64)
    reached = np.add.reduceat(earned, asked.starts, axis=0)  # (words, sentences) float32
    owners = np.where(reached.max(axis=1) > 0, reached.argmax(axis=1), -1).tolist()  # each word's sentence
    drops = _drops(explanation, best, grouped.rows)
    top, *others = np.argsort(-scores, kind="stable").tolist()
    needed = (scores >= _NEAR * scores[top]) | (drops >= _NEEDED * explanation.score)
    found = []
    for i in [top, *(i for i in others if i in owners and needed[i])][:max_spans]:
        start, end = grouped.sentences[i].tolist()
        inside = slice(grouped.starts[i], grouped.starts[i + 1])
        matched = grouped.rows[inside][similarity[:, inside].argmax(axis=1)[asked.rows]]
        phrase_start, phrase_end = _densest(explanation.document, start, end, matched, earned[:, i])
        span = EvidenceSpan(
            start=start,
            end=end,
            text=text[start:end],
            score=float(scores[i]),
            drop=float(drops[i]),
            query_words=tuple(word for word, owner in zip(asked.words, owners, strict=True) if owner == i),
            phrase_start=phrase_start,
            phrase_end=phrase_end,
        )
        found.append(span)
    return tuple(found)


@dataclass(frozen=True)
class _Sentences:
    """Content rows of a document, sorted by sentence; sentences without a row are left out."""

    sentences: NDArray[np.int32]  # (sentences, 2) spans
    rows: NDArray[np.intp]  # (content rows inside a sentence,)
    starts: NDArray[np.intp]  # (sentences + 1,) where each one's rows begin in `rows`, and the end


def _checked(sentences: Sequence[tuple[int, int]], text: str) -> Sequence[tuple[int, int]]:
    previous = 0
    for start, end in sentences:
        if not previous <= start < end <= len(text):
            raise ValueError(
                f"sentences must be disjoint spans in order within 0..{len(text)}, "
                f"got ({start}, {end}) after {previous}"
            )
        previous = end
    return sentences


def _by_sentence(document: TokenEmbeddings, spans: Sequence[tuple[int, int]]) -> _Sentences:
    sentences = np.array(spans, dtype=np.int32).reshape(-1, 2)
    rows, present, starts = group_rows(document, sentences)
    return _Sentences(sentences[present], rows, starts)


def _drops(explanation: Explanation, best: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """For each sentence, what the score loses when its rows are removed: (sentences,)."""
    # One column a sentence, and one for all rows outside sentences: (query rows, sentences + 1) float32.
    groups = np.full((len(best), best.shape[1] + 1), -np.inf, dtype=np.float32)
    groups[:, :-1] = best
    if len(rows) < len(explanation.document):
        rest = np.ones(len(explanation.document), dtype=bool)
        rest[rows] = False
        explanation.similarity[:, rest].max(axis=1, out=groups[:, -1])
    elif best.shape[1] == 1:
        return np.array([explanation.score])  # nothing would be left
    winner = groups.argmax(axis=1)
    second, first = np.partition(groups, -2, axis=1)[:, -2:].T.astype(np.float64)
    lost = np.bincount(winner, weights=first - second, minlength=groups.shape[1])
    return lost[:-1].astype(np.float64)


def _densest(
    document: TokenEmbeddings, start: int, end: int, matched: NDArray[np.intp], earned: NDArray[np.float32]
) -> tuple[int, int]:
    """Find the run of whole words that gathers the most similarity above the sentence's average word.

    `matched` are the document rows that the query's rows chose in this sentence, (query rows,), `earned` what
    each earns. A word that no row chose costs the average, so the run ends where matches thin out. Where all
    words earn the same, the run is all of them.
    """
    spans = words(document.text[start:end])
    if not len(spans):
        return start, end
    position = np.maximum(spans[:, 0].searchsorted(document.spans[matched, 1] - start) - 1, 0)
    weights = np.bincount(position, weights=np.maximum(earned, 0), minlength=len(spans)).tolist()
    average = sum(weights) / len(weights)
    first, last, most = 0, len(weights), 1e-6  # above rounding
    total = lowest = 0.0
    begin = 0
    for i, weight in enumerate(weights, 1):
        total += weight - average
        if total - lowest > most:
            first, last, most = begin, i, total - lowest
        if total < lowest:
            begin, lowest = i, total
    return start + int(spans[first, 0]), start + int(spans[last - 1, 1])
