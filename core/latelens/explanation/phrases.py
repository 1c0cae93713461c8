"""The part of a sentence where the matches are densest, for many sentences at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from latelens.explanation.segments import edges_of
from latelens.text.characters import words

# Sentences are padded to the longest among them: so many words at a time, which is 8 MB an array.
_MOST = 1 << 20


def find_phrases(
    sentences: Sequence[str],
    places: NDArray[np.int32],
    matched: NDArray[np.int64],
    earned: NDArray[np.float32],
    instead: Mapping[int, NDArray[np.float64]],
) -> NDArray[np.int64]:
    """Where the densest phrase of each sentence stands, (sentences, 2), in whole words; all of it if it has no words.

    Parameters
    ----------
    sentences, places
        Texts, and where they stand in their documents, (sentences, 2).
    matched
        (query rows, sentences), where the text of the row ends that a query's row chose in a sentence: what that earns
        goes to the word that the row lies in, or to the one before it.
    earned
        (query rows, sentences), what each choice earns.
    instead
        What each word earns, (words,), of sentences where that is known otherwise.
    """
    each = [words(sentence) for sentence in sentences]
    counts = np.array([len(spans) for spans in each])
    spans = np.concatenate(each) + places[:, :1].astype(np.int64).repeat(counts, axis=0)  # (words of all sentences, 2)
    weights, edges = _by_word(spans[:, 0], counts, matched, earned), edges_of(counts)
    for i, known in instead.items():
        weights[edges[i] : edges[i + 1]] = known
    found, some = places.astype(np.int64), counts > 0
    if some.any():
        runs = densest(weights, counts[some])
        found[some, 0], found[some, 1] = spans[runs[:, 0], 0], spans[runs[:, 1] - 1, 1]
    return found


def _by_word(
    starts: NDArray[np.int64], counts: NDArray[np.intp], ends: NDArray[np.int64], earned: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What each word of all sentences earns, (words,); `starts` are where they begin, `counts` are each sentence's."""
    some = np.flatnonzero(counts)
    if not len(some):
        return np.zeros(0)
    there, ends = np.arange(len(counts)), ends[:, some]
    apart = max(int(starts.max()), int(ends.max())) + 1  # so that no place of a sentence is one of another's
    keys = starts + apart * there.repeat(counts)
    position = np.maximum(keys.searchsorted(ends + apart * some) - 1, edges_of(counts)[some])
    positive = np.maximum(earned[:, some], 0)
    return np.bincount(position.ravel(), weights=positive.ravel(), minlength=len(starts)).astype(np.float64)


def densest(earned: NDArray[np.float64], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Find the run of whole words that gathers the most above its sentence's average word, (sentences, 2).

    `earned` is what each word of all sentences brings, `counts` how many words each sentence has, at least one. A
    word that brings nothing costs the average, so the run ends where matches thin out. Where all words bring the same,
    the run is all of them. A run is its first word and the one after its last, counted through all sentences.
    """
    found = np.empty((len(counts), 2), dtype=np.intp)
    edges = edges_of(counts)
    for chosen in _alike(counts):
        found[chosen] = edges[chosen, None] + _runs(earned, edges[chosen], counts[chosen])
    return found


def _alike(counts: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Sentences that are padded together, the longest first."""
    if len(counts) * int(counts.max(initial=0)) <= _MOST:
        yield np.arange(len(counts))
        return
    order = (-counts).argsort(kind="stable")
    first = 0
    while first < len(order):
        last = first + max(1, _MOST // int(counts[order[first]]))
        yield order[first:last]
        first = last


def _runs(earned: NDArray[np.float64], begins: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """The densest run of each sentence, (sentences, 2), counted inside it."""
    column = np.arange(counts.max(initial=1))
    inside = column < counts[:, None]  # (sentences, words of the longest)
    weights = np.where(inside, earned[np.minimum(begins[:, None] + column, len(earned) - 1)], 0)
    # Sums in the order of the words, so that no sentence changes another's rounding.
    average = weights.cumsum(axis=1)[:, -1:] / counts[:, None]
    total = np.where(inside, weights - average, 0).cumsum(axis=1)
    before = np.zeros(total.shape)
    before[:, 1:] = total[:, :-1]
    lowest = np.minimum.accumulate(before, axis=1)
    gain = np.where(inside, total - lowest, -1)
    each, last = np.arange(len(counts)), gain.argmax(axis=1)
    first = (before == lowest[each, last, None]).argmax(axis=1)
    dense = gain[each, last] > 1e-6  # above rounding
    return np.stack([np.where(dense, first, 0), np.where(dense, last + 1, counts)], axis=1)
