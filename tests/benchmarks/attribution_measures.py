"""The measures of the attribution benchmark, and the methods that score a claim against passages.

A method gives one number to a claim and a set of passages. AUROC is the chance that an attributable claim gets a
higher one than another claim (equal ones count half). A set of several passages is scored in two ways, the same for
every method: "together", and "one by one", the mean over the passages: people reject a set if one of its passages
does not back the claim (among claims that cite three passages or more, "together" is at .53, "one by one" at .59).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from time import perf_counter

import numpy as np
from evidence_methods import WordFrequencies, lower_words
from evidence_table import Estimate
from numpy.typing import NDArray

from latelens import EmbeddingCache, Encoder, TokenEmbeddings
from latelens.attribution import Attribution, Source, attribute
from latelens.attribution.claims import split_claims
from latelens.text.sentences import split_sentences

LIBRARY, OVERLAP, DENSE, MAXSIM = "latelens", "idf overlap", "dense cosine", "raw mean MaxSim"
METHODS = (LIBRARY, OVERLAP, DENSE, MAXSIM)
Score = Callable[[str, Sequence[str]], float]


@dataclass(frozen=True)
class Remembering:
    """An encoder that encodes no text twice, claims among them: the benchmark asks for the same ones many times."""

    encoder: Encoder
    cache: EmbeddingCache

    def __getattr__(self, name: str) -> object:
        return getattr(self.encoder, name)

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return self.cache.encode_queries(self.encoder, texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        return self.cache.encode_documents(self.encoder, texts, show_progress=show_progress)


def methods(encoder: Encoder, frequencies: WordFrequencies) -> dict[str, Score]:
    """Each method's score of a claim against passages."""
    return {
        LIBRARY: lambda claim, passages: score_of(attribute(claim, passages, encoder)),
        OVERLAP: lambda claim, passages: overlap(claim, passages, frequencies),
        DENSE: lambda claim, passages: dense(claim, passages, encoder),
        MAXSIM: lambda claim, passages: mean_maxsim(claim, passages, encoder),
    }


def kinds_methods(encoder: Encoder, frequencies: WordFrequencies) -> dict[str, Score]:
    """The simple ways to score a claim against passages."""
    return {
        OVERLAP: lambda claim, passages: overlap(claim, passages, frequencies),
        MAXSIM: lambda claim, passages: mean_maxsim(claim, passages, encoder),
        "BM25 sentence": lambda claim, passages: bm25_share(claim, passages, frequencies),
        "dense sentence": lambda claim, passages: dense_sentence(claim, passages, encoder),
    }


def bm25_share(claim: str, passages: Sequence[str], frequencies: WordFrequencies) -> float:
    """BM25 of the best sentence, divided by what the claim itself would have: unlike claims compare."""
    sentences = [text[start:end] for text in passages for start, end in split_sentences(text)]
    own = bm25_of(claim, [claim], frequencies)
    return bm25_of(claim, sentences, frequencies) / own if own else 0.0


def bm25_of(
    claim: str, sentences: Sequence[str], frequencies: WordFrequencies, k1: float = 0.9, b: float = 0.4
) -> float:
    """BM25 of the best sentence, with an average length of 25 words."""
    asked, best = dict.fromkeys(lower_words(claim)), 0.0
    for sentence in sentences:
        held = Counter(lower_words(sentence))
        length = k1 * (1 - b + b * held.total() / 25)
        values = (frequencies.idf(word) * held[word] * (k1 + 1) / (held[word] + length) for word in asked)
        best = max(best, math.fsum(values))
    return best


def dense_sentence(claim: str, passages: Sequence[str], encoder: Encoder) -> float:
    """Highest cosine of mean vectors with a sentence, encoded alone."""
    sentences = [text[start:end] for text in passages for start, end in split_sentences(text)]
    if not sentences:
        return 0.0
    query, *others = (mean_vector(found) for found in encoder.encode_documents([claim, *sentences]))
    return max(float(query @ other) for other in others)


def score_of(found: Attribution) -> float:
    """Mean over the checkable claims; 0 where there is none."""
    scores = [claim.score for claim in found.claims if claim.label != "not_checkable"]
    return fmean(scores) if scores else 0.0


def overlap(claim: str, passages: Sequence[str], frequencies: WordFrequencies) -> float:
    """Share of the claim's words, by idf, that stand in the passages."""
    asked, held = set(lower_words(claim)), {word for passage in passages for word in lower_words(passage)}
    total = math.fsum(map(frequencies.idf, asked))
    return math.fsum(map(frequencies.idf, asked & held)) / total if total else 0.0


def dense(claim: str, passages: Sequence[str], encoder: Encoder) -> float:
    """Highest cosine of mean vectors with a passage or one of its sentences."""
    texts = [*passages, *(text[start:end] for text in passages for start, end in split_sentences(text))]
    query, *others = (mean_vector(found) for found in encoder.encode_documents([claim, *texts]))
    return max(float(query @ other) for other in others)


def mean_maxsim(claim: str, passages: Sequence[str], encoder: Encoder) -> float:
    """MaxSim over the rows of all passages, divided by the claim's rows."""
    query, *others = encoder.encode_documents([claim, *passages])
    rows = np.concatenate([other.vectors for other in others])
    return float((query.vectors @ rows.T).max(axis=1).mean())


def mean_vector(found: TokenEmbeddings) -> NDArray[np.float32]:
    mean = found.vectors.mean(axis=0)
    unit: NDArray[np.float32] = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return unit


class Resamples:
    """Draws of the questions, with all claims of each: claims of one answer are not independent."""

    def __init__(self, questions: Sequence[str], *, seed: int, count: int = 1000) -> None:
        names = {name: i for i, name in enumerate(dict.fromkeys(questions))}
        self._owner = np.array([names[name] for name in questions])
        self._drawn = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), size=count)

    def estimate(self, measure: Callable[[NDArray[np.float64]], float]) -> Estimate:
        """A measure of weighted claims, with the 95 % interval of 1,000 draws."""
        value = measure(np.ones(len(self._owner)))
        if not math.isfinite(value):
            return Estimate(math.nan, math.nan, math.nan, 0)
        drawn = [measure(weights[self._owner].astype(np.float64)) for weights in self._drawn]
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        return Estimate(value, float(low), float(high), len(self._owner))


def speed(encoder: Encoder, passages: Sequence[str], sentences: Sequence[str], *, rounds: int) -> dict[str, float]:
    """Medians, in seconds, of attributing 10 claims to cached sources and of encoding the same 10, in turns."""
    answer = "\n\n".join(sentences)
    claims = [claim.statement for claim in split_claims(answer) if claim.checkable]
    cache, sources = EmbeddingCache(), [Source(text) for text in passages]
    encoding, attributing = [], []
    for _ in range(rounds + 1):
        started = perf_counter()
        encoder.encode_documents(claims)
        between = perf_counter()
        attribute(answer, sources, encoder, cache=cache)
        encoding.append(between - started)
        attributing.append(perf_counter() - between)
    pairs = list(zip(attributing, encoding, strict=True))[1:]  # the first round fills the cache
    return {
        "claims": len(claims),
        "sources": len(sources),
        "attribute": median(both[0] for both in pairs),
        "encode claims": median(both[1] for both in pairs),
        "ratio": median(both[0] / both[1] for both in pairs),
    }
