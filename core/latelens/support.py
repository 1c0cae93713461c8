"""How well the sentences of many sources together bear a claim, and which of them do."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation import COVERED
from latelens.guards.reading import fold, plain
from latelens.maxsim import PackedEmbeddings, maxsim
from latelens.query_words import QueryWords, group_rows, query_words
from latelens.sentences import split_sentences
from latelens.text import words

# Tuned on the half of HAGRID's claims with sha1 of the id in 0-7 (AUROC, passages judged one by one), reported on
# the other half by tests/benchmarks/attribution.py.
# Similarity alone .873 (it takes Linda for Laura), same words alone .876, both halves .880.
_SIMILARITY = 0.5
# A word weighs (1 - s)^2 as in `query_words`, squared again: .883 against .880.
_SHARPNESS = 2
# A word with a digit weighs five times as much, and another number does not bear it at all however similar its
# vector is: .893; three times .891, nine times the same.
_NUMBER = 4
# A further sentence must bear more of the claim than this, one in a further source more than both: many sentences
# find something for every claim. Among 20 passages 97 % of the citations are right, 93 % with .02 and .05; AUROC .888.
_FURTHER_SENTENCE, _FURTHER_SOURCE = 0.05, 0.1
_ENOUGH = 3  # more bear hardly anything: 5 have .879 where 3 have .880, one alone has .859
# As in `Explanation.strengths_of`: so many rows of similarity 0 are added before averaging.
_PRIOR_ROWS = 10
# Claim rows to multiply at a time: bounds the memory of a book-long answer.
_CLAIM_ROWS = 1024
_SPEAKS = 0.8  # as in `Explanation.uncovered`
Floats: TypeAlias = NDArray[np.floating[Any]]
_THOUSANDS = regex.compile(r"(?<=\d)[,'](?=\d{3})")


@dataclass(frozen=True, eq=False)
class SentencePool:
    """The sentences of all sources, laid end to end; sentences without a row are left out.

    Attributes
    ----------
    sources
        (sentences,) which source each is of.
    spans
        (sentences, 2) int32, its place in that source.
    rows
        The content rows of the sources by sentence.
    floor
        (dim,) float32: a vector's product with it is its mean similarity to all rows, `_PRIOR_ROWS` zeros among them.
    holders
        Which sentences hold a word, by the word's `_key`.
    """

    sources: NDArray[np.intp]
    spans: NDArray[np.int32]
    rows: PackedEmbeddings
    floor: NDArray[np.float32]
    holders: dict[str, list[int]]

    def __len__(self) -> int:
        return len(self.sources)


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
    """

    score: float
    likeness: float
    sentences: tuple[int, ...]
    similarities: tuple[float, ...]
    missing: tuple[str, ...] = ()


def pool_sentences(documents: Sequence[TokenEmbeddings]) -> SentencePool:
    """Lay the rows of encoded sources end to end by sentence, so that all claims meet all sentences in one product."""
    sources: list[int] = []
    spans, vectors, counts = [], [], []
    holders: dict[str, list[int]] = {}
    for i, document in enumerate(documents):
        read = _reading_of(document)
        for word, places in read.holders.items():
            holders.setdefault(word, []).extend([len(sources) + place for place in places])
        sources += [i] * len(read.spans)
        spans.append(read.spans)
        vectors.append(document.vectors[read.rows])
        counts.append(read.counts)
    if not sources:
        nothing = np.zeros((0, 0), dtype=np.float32)
        packed = PackedEmbeddings(nothing, np.zeros(1, dtype=np.int64))
        return SentencePool(np.zeros(0, dtype=np.intp), np.zeros((0, 2), dtype=np.int32), packed, nothing, {})
    values = np.concatenate(vectors)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    floor = values.sum(axis=0) / np.float32(len(values) + _PRIOR_ROWS)
    return SentencePool(np.array(sources), np.concatenate(spans), PackedEmbeddings(values, offsets), floor, holders)


@dataclass(frozen=True, eq=False)
class _Reading:
    """The sentences of one source that have rows."""

    spans: NDArray[np.int32]  # (sentences, 2)
    rows: slice | NDArray[np.intp]  # content rows by sentence; a slice, which copies nothing, where they lie in order
    counts: NDArray[np.intp]  # (sentences,)
    holders: dict[str, list[int]]  # a word's key -> the sentences that hold it


# A cached source meets many answers; what was read of it goes when it goes.
_KNOWN: weakref.WeakKeyDictionary[TokenEmbeddings, _Reading] = weakref.WeakKeyDictionary()


