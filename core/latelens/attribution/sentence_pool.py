"""The sentences of many sources, read once: their rows, and which of them hold a word or a number."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.attribution.guards import numbers
from latelens.attribution.guards.numbers import Number
from latelens.attribution.guards.reading import fold, plain
from latelens.embeddings import TokenEmbeddings
from latelens.explanation.words import group_rows
from latelens.maxsim import PackedEmbeddings
from latelens.text.characters import words
from latelens.text.sentences import split_sentences

# As in `Explanation.strengths_of`: so many rows of similarity 0 are added before averaging.
_PRIOR_ROWS = 10
_PRONOUNS = ("he", "she", "it", "they", "his", "her", "its", "their")
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
    numbers
        The numbers of the sentences, by each value, with and without their units.
    """

    sources: NDArray[np.intp]
    spans: NDArray[np.int32]
    rows: PackedEmbeddings
    floor: NDArray[np.float32]
    holders: dict[str, list[int]]
    numbers: dict[Fraction, list[tuple[int, Number]]]

    def __len__(self) -> int:
        return len(self.sources)

    @cached_property
    def pronouns(self) -> NDArray[np.intp]:
        """Sentences that say "he" or "it" of something in the sentence before, which is of the same source."""
        found = {sentence for word in _PRONOUNS for sentence in self.holding(word)}
        follows = [i for i in sorted(found) if i and self.sources[i] == self.sources[i - 1]]
        return np.array(follows, dtype=np.intp)

    def holding(self, word: str) -> list[int]:
        """The sentences that hold a word."""
        return self.holders.get(_key(word), [])

    def holding_number(self, number: Number) -> list[int]:
        """The sentences that bear a number, in whatever form (`guards.numbers.bears`)."""
        looked_up = self.numbers if number.hedge is not None else _values(number)
        near = (pair for value in looked_up for pair in self.numbers.get(value, ()))
        return sorted({sentence for sentence, other in near if numbers.bears(other, number)})


def pool_sentences(documents: Sequence[TokenEmbeddings]) -> SentencePool:
    """Lay the rows of encoded sources end to end by sentence, so that all claims meet all sentences in one product."""
    sources: list[int] = []
    spans, vectors, counts = [], [], []
    holders: dict[str, list[int]] = {}
    held: dict[Fraction, list[tuple[int, Number]]] = {}
    for i, document in enumerate(documents):
        read = _reading_of(document)
        for word, places in read.holders.items():
            holders.setdefault(word, []).extend([len(sources) + place for place in places])
        for place, number in read.numbers:
            for value in _values(number):
                held.setdefault(value, []).append((len(sources) + place, number))
        sources += [i] * len(read.spans)
        spans.append(read.spans)
        vectors.append(document.vectors[read.rows])
        counts.append(read.counts)
    if not sources:
        nothing = np.zeros((0, 0), dtype=np.float32)
        packed = PackedEmbeddings(nothing, np.zeros(1, dtype=np.int64))
        return SentencePool(np.zeros(0, dtype=np.intp), np.zeros((0, 2), dtype=np.int32), packed, nothing, {}, {})
    values = np.concatenate(vectors)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    floor = values.sum(axis=0) / np.float32(len(values) + _PRIOR_ROWS)
    packed = PackedEmbeddings(values, offsets)
    return SentencePool(np.array(sources), np.concatenate(spans), packed, floor, holders, held)


@dataclass(frozen=True, eq=False)
class _Reading:
    """The sentences of one source that have rows."""

    spans: NDArray[np.int32]  # (sentences, 2)
    rows: slice | NDArray[np.intp]  # content rows by sentence; a slice, which copies nothing, where they lie in order
    counts: NDArray[np.intp]  # (sentences,)
    holders: dict[str, list[int]]  # a word's key -> the sentences that hold it
    numbers: list[tuple[int, Number]]  # each with its sentence


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
        text = document.text
        held = list(_numbers(text, spans))
        known = _KNOWN[document] = _Reading(spans, place, np.diff(starts), _holders(text, spans), held)
    return known


def _numbers(text: str, sentences: NDArray[np.int32]) -> Iterator[tuple[int, Number]]:
    for i, (start, end) in enumerate(sentences.tolist()):
        sentence = plain(text[start:end])
        yield from ((i, number) for number in numbers.numbers(sentence))
        if hinted := numbers.hints(sentence):
            yield i, Number(0, 0, hinted)


def _values(number: Number) -> frozenset[Fraction]:
    """What a number is looked up by."""
    if number.factor == 1:
        return number.values
    return number.values | {value * number.factor for value in number.values}


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


@lru_cache(maxsize=1 << 16)
def _key(word: str) -> str:
    """What two spellings of a word share: case, accents, digits of any script and 1,000 for 1000."""
    key: str = _THOUSANDS.sub("", fold(plain(word)))
    return key
