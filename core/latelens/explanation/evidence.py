"""From matches to evidence: the sentences of a chunk that answer the query, and the phrase inside each."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.covering import CLEAR, answered, cover
from latelens.explanation.lexical import Lexical, by_characters
from latelens.explanation.matches import COVERED, Explanation
from latelens.explanation.words import group_rows, query_words, unsplit
from latelens.refusals import check_count, check_is
from latelens.text.characters import words
from latelens.text.sentences import split_sentences

# A further sentence is evidence if two words of the query match there better than in every sentence listed so far by
# `CLEAR` standard deviations of the chunk's similarities, or one word by `_ALONE`. F1 against marked sentences with
# the offline model: SQuAD dev (half for tuning) .879, SciFact train .616, pairs of SQuAD questions joined into one
# .844. The best sentence alone has .885, .591 and .591.
_ALONE = 3.5
# Where no word of a query is matched clearly, as in a paraphrase, those near the best matched one are still listed.
_NEAR_BEST = 0.75


@dataclass(frozen=True)
class EvidenceSpan:
    """A sentence of a chunk that answers part of a query; ``chunk[start:end] == text``.

    Attributes
    ----------
    start, end
        Half-open range of characters of the chunk.
    score
        What the sentence earns, at most 1: for each word of the query the best similarity that a row of this
        sentence reaches, averaged over the word's pieces; then the mean over the words, weighted by how much each
        says on its own (`query_words`).
    drop
        What the chunk's score would lose without this sentence's rows: 0 where others match as well.
    query_words
        The words of the query that this sentence answers, in the order of the query: each word is listed under the
        one of the spans that matches it best. Words that none matches clearly are left out, unless all are so.
    phrase_start, phrase_end
        The part of the sentence, in characters of the chunk and whole words, where the matches are densest.
    source_start, source_end
        The sentence in the whole document, in characters; None where the chunk's place in it is not known.
    lexical
        True where the model cannot read the text, and the sentence, its words and its phrase were chosen by the letters
        that it shares with the query. `score` and `drop` are the model's nevertheless.
    """

    start: int
    end: int
    text: str
    score: float
    drop: float
    query_words: tuple[str, ...]
    phrase_start: int
    phrase_end: int
    source_start: int | None = None
    source_end: int | None = None
    lexical: bool = False


def find_evidence(
    explanation: Explanation,
    *,
    max_spans: int = 3,
    sentences: Sequence[tuple[int, int]] | None = None,
) -> tuple[EvidenceSpan, ...]:
    """Choose the sentences of an explained document that answer the query, the best one first.

    A sentence's score is MaxSim of the query's words over the rows of that sentence, encoded in the context
    of the whole chunk; a word of many pieces counts once, a function word less. Further sentences follow, those
    that add most first, if two words match there clearly better than in the sentences before them, or one very
    clearly: the coverage that a question of several parts needs. Special, marker and expansion rows never make a
    span. `sentences` replaces the built-in splitter: spans of the document's text, in order and disjoint. A
    document without visible text has no evidence.

    Where the model reads too little of the text or of the query (`Explanation.readable`), runs of letters that they
    share choose in its place, if there are any: such spans are `lexical`.
    """
    check_is("explanation", explanation, Explanation, "an Explanation, as explain gives it")
    check_count("max_spans", max_spans)
    text = explanation.document.text
    grouped = _sentences_of(explanation.document, sentences)
    asked = query_words(explanation.query)
    if not len(grouped.sentences) or not len(asked.rows):
        return ()
    similarity = explanation.similarity.take(grouped.rows, axis=1)  # (query rows, rows by sentence) float32
    best = np.maximum.reduceat(similarity, grouped.starts[:-1], axis=1)  # (query rows, sentences) float32
    earned = best[asked.rows]  # (rows of words, sentences) float32
    reached = asked.mean_of_rows(earned)  # (words, sentences) float32
    scores = asked.weights @ reached
    drops = _drops(explanation, best, grouped.rows)
    lexical = _by_characters(explanation, grouped, max_spans)
    if lexical:
        chosen, by_sentence = list(lexical.chosen), lexical.query_words
    else:
        chosen = cover(reached, int(scores.argmax()), asked.weights, explanation.deviation, max_spans, _is_clear)
        by_sentence = answered(asked.words, explanation.strengths_of(best[:, chosen]), _least)
    found = []
    for place, i in enumerate(chosen):
        start, end = grouped.sentences[i].tolist()
        inside_words = words(text[start:end]) + np.int32(start)
        if lexical:
            weights = lexical.weights[place]
        else:
            inside = slice(grouped.starts[i], grouped.starts[i + 1])
            matched = grouped.rows[inside][similarity[asked.rows, inside].argmax(axis=1)]
            weights = _by_word(explanation.document, inside_words, matched, earned[:, i])
        phrase_start, phrase_end = _densest(inside_words, weights) if len(inside_words) else (start, end)
        span = EvidenceSpan(
            start=start,
            end=end,
            text=text[start:end],
            score=float(scores[i]),
            drop=float(drops[i]),
            query_words=by_sentence[place],
            phrase_start=phrase_start,
            phrase_end=phrase_end,
            lexical=lexical is not None,
        )
        found.append(span)
    return tuple(found)


def _is_clear(gains: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which sentences answer two words clearly better, or one much better, (sentences,) of (words, sentences)."""
    clear: NDArray[np.bool_] = ((gains >= CLEAR).sum(axis=0) >= 2) | (gains >= _ALONE).any(axis=0)
    return clear


