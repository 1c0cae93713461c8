"""Sentences by their characters, for texts that a model cannot read: which hold the rare letters of the query."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.text.characters import words

# Two characters are a word in Chinese, three the least that tells words of an alphabet apart. On SQuAD's questions for
# tuning, whose letters stand for those of any alphabet: Hit@1 .850, of words alone .832.
_SIZES = (2, 3)
# How much a long sentence pays for its length, as in BM25.
_LENGTH = 0.4
# A further sentence is listed if it brings this share of what the whole text has of the query.
_ADDS = 0.25

Gram = tuple[str, int, int]  # letters, and where they stand: start, end


@dataclass(frozen=True)
class Lexical:
    """What sentences hold of a query, letter by letter.

    Attributes
    ----------
    chosen
        Sentences, the best first; empty where none has two letters of the query in a row.
    query_words
        For each chosen one, the words of the query that it holds more of than the other chosen ones.
    weights
        For each chosen one, how much of the query each of its words holds, (words,) float64.
    """

    chosen: tuple[int, ...]
    query_words: tuple[tuple[str, ...], ...]
    weights: tuple[NDArray[np.float64], ...]


def by_characters(query: str, sentences: Sequence[str], *, most: int) -> Lexical:
    """Choose sentences that share runs of two and three letters with the query, those in few sentences counting more.

    >>> by_characters("Кто нашёл кота?", ["Кот спал.", "Его нашли утром.", "Кота нашёл сосед."], most=1).query_words
    (('нашёл', 'кота'),)
    """
    asked = _grams(query)
    found = [_grams(sentence) for sentence in sentences]
    held = [{gram for gram, _, _ in each} for each in found]
    rarity = _rarity({gram for gram, _, _ in asked}, held)
    mean = max(sum(map(len, held)) / max(len(held), 1), 1)
    scores = [
        math.fsum(rarity[gram] for gram in rarity.keys() & each) / (1 - _LENGTH + _LENGTH * len(each) / mean)
        for each in held
    ]
    if not any(scores):
        return Lexical((), (), ())
    chosen = _cover(scores, held, rarity, most)
    return Lexical(
        tuple(chosen),
        _owned(query, asked, [held[i] for i in chosen]),
        tuple(_by_word(sentences[i], found[i], rarity) for i in chosen),
    )


def _grams(text: str) -> list[Gram]:
    """Runs of `_SIZES` letters and digits in lower case; what stands between two words is one space."""
    letters: list[tuple[str, int]] = [(" ", 0)]
    for place, letter in enumerate(text):
        if unicodedata.category(letter)[0] in "LMN":
            letters.append((letter.lower(), place))
        elif letters[-1][0] != " ":
            letters.append((" ", place))
    if letters[-1][0] != " ":
        letters.append((" ", len(text) - 1))
    return [
        ("".join(letter for letter, _ in run), run[0][1], run[-1][1] + 1)
        for size in _SIZES
        for run in (letters[i : i + size] for i in range(len(letters) - size + 1))
    ]


def _rarity(asked: set[str], held: Sequence[set[str]]) -> dict[str, float]:
    counts = Counter(gram for each in held for gram in asked & each)
    return {gram: math.log(1 + (len(held) - n + 0.5) / (n + 0.5)) for gram, n in counts.items()}


def _cover(scores: Sequence[float], held: Sequence[set[str]], rarity: dict[str, float], most: int) -> list[int]:
    """The best sentence, then those that bring most that no sentence before them has."""
    chosen = [max(range(len(scores)), key=scores.__getitem__)]
    whole = math.fsum(rarity.values())
    covered = set(held[chosen[0]])
    while len(chosen) < most:
        added = [math.fsum(rarity[gram] for gram in rarity.keys() & each - covered) for each in held]
        best = max(range(len(added)), key=added.__getitem__)
        if added[best] < _ADDS * whole:
            break
        chosen.append(best)
        covered |= held[best]
    return chosen


def _owned(query: str, asked: Sequence[Gram], held: Sequence[set[str]]) -> tuple[tuple[str, ...], ...]:
    """For each sentence the words of which it holds half of the letters' runs, and no sentence before it more."""
    owned: list[list[str]] = [[] for _ in held]
    for start, end in words(query).tolist():
        runs = [gram for gram, begin, stop in asked if begin < end and stop > start]
        shares = [sum(gram in each for gram in runs) / max(len(runs), 1) for each in held]
        best = max(range(len(shares)), key=shares.__getitem__)
        if shares[best] >= 0.5:
            owned[best].append(query[start:end])
    return tuple(map(tuple, owned))


def _by_word(sentence: str, found: Sequence[Gram], rarity: dict[str, float]) -> NDArray[np.float64]:
    spans = words(sentence)
    weights = np.zeros(len(spans))
    for gram, begin, stop in found:
        if gram in rarity:
            weights[(spans[:, 0] < stop) & (spans[:, 1] > begin)] += rarity[gram]
    return weights
