"""The methods that the evidence benchmark compares: each chooses sentences of a gold document for a query."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from evidence_tasks import Span, Task
from numpy.typing import NDArray

from latelens import TokenEmbeddings, explain, find_evidence
from latelens.embeddings import TokenKind
from latelens.explanation.matches import Explanation
from latelens.text.characters import words

LIBRARY, RANDOM, LEAVE_ONE_OUT = "latelens", "random", "leave one out"
BASELINES = "A0 winning mass", "A3 in context", "A4 isolated", "A4 words only", "BM25", "idf overlap", "lead sentence"
METHODS = (LIBRARY, *BASELINES, RANDOM, LEAVE_ONE_OUT)


@dataclass(frozen=True)
class Choice:
    """Spans in order, best first; the first `returned` of them are what a reader would be shown as evidence."""

    spans: tuple[Span, ...]
    returned: int = 1


@dataclass(frozen=True)
class Reading:
    """A task with what the encoder made of it."""

    task: Task
    explanation: Explanation
    alone: tuple[TokenEmbeddings, ...]  # each sentence, encoded without the others


def choices(reading: Reading, frequencies: WordFrequencies) -> dict[str, Choice]:
    """What each method chooses; `random` has no choice, it is an expectation over all of them."""
    task = reading.task
    alone = [explain(reading.explanation.query, sentence) for sentence in reading.alone]
    scores = (
        winning_mass(reading.explanation, task.sentences),
        in_context(reading.explanation, task.sentences),
        [sentence.score for sentence in alone],
        [in_context(sentence, [(0, len(sentence.document.text))])[0] for sentence in alone],
        frequencies.bm25(task),
        frequencies.overlap(task),
        [-i for i in range(len(task.sentences))],
    )
    ranked = [Choice(ranking(task.sentences, values)) for values in scores]
    return {LIBRARY: library(reading), **dict(zip(BASELINES, ranked, strict=True))}


def library(reading: Reading) -> Choice:
    """The evidence that latelens returns by default."""
    found = find_evidence(reading.explanation, sentences=reading.task.sentences)
    return Choice(tuple((span.start, span.end) for span in found), returned=len(found))


def ranking(sentences: Sequence[Span], scores: Sequence[float]) -> tuple[Span, ...]:
    """Best first; equal scores keep the order of the text."""
    return tuple(sentences[i] for i in sorted(range(len(sentences)), key=lambda i: -scores[i]))


def inside(document: TokenEmbeddings, span: Span) -> NDArray[np.bool_]:
    """Content rows that share a character with the span, (rows,) bool."""
    start, end = span
    visible = (document.kinds == TokenKind.CONTENT) & (document.spans[:, 0] >= 0)
    return visible & (document.spans[:, 0] < end) & (document.spans[:, 1] > start)


def winning_mass(explanation: Explanation, sentences: Sequence[Span]) -> list[float]:
    """A0: what the matches that a sentence wins bring to the score."""
    rows, best = explanation.similarity.argmax(axis=1), explanation.similarity.max(axis=1)
    masks = [inside(explanation.document, span) for span in sentences]
    return [float(best[mask[rows]].sum(dtype=np.float64)) for mask in masks]


def in_context(explanation: Explanation, sentences: Sequence[Span]) -> list[float]:
    """A3: MaxSim of the rows of the query's words over a sentence's rows in the document's encoding."""
    asked = explanation.similarity[word_rows(explanation.query)]  # (rows of words, document rows) float32
    masks = [inside(explanation.document, span) for span in sentences]
    return [float(asked[:, mask].max(axis=1).sum()) if mask.any() else -math.inf for mask in masks]


def word_rows(query: TokenEmbeddings) -> NDArray[np.bool_]:
    """Rows of the query that touch a word; every content row where no row does, (rows,) bool."""
    masks = [inside(query, (start, end)) for start, end in words(query.text).tolist()]
    found = np.logical_or.reduce(masks) if masks else np.zeros(len(query), dtype=bool)
    return found if found.any() else inside(query, (0, len(query.text)))


class WordFrequencies:
    """Word overlap, weighed by how few documents of the corpus hold a word (BM25 with k1 = 0.9, b = 0.4)."""

    def __init__(self, corpus: Iterable[str]) -> None:
        texts = [set(lower_words(text)) for text in corpus]
        self._count = len(texts)
        self._documents = Counter(word for text in texts for word in text)

    def idf(self, word: str) -> float:
        found = self._documents[word]
        return math.log(1 + (self._count - found + 0.5) / (found + 0.5))

    def overlap(self, task: Task) -> list[float]:
        asked = dict.fromkeys(lower_words(task.query))
        return [math.fsum(self.idf(word) for word in asked if word in held) for held in map(set, _sentences(task))]

    def bm25(self, task: Task, k1: float = 0.9, b: float = 0.4) -> list[float]:
        """BM25 with sentences as documents, their average length within this one, and the corpus' idf."""
        asked, sentences = dict.fromkeys(lower_words(task.query)), [Counter(found) for found in _sentences(task)]
        average = max(sum(found.total() for found in sentences) / len(sentences), 1)
        return [
            math.fsum(
                self.idf(word) * found[word] * (k1 + 1) / (found[word] + k1 * (1 - b + b * found.total() / average))
                for word in asked
            )
            for found in sentences
        ]


def lower_words(text: str) -> list[str]:
    return [text[start:end].lower() for start, end in words(text).tolist()]


def _sentences(task: Task) -> list[list[str]]:
    return [lower_words(task.document.text[start:end]) for start, end in task.sentences]