def _least(best: float) -> float:
    """The strength that answers a word, if `best` is the largest of all words."""
    return min(COVERED, _NEAR_BEST * best)


def _by_characters(explanation: Explanation, grouped: _Sentences, most: int) -> Lexical | None:
    """What letters choose where the model cannot read; None where it can, or no sentence shares letters."""
    if explanation.readable:
        return None
    text = explanation.document.text
    found = by_characters(explanation.query.text, [text[a:b] for a, b in grouped.sentences.tolist()], most=most)
    return found if found.chosen else None


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


# A cached document meets many queries; its sentences go when it goes.
_KNOWN: weakref.WeakKeyDictionary[TokenEmbeddings, _Sentences] = weakref.WeakKeyDictionary()


def _sentences_of(document: TokenEmbeddings, sentences: Sequence[tuple[int, int]] | None) -> _Sentences:
    if sentences is not None:
        return _by_sentence(document, _checked(sentences, document.text))
    known = _KNOWN.get(document)
    if known is None:
        known = _KNOWN[document] = _by_sentence(document, split_sentences(document.text))
    return known


def _by_sentence(document: TokenEmbeddings, spans: Sequence[tuple[int, int]]) -> _Sentences:
    sentences = unsplit(document, np.array(spans, dtype=np.int32).reshape(-1, 2))
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


def _by_word(
    document: TokenEmbeddings, spans: NDArray[np.int32], matched: NDArray[np.intp], earned: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What each word of a sentence earns, (words,), of the words' spans, (words, 2).

    `matched` are the document rows that the query's rows chose in this sentence, (query rows,), `earned` what
    each earns.
    """
    if not len(spans):
        return np.zeros(0)
    position = np.maximum(spans[:, 0].searchsorted(document.spans[matched, 1]) - 1, 0)
    return np.bincount(position, weights=np.maximum(earned, 0), minlength=len(spans)).astype(np.float64)


def _densest(spans: NDArray[np.int32], earned: NDArray[np.float64]) -> tuple[int, int]:
    """Find the run of whole words that gathers the most above the sentence's average word.

    `spans`, (words, 2), and `earned`, (words,), are where each word stands and what it brings. One that brings nothing
    costs the average, so the run ends where matches thin out. Where all words bring the same, the run is all of them.
    """
    weights = earned.tolist()
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
    return int(spans[first, 0]), int(spans[last - 1, 1])
