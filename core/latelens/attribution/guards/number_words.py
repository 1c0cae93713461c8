"""Numbers that are written as words: English ones, and the millions of other languages after digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_FIRSTS = """zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"""

SMALL = {word: value for value, word in enumerate(_ONES.split())}
SMALL |= {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
ORDINALS = {word: value for value, word in enumerate(_FIRSTS.split())}
ORDINALS |= {word[:-1] + "ieth": 10 * value for value, word in enumerate(_TENS.split(), start=2)}
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_ROMAN = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx"
ROMAN = {numeral: value for value, numeral in enumerate(_ROMAN.split(), start=1)}

# Only after digits: "2 Millionen". A billion is 10^12 in most of Europe, so that other languages' are left out.
_MILLIONS = "millionen millones milioni milhões miljoen mio"
_BILLIONS = "milliarde milliarden milliard miliardi miljard mrd"
AFTER_DIGITS = SCALES | {"mn": 10**6, "mln": 10**6, "bn": 10**9, "tn": 10**12, "lakh": 10**5, "crore": 10**7}
AFTER_DIGITS |= dict.fromkeys(_MILLIONS.split(), 10**6)
AFTER_DIGITS |= dict.fromkeys(_BILLIONS.split(), 10**9)

# What backs a number without naming it; a claim that says only this is not held to it.
_HINTS = {"both": "2", "pair": "2", "couple": "2", "twice": "2", "double": "2", "twin": "2", "twins": "2", "dual": "2"}
_HINTS |= {"duo": "2", "single": "1", "sole": "1", "once": "1", "triple": "3", "trio": "3", "dozen": "12"}
_HINTS |= {"half": "1/2 50", "quarter": "1/4 25", "decade": "10", "century": "100"}
HINTS = {word: frozenset(map(Fraction, values.split())) for word, values in _HINTS.items()}


def add_up(parts: Sequence[str]) -> Iterator[int]:
    """Values of number words in a row: "two hundred five" is one number, "two three" are two.

    >>> list(add_up(["two", "hundred", "five"])), list(add_up(["two", "three"]))
    ([205], [2, 3])
    """
    total, current, last = 0, 0, 0
    for i, part in enumerate(parts):
        value = SMALL.get(part, ORDINALS.get(part))
        if value is None and part == "hundred":
            current = max(current, 1) * 100
        elif value is None:
            total, current = total + max(current, 1) * SCALES[part], 0
        else:
            if i and not (last >= 100 or (last >= 20 and value < 10)):
                yield total + current
                total, current = 0, 0
            current += value
        last = SCALES.get(part, 0) if value is None else value
    yield total + current
