"""From matches to evidence: the sentences of a chunk that answer the query, and the phrase inside each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from latelens.explanation.covering import CLEAR, answered, cover
from latelens.explanation.lexical import Lexical, by_characters
from latelens.explanation.matches import COVERED, Explanation, deviations, strengths_in
from latelens.explanation.phrases import find_phrases
from latelens.explanation.segments import edges_of, first_largest, weighted
from latelens.explanation.sentences import SentenceRows, sentence_rows
from latelens.explanation.side_by_side import SideBySide
from latelens.explanation.words import query_words
from latelens.refusals import check_count, check_is

# A further sentence is evidence if two words of the query match there better than in every sentence listed so far by
# `CLEAR` standard deviations of the chunk's similarities, or one word by `_ALONE`. F1 against marked sentences with
# the offline model: SQuAD dev (half for tuning) .879, SciFact train .616, pairs of SQuAD questions joined into one
# .844. The best sentence alone has .885, .591 and .591.
_ALONE = 3.5
# Where no word of a query is matched clearly, as in a paraphrase, those near the best matched one are still listed.
_NEAR_BEST = 0.75
# Rows of documents to look through together: their similarities with 32 query rows take 4 MB.
_BLOCK_ROWS = 1 << 15


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
    return _find([(explanation, sentence_rows(explanation.document, sentences))], max_spans)[0]


def find_all_evidence(explanations: Sequence[Explanation], *, max_spans: int = 3) -> list[tuple[EvidenceSpan, ...]]:
    """`find_evidence` for many documents, at a fraction of the time where they were explained with one query."""
    found: list[tuple[EvidenceSpan, ...]] = []
    for block in _blocks(explanations):
        found += _find([(each, sentence_rows(each.document)) for each in block], max_spans)
    return found


def _blocks(explanations: Sequence[Explanation]) -> Iterator[Sequence[Explanation]]:
    """Runs of documents with one query and at most `_BLOCK_ROWS` rows, or of one that has more."""
    first = rows = 0
    for i, explanation in enumerate(explanations):
        size = explanation.similarity.shape[1]
        rows += size
        if i > first and (rows > _BLOCK_ROWS or explanation.query is not explanations[first].query):
            yield explanations[first:i]
            first, rows = i, size
    if len(explanations) > first:
        yield explanations[first:]


def _find(given: Sequence[tuple[Explanation, SentenceRows]], max_spans: int) -> list[tuple[EvidenceSpan, ...]]:
    found: list[tuple[EvidenceSpan, ...]] = [()] * len(given)
    places = [i for i, (_, rows) in enumerate(given) if len(rows.spans)]
    if not places or not len(query_words(given[0][0].query).rows):
        return found
    pairs = [given[i] for i in places]
    letters = [_by_characters(explanation, rows.spans, max_spans) for explanation, rows in pairs]
    side_by_side = SideBySide([explanation for explanation, _ in pairs], [rows for _, rows in pairs])
    for place, spans in zip(places, _spans(side_by_side, letters, max_spans), strict=True):
        found[place] = spans
    return found


def _spans(texts: SideBySide, letters: Sequence[Lexical | None], max_spans: int) -> Iterator[tuple[EvidenceSpan, ...]]:
    """The evidence of each document; `letters` choose it where the model cannot read."""
    asked = texts.asked
    earned = texts.best[asked.rows]  # (rows of words, sentences) float32
    reached = asked.mean_of_rows(earned)  # (words, sentences) float32
    scores, drops = weighted(asked.weights, reached), texts.drops()
    chosen = _chosen(texts, reached, scores, max_spans)
    by_letters = {i: found for i, found in enumerate(letters) if found is not None}
    for i, found in by_letters.items():
        chosen[i] = [int(texts.edges[i]) + sentence for sentence in found.chosen]
    listed = np.array([sentence for each in chosen for sentence in each])
    counts = np.array([len(each) for each in chosen])
    edges, owners = edges_of(counts), np.arange(len(chosen)).repeat(counts)
    answers = answered(asked.words, strengths_in(texts.explanations, texts.best[:, listed], owners), edges, _least)
    weights: dict[int, NDArray[np.float64]] = {}
    for i, found in by_letters.items():
        answers[edges[i] : edges[i + 1]] = found.query_words
        weights |= dict(enumerate(found.weights, int(edges[i])))
    places, sentences = texts.spans[listed], texts.texts_of(listed, owners)
    phrases = find_phrases(sentences, places, texts.matched(listed), earned[:, listed], weights)
    spans = [
        EvidenceSpan(start, end, text, score, drop, words, phrase[0], phrase[1], lexical=owner in by_letters)
        for (start, end), text, score, drop, words, phrase, owner in zip(
            places.tolist(),
            sentences,
            scores[listed].tolist(),
            drops[listed].tolist(),
            answers,
            phrases.tolist(),
            owners.tolist(),
            strict=True,
        )
    ]
    return (tuple(spans[first:last]) for first, last in pairwise(edges.tolist()))


def _chosen(
    texts: SideBySide, reached: NDArray[np.float32], scores: NDArray[np.float64], max_spans: int
) -> list[list[int]]:
    """The sentences of each document that are evidence, the best first; counted through all documents."""
    firsts = first_largest(scores, texts.edges)
    spread = deviations(texts.explanations)
    return cover(reached, texts.edges, firsts, texts.asked.weights, spread, max_spans, _is_clear)


def _is_clear(gains: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which sentences answer two words clearly better, or one much better, (sentences,) of (words, sentences)."""
    clear: NDArray[np.bool_] = ((gains >= CLEAR).sum(axis=0) >= 2) | (gains >= _ALONE).any(axis=0)
    return clear


def _least(best: NDArray[np.float64]) -> NDArray[np.float64]:
    """The strength that answers a word, if `best` is the largest of all words; of each document."""
    return np.minimum(COVERED, _NEAR_BEST * best)


def _by_characters(explanation: Explanation, sentences: NDArray[np.int32], most: int) -> Lexical | None:
    """What letters choose where the model cannot read; None where it can, or no sentence shares letters."""
    if explanation.readable:
        return None
    text = explanation.document.text
    found = by_characters(explanation.query.text, [text[a:b] for a, b in sentences.tolist()], most=most)
    return found if found.chosen else None
