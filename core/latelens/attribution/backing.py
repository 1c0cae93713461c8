"""How far each sentence of a pool backs each word of a claim: what the word means, and the very word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from latelens.attribution.guards import dates, numbers
from latelens.attribution.guards.negation import is_negator, is_small_word
from latelens.attribution.guards.reading import language_of, plain
from latelens.attribution.sentence_pool import SentencePool, key_of
from latelens.explanation.words import QueryWords
from latelens.text.characters import words as split_words

Floats: TypeAlias = NDArray[np.floating[Any]]

# Each number below was chosen on the halves (sha1 of the id from 0 to 7) of seven sets of claims, by the mean of
# their AUROC, and is reported on the others by tests/benchmarks/attribution_kinds.py (offline model, November 2026).
# Of the similarity, beside the very word: .5 has .8737, .85 has .8751, this one .8750.
SIMILARITY = 0.7
# A word weighs (1 - s)^2 as in `query_words`, squared again; not squared it is the same, but for short claims.
_SHARPNESS = 2
# A function word says a tenth of that: .8731, and .8641 where it says all of it.
SMALL = 0.1
# A number weighs twice as much as a word like it, and another number does not back it at all however similar its
# vector is. Five times as much has .8696: it is the words around a number that tell most claims apart.
_NUMBER = 1
# A sentence that holds a number must back the words around it this well, beside the sentence that backs them best:
# "Lunch costs eleven euros" does not back "Guided tours start at eleven". A word that is n words away counts .8^n.
# One that backs the claim without its numbers about as well as any does hold them, too.
_SAME_WORDS, _NEAR, _SAME_CLAIM = 0.65, 0.8, 0.9


@dataclass(frozen=True, eq=False)
class Words:
    """The words of a claim as they are weighed.

    Attributes
    ----------
    asked
        Their rows and places.
    weights
        (words,) summing to 1.
    small, negators
        (words,) bool: function words, and those that deny.
    said
        (words,) bool: words of the question.
    figures
        (words,) bool: words with a digit, and number words that count something.
    counted, dated
        The numbers that must stand beside the claim's words, and the dates that may stand anywhere; each as its span
        in the claim and (words,) bool.
    """

    asked: QueryWords
    weights: Floats
    small: NDArray[np.bool_]
    negators: NDArray[np.bool_]
    said: NDArray[np.bool_]
    figures: NDArray[np.bool_]
    counted: tuple[tuple[numbers.Number, NDArray[np.bool_]], ...]
    dated: tuple[NDArray[np.bool_], ...]


def weigh(claim: str, asked: QueryWords, said: str = "") -> Words:
    """The words of a claim; a number of `said`, what the user asked, is a word like any other."""
    heard = {key_of(said[start:end]) for start, end in split_words(said).tolist()} if said else ()
    text = plain(claim)
    language = language_of(text)
    negators = np.array([is_negator(word, language) for word in asked.words], dtype=bool)
    small = np.array([is_small_word(word, language) for word in asked.words], dtype=bool)
    spans = list(dict.fromkeys((date.start, date.end) for date in dates.dates(text)))
    known = numbers.numbers(plain(said)) if said else ()
    found = [
        number
        for number in numbers.numbers(numbers.without(text, spans))
        if numbers.counts(text, number) and not any(numbers.backs(other, number) for other in known)
    ]
    numerals = np.array([numbers.is_numeral(word) for word in asked.words], dtype=bool)
    counted = [(number, _inside(asked, number.start, number.end)) for number in found]
    figures = np.array([any(map(str.isdigit, word)) for word in asked.words], dtype=bool)
    for _, own in counted:
        figures |= own & numerals
    weights = asked.weights**_SHARPNESS * np.where(small & ~negators, SMALL, 1) * (1 + _NUMBER * figures)
    dated = tuple(_inside(asked, *span) for span in spans)
    repeated = np.array([key_of(word) in heard for word in asked.words], dtype=bool)
    return Words(asked, weights / weights.sum(), small, negators, repeated, figures, tuple(counted), dated)


def _inside(asked: QueryWords, start: int, end: int) -> NDArray[np.bool_]:
    return np.asarray((asked.spans[:, 0] >= start) & (asked.spans[:, 0] < end))


Places: TypeAlias = tuple[tuple[int, int], ...]


def back(words: Words, strengths: Floats, pool: SentencePool) -> tuple[Floats, Places]:
    """How far each sentence backs each word, (words, sentences) 0..1; and the numbers that stand only elsewhere.

    `strengths`, (words, sentences): how far MaxSim finds each word there, above what it finds anywhere. A number
    counts only as far as it stands there, in whatever form, beside the words that stand beside it in the claim; a date
    of a source stands in each of its sentences: it may be in a dateline.
    """
    share = np.where(words.figures, 0, SIMILARITY)[:, None]
    held = np.zeros_like(strengths)
    counted = np.zeros(len(words.weights), dtype=bool)
    for _, own in words.counted:
        counted |= own & words.figures
    for i in np.flatnonzero(~counted).tolist():
        held[i, pool.holding(words.asked.words[i])] = 1
    for own in words.dated:
        for i in np.flatnonzero(own).tolist():
            held[i, np.isin(pool.sources, pool.sources[held[i] > 0])] = 1
    meant = share * strengths.clip(0, 1)
    displaced = []
    for number, own in words.counted:
        holders = np.array(pool.holding_number(number), dtype=np.intp)
        if not len(holders) or not own.any():
            continue
        holders = holders[_beside(words, counted, own, meant + (1 - share) * held, pool)[holders]]
        held[np.ix_(own, holders)] = 1
        if not len(holders):
            displaced.append((number.start, number.end))
    return meant + (1 - share) * held, tuple(displaced)


def _beside(
    words: Words, counted: NDArray[np.bool_], own: NDArray[np.bool_], backs: Floats, pool: SentencePool
) -> NDArray[np.bool_]:
    """Which sentences back the words around a number, (sentences,) bool; all, where none of these says anything."""
    if not (~counted & ~words.small).any():
        return np.ones(backs.shape[1], dtype=bool)
    weights = words.weights * ~counted
    others = weights * _NEAR ** np.abs(np.arange(len(own)) - np.flatnonzero(own).mean())
    backs[:, pool.pronouns] = np.maximum(backs[:, pool.pronouns], backs[:, pool.pronouns - 1])
    near, whole = others @ backs, weights @ backs  # (sentences,)
    return np.asarray((near >= _SAME_WORDS * near.max()) | (whole >= _SAME_CLAIM * whole.max()))
