"""Is the first sentence that is cited one that people marked? Beside simple ways to choose it."""

from __future__ import annotations

import numpy as np
from attribution_kinds_tasks import Kind, Span
from attribution_measures import LIBRARY, Resamples, bm25_of, mean_vector
from evidence_methods import WordFrequencies
from evidence_table import Estimate

from latelens import Encoder
from latelens.attribution import attribute
from latelens.attribution.sentence_pool import pool_sentences
from latelens.explanation.words import query_words
from latelens.maxsim import maxsim


def first_citations(kind: Kind, encoder: Encoder, *, seed: int) -> dict[str, Estimate]:
    """Share of marked claims whose first sentence by each method is a marked one."""
    frequencies = WordFrequencies(kind.claims.passages.values())
    pairs = [pair for pair in kind.claims.pairs if pair.id in kind.marked]
    hits: dict[str, list[float]] = {}
    for pair in pairs:
        text = kind.claims.passages[pair.cited[0]]
        for method, span in _choices(pair.claim, text, encoder, frequencies).items():
            hits.setdefault(method, []).append(float(_inside(span, kind.marked[pair.id])))
    draws = Resamples([pair.question for pair in pairs], seed=seed)
    return {
        method: draws.estimate(lambda weights, x=values: float((weights @ x) / weights.sum()))
        for method, values in hits.items()
    }


def _choices(claim: str, text: str, encoder: Encoder, frequencies: WordFrequencies) -> dict[str, Span]:
    query, document = encoder.encode_documents([claim, text])
    pool, asked = pool_sentences([document]), query_words(query)
    best = maxsim(query.vectors, pool.rows).similarities.T[asked.rows]  # (rows of words, sentences) float32
    matched = np.add.reduceat(best, asked.starts, axis=0) / asked.counts[:, None]  # (words, sentences)
    idf = np.array([frequencies.idf(word.lower()) for word in asked.words])
    spans = [(start, end) for start, end in pool.spans.tolist()]
    alone = encoder.encode_documents([text[start:end] for start, end in spans])
    dense = [float(mean_vector(query) @ mean_vector(sentence)) for sentence in alone]
    scores = {
        "MaxSim, query weights": asked.weights @ matched,
        "MaxSim, idf": idf @ matched,
        "mean MaxSim": matched.mean(axis=0),
        "BM25": [bm25_of(claim, [text[start:end]], frequencies) for start, end in spans],
        "dense sentence": dense,
    }
    (first, *_) = attribute(claim, [text], encoder).claims
    cited = next(iter(first.citations), first.nearest)
    ours = (-1, -1) if cited is None else (cited.source_start, cited.source_end)
    return {LIBRARY: ours, **{method: spans[int(np.argmax(values))] for method, values in scores.items()}}


def _inside(span: Span, marked: tuple[Span, ...]) -> bool:
    """Whether at least half of the shorter one is common to both."""
    start, end = span
    return any(min(end, b) - max(start, a) > 0.5 * min(end - start, b - a) for a, b in marked)
