"""From matches to evidence: the sentences of a chunk that answer the query, and the phrase inside each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation import Explanation
from latelens.sentences import split_sentences
from latelens.text import words


@dataclass(frozen=True)
class EvidenceSpan:
    """A sentence of a chunk that answers part of a query; ``chunk[start:end] == text``.

    Attributes
    ----------
    start, end
        Half-open range of characters of the chunk.
    score
        What the sentence earns: the sum, over the rows of the query's words, of the best similarity that a row
        of this sentence reaches.
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

    A sentence's score is MaxSim of the query's words over the rows of that sentence, encoded in the context of
    the whole chunk. Sentences that hold no query word's best match are left out, except the best one. Special,
    marker and expansion rows never make a span. `sentences` replaces the built-in splitter: spans of the
    document's text, in order and disjoint. A document without visible text has no evidence.
    """
    if max_spans < 1:
        raise ValueError(f"max_spans must be at least 1, got {max_spans}; use explain='off' for no evidence")
    text = explanation.document.text
    spans = split_sentences(text) if sentences is None else _checked(sentences, text)
    grouped = _group_rows(explanation.document, spans)
    asked = _query_words(explanation.query)
    if not len(grouped.sentences) or not len(asked.rows):
        return ()
    best = np.maximum.reduceat(explanation.similarity[:, grouped.rows], grouped.starts, axis=1)  # (query rows, sentences)
    scores = best[asked.rows].sum(axis=0, dtype=np.float64)
    owners = np.add.reduceat(best[asked.rows], asked.starts, axis=0).argmax(axis=1)  # (words,) index of sentence
    chosen = [int(i) for i in np.argsort(-scores, kind="stable")]
    chosen = [chosen[0], *(i for i in chosen[1:] if i in owners)][:max_spans]
    drops = _drops(explanation, best, grouped)
    return tuple(
        _span(explanation, grouped, asked, i, owners=owners, score=float(scores[i]), drop=float(drops[i]))
        for i in chosen
    )


@dataclass(frozen=True)
class _Sentences:
    """Content rows of a document, sorted by sentence; sentences without a row are left out."""

    sentences: NDArray[np.int32]  # (sentences, 2) spans
    rows: NDArray[np.intp]  # (content rows inside a sentence,)
    starts: NDArray[np.intp]  # (sentences,) where each one's rows begin in `rows`

    def rows_of(self, sentence: int) -> NDArray[np.intp]:
        """Document rows of one sentence."""
        stop = self.starts[sentence + 1] if sentence + 1 < len(self.starts) else len(self.rows)
        return self.rows[self.starts[sentence] : stop]


@dataclass(frozen=True)
class _QueryWords:
    """Content rows of a query, grouped into its words."""

    words: tuple[str, ...]
    rows: NDArray[np.intp]  # (rows that stand for a word,)
    starts: NDArray[np.intp]  # (words,) where each word's rows begin in `rows`


def _checked(sentences: Sequence[tuple[int, int]], text: str) -> Sequence[tuple[int, int]]:
    previous = 0
    for start, end in sentences:
        if not previous <= start < end <= len(text):
            raise ValueError(
                f"sentences must be disjoint spans in order within 0..{len(text)}, got ({start}, {end}) after {previous}"
            )
        previous = end
    return sentences


def _group_rows(document: TokenEmbeddings, spans: Sequence[tuple[int, int]]) -> _Sentences:
    sentences = np.array(spans, dtype=np.int32).reshape(-1, 2)
    rows = document.content_rows()
    starts = document.spans[rows, 0]
    owner = np.searchsorted(sentences[:, 0], starts, side="right") - 1
    inside = (owner >= 0) & (starts < sentences[owner, 1]) if len(sentences) else np.zeros(len(rows), dtype=bool)
    rows, owner = rows[inside], owner[inside]
    order = np.argsort(owner, kind="stable")  # windows overlap, so rows of one sentence may lie apart
    present, first = np.unique(owner[order], return_index=True)
    return _Sentences(sentences[present], rows[order], first)


def _query_words(query: TokenEmbeddings) -> _QueryWords:
    """Words with at least one row; pieces such as ``me ##ga ##her ##bi ##vor ##e`` come together as one."""
    rows = query.content_rows()
    spans = words(query.text)
    if len(spans):
        owner = np.searchsorted(spans[:, 0], query.spans[rows, 1], side="left") - 1
        inside = (owner >= 0) & (query.spans[rows, 0] < spans[owner, 1])
        order = np.argsort(owner[inside], kind="stable")
        rows, owner = rows[inside][order], owner[inside][order]
        present, first = np.unique(owner, return_index=True)
        return _QueryWords(tuple(query.text[start:end] for start, end in spans[present].tolist()), rows, first)
    # A query of punctuation alone: each row is its own word.
    texts = tuple(query.text[start:end] for start, end in query.spans[rows].tolist())
    return _QueryWords(texts, rows, np.arange(len(rows)))


def _drops(explanation: Explanation, best: NDArray[np.float32], grouped: _Sentences) -> NDArray[np.float64]:
    """What the score loses when the rows of one sentence are removed, for each sentence: (sentences,)."""
    rest = np.ones(len(explanation.document), dtype=bool)
    rest[grouped.rows] = False
    groups = best  # (query rows, groups): one column a sentence, and one for all rows outside sentences
    if rest.any():
        groups = np.column_stack([best, explanation.similarity[:, rest].max(axis=1)])
    if groups.shape[1] == 1:
        return np.array([explanation.score])
    query_rows = np.arange(len(groups))
    winner = groups.argmax(axis=1)
    first = groups[query_rows, winner].astype(np.float64)
    others = groups.copy()
    others[query_rows, winner] = -np.inf
    lost = first - others.max(axis=1)
    return np.bincount(winner, weights=lost, minlength=groups.shape[1])[: best.shape[1]]


def _span(
    explanation: Explanation,
    grouped: _Sentences,
    asked: _QueryWords,
    sentence: int,
    *,
    owners: NDArray[np.intp],
    score: float,
    drop: float,
) -> EvidenceSpan:
    start, end = grouped.sentences[sentence].tolist()
    rows = grouped.rows_of(sentence)
    similarity = explanation.similarity[np.ix_(asked.rows, rows)]
    phrase = _densest(explanation.document, start, end, rows[similarity.argmax(axis=1)], similarity.max(axis=1))
    return EvidenceSpan(
        start=start,
        end=end,
        text=explanation.document.text[start:end],
        score=score,
        drop=drop,
        query_words=tuple(asked.words[i] for i in np.flatnonzero(owners == sentence)),
        phrase_start=phrase[0],
        phrase_end=phrase[1],
    )


def _densest(
    document: TokenEmbeddings, start: int, end: int, matched: NDArray[np.intp], similarity: NDArray[np.float32]
) -> tuple[int, int]:
    """The run of whole words that gathers the most similarity above the sentence's average word.

    `matched` are the document rows that the query's rows chose in this sentence, (query rows,), `similarity`
    what each earns. A word that no row chose costs the average, so the run ends where matches thin out.
    """
    text = document.text[start:end]
    spans = words(text)
    if len(spans) < 2:
        return start, end
    position = np.searchsorted(spans[:, 0], document.spans[matched, 0] - start, side="right") - 1
    earned = np.bincount(position.clip(0), weights=similarity.clip(0), minlength=len(spans))
    total = np.append(0.0, np.cumsum(earned - earned.mean()))
    lowest = np.minimum.accumulate(total)
    last = int((total - lowest)[1:].argmax()) + 1
    first = int(total[:last].argmin())
    return start + int(spans[first, 0]), start + int(spans[last - 1, 1])
