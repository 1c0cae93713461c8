"""The sentences of many sources, read once: their rows, and which of them hold a word or a number."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.attribution.guards import numbers
from latelens.attribution.guards.numbers import Number, Numbers
from latelens.attribution.guards.reading import fold, plain
from latelens.embeddings import TokenEmbeddings
from latelens.explanation.words import group_rows, unsplit
from latelens.maxsim import PackedEmbeddings
from latelens.text.characters import words
from latelens.text.sentences import split_sentences

_PRONOUNS = ("he", "she", "it", "they", "his", "her", "its", "their")
_THOUSANDS = regex.compile(r"(?<=\d)[,'](?=\d{3})")


@dataclass(frozen=True, eq=False)
class SentencePool:
    """The sentences of all sources, laid end to end; sentences without a row are left out.

    Attributes
    ----------
    texts
        (sentences,) which of the pooled texts each is of.
    sources
        (sentences,) which source each is of, in order: a source may have several texts.
    spans
        (sentences, 2) int32, its place in its text.
    rows
        The content rows of the texts by sentence.
    holders
        Which sentences hold a word, by the word's `key_of`.
    numbers
        The numbers of the sentences.
    """

    texts: NDArray[np.intp]
    sources: NDArray[np.intp]
    spans: NDArray[np.int32]
    rows: PackedEmbeddings
    holders: dict[str, list[int]]
    numbers: Numbers

    def __len__(self) -> int:
        return len(self.sources)

    @cached_property
    def pronouns(self) -> NDArray[np.intp]:
        """Sentences that say "he" or "it" of something in the sentence before, which is of the same text."""
        found = {sentence for word in _PRONOUNS for sentence in self.holding(word)}
        follows = [i for i in sorted(found) if i and self.texts[i] == self.texts[i - 1]]
        return np.array(follows, dtype=np.intp)

    def holding(self, word: str) -> list[int]:
        """The sentences that hold a word."""
        return self.holders.get(key_of(word), [])

    def holding_number(self, number: Number) -> list[int]:
        """The sentences that back a number, in whatever form (`guards.numbers.backs`)."""
        return sorted(self.numbers.places(number))


def pool_sentences(documents: Sequence[TokenEmbeddings], owners: Sequence[int] | None = None) -> SentencePool:
    """Lay the rows of encoded texts end to end by sentence, so that all claims meet all sentences in one product.

    `owners` says which source each text is of, in rising order; None where each is a source of its own.
    """
    texts: list[int] = []
    spans, vectors, counts = [], [], []
    holders: dict[str, list[int]] = {}
    held = Numbers(())
    for i, document in enumerate(documents):
        read = _reading_of(document)
        for word, places in read.holders.items():
            holders.setdefault(word, []).extend([len(texts) + place for place in places])
        for place, number in read.numbers:
            held.add(len(texts) + place, number)
        texts += [i] * len(read.spans)
        spans.append(read.spans)
        vectors.append(document.vectors[read.rows])
        counts.append(read.counts)
    of_text, none = np.array(texts, dtype=np.intp), np.zeros(0, dtype=np.intp)
    if not texts:
        packed = PackedEmbeddings(np.zeros((0, 0), dtype=np.float32), np.zeros(1, dtype=np.int64))
        return SentencePool(none, none, np.zeros((0, 2), dtype=np.int32), packed, {}, held)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    packed = PackedEmbeddings(np.concatenate(vectors), offsets)
    of_source = of_text if owners is None else np.array(owners, dtype=np.intp)[of_text]
    return SentencePool(of_text, of_source, np.concatenate(spans), packed, holders, held)


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
        sentences = unsplit(document, np.array(split_sentences(document.text), dtype=np.int32).reshape(-1, 2))
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
        yield from ((i, numbers.bare(number)) for number in numbers.numbers(sentence))
        if hinted := numbers.hints(sentence):
            yield i, Number(0, 0, hinted)


def _holders(text: str, sentences: NDArray[np.int32]) -> dict[str, list[int]]:
    """Which sentences hold a word, by the word's key."""
    found: dict[str, list[int]] = {}
    if not len(sentences):
        return found
    spans = words(text)
    owners = sentences[:, 0].searchsorted(spans[:, 0], side="right") - 1
    inside = (owners >= 0) & (spans[:, 0] < sentences[owners, 1])
    for (start, end), owner in zip(spans[inside].tolist(), owners[inside].tolist(), strict=True):
        found.setdefault(key_of(text[start:end]), []).append(owner)
    return found


@lru_cache(maxsize=1 << 16)
def key_of(word: str) -> str:
    """What two spellings of a word share: case, accents, digits of any script and 1,000 for 1000."""
    key: str = _THOUSANDS.sub("", fold(plain(word)))
    return key