def _reading_of(document: TokenEmbeddings) -> _Reading:
    known = _KNOWN.get(document)
    if known is None:
        sentences = np.array(split_sentences(document.text), dtype=np.int32).reshape(-1, 2)
        rows, present, starts = group_rows(document, sentences)
        in_order = len(rows) > 0 and bool((np.diff(rows) == 1).all())
        place = slice(int(rows[0]), int(rows[-1]) + 1) if in_order else rows
        spans = sentences[present]
        known = _KNOWN[document] = _Reading(spans, place, np.diff(starts), _holders(document.text, spans))
    return known


def _holders(text: str, sentences: NDArray[np.int32]) -> dict[str, list[int]]:
    """Which sentences hold a word, by the word's key."""
    found: dict[str, list[int]] = {}
    if not len(sentences):
        return found
    spans = words(text)
    owners = sentences[:, 0].searchsorted(spans[:, 0], side="right") - 1
    inside = (owners >= 0) & (spans[:, 0] < sentences[owners, 1])
    for (start, end), owner in zip(spans[inside].tolist(), owners[inside].tolist(), strict=True):
        found.setdefault(_key(text[start:end]), []).append(owner)
    return found


def find_support(claims: Sequence[TokenEmbeddings], pool: SentencePool, *, most: int) -> Iterator[Support]:
    """What bears each claim: one result a claim, with `most` sentences at most.

    A word of the claim is borne by a sentence as far as MaxSim finds it there, above what it finds anywhere
    (`Explanation.word_strengths`), and as far as the very word stands there: the mean of both. A number only as far
    as it stands there. Sentences are taken greedily while they bear more words, as in `find_evidence`.
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
        for found, (start, end) in zip(asked, pairwise(edges), strict=True):
            yield _support(found, best[start:end], floors[start:end, None], pool, most)


def _batches(claims: Sequence[TokenEmbeddings]) -> Iterator[list[TokenEmbeddings]]:
    batch: list[TokenEmbeddings] = []
    for claim in claims:
        if batch and sum(map(len, batch)) + len(claim) > _CLAIM_ROWS:
            yield batch
            batch = []
        batch.append(claim)
    if batch:
        yield batch


def _support(asked: QueryWords, earned: Floats, floors: Floats, pool: SentencePool, most: int) -> Support:
    """What bears the claim with these words; `earned` is (rows of words, sentences), `floors` (rows of words, 1)."""
    if not len(asked.rows):
        return Support(0.0, 0.0, (), ())
    strengths = _by_word((earned - floors) / np.maximum(1 - floors, 1e-6), asked)
    borne, weights = _borne(asked, strengths, pool)
    gained, chosen = _choose(borne, weights, pool.sources, max(most, _ENOUGH))
    best_of = borne[:, chosen].max(axis=1)
    lost = (best_of < _SIMILARITY * COVERED) & (asked.weights * len(asked.words) >= _SPEAKS)
    return Support(
        score=min(max(gained[:_ENOUGH][-1], 0.0), 1.0),
        likeness=float(asked.weights @ best_of),
        sentences=tuple(chosen[:most]),
        similarities=tuple((asked.weights @ _by_word(earned[:, chosen[:most]], asked)).tolist()),
        missing=tuple(asked.words[i] for i in np.flatnonzero(lost).tolist()),
    )


def _by_word(values: Floats, asked: QueryWords) -> Floats:
    """Mean over the rows of each word, (words, ...)."""
    means: Floats = np.add.reduceat(values, asked.starts, axis=0) / asked.counts[:, None]
    return means


def _borne(asked: QueryWords, strengths: Floats, pool: SentencePool) -> tuple[Floats, Floats]:
    """How far each sentence bears each word, (words, sentences) 0..1, and the weights of the words, (words,)."""
    held = np.zeros_like(strengths)
    for i, word in enumerate(asked.words):
        held[i, pool.holders.get(_key(word), [])] = 1
    numbers = np.array([any(map(str.isdigit, word)) for word in asked.words])
    share = np.where(numbers, 0, _SIMILARITY).astype(np.float32)[:, None]
    weights = asked.weights**_SHARPNESS * (1 + _NUMBER * numbers)
    borne: Floats = share * strengths.clip(0, 1) + (1 - share) * held
    return borne, weights / weights.sum()


def _choose(borne: Floats, weights: Floats, sources: NDArray[np.intp], most: int) -> tuple[list[float], list[int]]:
    """Sentences that bear the claim together, greedily; and what the first one bears, the first two, and so on."""
    alone = weights @ borne
    chosen = [int(alone.argmax())]
    gained = [float(alone[chosen[0]])]
    covered = borne[:, chosen[0]]
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


@lru_cache(maxsize=1 << 16)
def _key(word: str) -> str:
    """What two spellings of a word share: case, accents, digits of any script and 1,000 for 1000."""
    key: str = _THOUSANDS.sub("", fold(plain(word)))
    return key
