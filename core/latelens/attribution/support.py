"""How well the sentences of many sources together bear a claim, and which of them do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from latelens.attribution.guards import numbers
from latelens.attribution.guards.negation import is_negator, is_small_word
from latelens.attribution.guards.reading import language_of, plain
from latelens.attribution.sentence_pool import SentencePool, pool_sentences
from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import COVERED
from latelens.explanation.words import QueryWords, query_words
from latelens.maxsim import maxsim

__all__ = ["Support", "find_support", "pool_sentences"]

# Tuned on the half of HAGRID's claims with sha1 of the id in 0-7 (AUROC, passages judged one by one), reported on
# the other half by tests/benchmarks/attribution.py.
# Similarity alone .873 (it takes Linda for Laura), same words alone .876, both halves .880.
_SIMILARITY = 0.5
# A word weighs (1 - s)^2 as in `query_words`, squared again: .883 against .880.
_SHARPNESS = 2
# A number weighs five times as much, and another number does not bear it at all however similar its
# vector is: .893; three times .891, nine times the same.
_NUMBER = 4
# A further sentence must bear more of the claim than this, one in a further source more than both: many sentences
# find something for every claim. Among 20 passages 97 % of the citations are right, 93 % with .02 and .05; AUROC .888.
_FURTHER_SENTENCE, _FURTHER_SOURCE = 0.05, 0.1
_ENOUGH = 3  # more bear hardly anything: 5 have .879 where 3 have .880, one alone has .859
# Claim rows to multiply at a time: bounds the memory of a book-long answer.
_CLAIM_ROWS = 1024
_SPEAKS = 0.8  # as in `Explanation.uncovered`
Floats: TypeAlias = NDArray[np.floating[Any]]
# A sentence that holds a number must bear the words around it this well, beside the sentence that bears them best:
# "Lunch costs eleven euros" does not bear "Guided tours start at eleven". A word that is n words away counts .8^n.
# One that bears the claim without its numbers about as well as any does hold them, too.
_SAME_WORDS, _NEAR, _SAME_CLAIM = 0.55, 0.8, 0.9


@dataclass(frozen=True)
class Support:
    """What bears a claim.

    Attributes
    ----------
    score
        Share of the claim, 0..1 by weight of its words, that up to `_ENOUGH` sentences bear.
    sentences
        Indices into the pool, best first.
    likeness
        The same share where a number weighs no more than any other word: how much is said of the same things, be it
        with another number.
    similarities
        For each of the sentences, MaxSim of the claim's words in it, at most 1, as `EvidenceSpan.score`.
    missing
        The words of the claim that none of the sentences bears, in its order; function words are left out.
    displaced
        Places in the claim of numbers that stand only in sentences which say something else.
    """

    score: float
    likeness: float
    sentences: tuple[int, ...]
    similarities: tuple[float, ...]
    missing: tuple[str, ...] = ()
    displaced: tuple[tuple[int, int], ...] = ()


def find_support(claims: Sequence[TokenEmbeddings], pool: SentencePool, *, most: int) -> Iterator[Support]:
    """What bears each claim: one result a claim, with `most` sentences at most.

    A word of the claim is borne by a sentence as far as MaxSim finds it there, above what it finds anywhere
    (`Explanation.word_strengths`), and as far as the very word stands there: the mean of both. A number only as far
    as it stands there, in whatever form, beside the words that stand beside it in the claim. Sentences are taken
    greedily while they bear more words, as in `find_evidence`; a negator fetches no further sentence.
    """
    for batch in _batches(claims):
        asked = [query_words(claim) for claim in batch]
        # Rows that belong to no word, such as control tokens, are not asked for.
        values = np.concatenate([claim.vectors[found.rows] for claim, found in zip(batch, asked, strict=True)])
        if not len(pool) or not len(values):
            yield from (Support(0.0, 0.0, (), ()) for _ in batch)
            continue
        best = maxsim(values, pool.rows).similarities.T  # (rows of all claims, sentences) float32
        floors = values @ pool.floor
        edges = np.cumsum([0, *(len(found.rows) for found in asked)]).tolist()
        for claim, found, (start, end) in zip(batch, asked, pairwise(edges), strict=True):
            yield _support(claim.text, found, (best[start:end], floors[start:end, None]), pool, most)


def _batches(claims: Sequence[TokenEmbeddings]) -> Iterator[list[TokenEmbeddings]]:
    batch: list[TokenEmbeddings] = []
    for claim in claims:
        if batch and sum(map(len, batch)) + len(claim) > _CLAIM_ROWS:
            yield batch
            batch = []
        batch.append(claim)
    if batch:
        yield batch


def _support(text: str, asked: QueryWords, found: tuple[Floats, Floats], pool: SentencePool, most: int) -> Support:
    """What bears a claim; `found`: what its rows earn, (rows of words, sentences), and floors, (rows of words, 1)."""
    earned, floors = found
    if not len(asked.rows):
        return Support(0.0, 0.0, (), ())
    strengths = _by_word((earned - floors) / np.maximum(1 - floors, 1e-6), asked)
    borne, weights, displaced = _borne(text, asked, strengths, pool)
    language = language_of(plain(text))
    negators = np.array([is_negator(word, language) for word in asked.words])
    gained, chosen = _choose(borne, weights, negators, pool.sources, max(most, _ENOUGH))
    small = np.array([is_small_word(word, language) for word in asked.words])
    best_of = borne[:, chosen].max(axis=1)
    lost = (best_of < _SIMILARITY * COVERED) & (asked.weights * len(asked.words) >= _SPEAKS) & ~small
    return Support(
        score=min(max(gained[:_ENOUGH][-1], 0.0), 1.0),
        likeness=float(asked.weights @ best_of),
        sentences=tuple(chosen[:most]),
        similarities=tuple((asked.weights @ _by_word(earned[:, chosen[:most]], asked)).tolist()),
        missing=tuple(asked.words[i] for i in np.flatnonzero(lost).tolist()),
        displaced=displaced,
    )


def _by_word(values: Floats, asked: QueryWords) -> Floats:
    """Mean over the rows of each word, (words, ...)."""
    means: Floats = np.add.reduceat(values, asked.starts, axis=0) / asked.counts[:, None]
    return means


_Places: TypeAlias = tuple[tuple[int, int], ...]


def _borne(text: str, asked: QueryWords, strengths: Floats, pool: SentencePool) -> tuple[Floats, Floats, _Places]:
    """How far each sentence bears each word, (words, sentences) 0..1; weights of the words, (words,); `displaced`."""
    found = [number for number in numbers.numbers(plain(text)) if numbers.counts(text, number)]
    inside = [(asked.spans[:, 0] >= number.start) & (asked.spans[:, 0] < number.end) for number in found]
    numerals = np.array([numbers.is_numeral(word) for word in asked.words])
    counted = np.any(inside, axis=0) if inside else np.zeros(len(asked.words), dtype=bool)
    counted &= numerals
    exact = counted | [any(map(str.isdigit, word)) for word in asked.words]
    held = np.zeros_like(strengths)
    for i in np.flatnonzero(~counted).tolist():
        held[i, pool.holding(asked.words[i])] = 1
    weights = asked.weights**_SHARPNESS
    share = np.where(exact, 0, _SIMILARITY).astype(np.float32)[:, None]
    meant = share * strengths.clip(0, 1)
    displaced = []
    for number, own in zip(found, inside, strict=True):
        holders = np.array(pool.holding_number(number), dtype=np.intp)
        if not len(holders) or not own.any():
            continue
        others = weights * _NEAR ** np.abs(np.arange(len(own)) - np.flatnonzero(own).mean()) * ~counted
        bears = meant + (1 - share) * held
        bears[:, pool.pronouns] = np.maximum(bears[:, pool.pronouns], bears[:, pool.pronouns - 1])
        near = others @ bears  # (sentences,)
        whole = (weights * ~counted) @ bears
        fits = (near >= _SAME_WORDS * near.max()) | (whole >= _SAME_CLAIM * whole.max())
        holders = holders[fits[holders]]
        held[np.ix_(own, holders)] = 1
        if not len(holders):
            displaced.append((number.start, number.end))
    weights *= 1 + _NUMBER * exact
    return meant + (1 - share) * held, weights / weights.sum(), tuple(displaced)


def _choose(
    borne: Floats, weights: Floats, negators: NDArray[np.bool_], sources: NDArray[np.intp], most: int
) -> tuple[list[float], list[int]]:
    """Sentences that bear the claim together, greedily; and what the first one bears, the first two, and so on."""
    alone = weights @ borne
    chosen = [int(alone.argmax())]
    gained = [float(alone[chosen[0]])]
    covered = borne[:, chosen[0]]
    # "not" in another sentence is not this "not". With all function words 3 more of 534 true claims are flagged.
    borne = np.where(negators[:, None], covered[:, None], borne)
    new = sources != sources[chosen[0]]
    while len(chosen) < most:
        values = weights @ np.maximum(borne, covered[:, None])
        values -= _FURTHER_SENTENCE * len(chosen) + _FURTHER_SOURCE * (len(set(sources[chosen].tolist())) - 1 + new)
        best = int(values.argmax())
        if values[best] <= gained[-1]:
            break
        chosen.append(best)
        gained.append(float(values[best]))
        covered = np.maximum(covered, borne[:, best])
        new &= sources != sources[best]
    return gained, chosen
