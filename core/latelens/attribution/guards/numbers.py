"""Numbers of a text, with their units: 1,000 = 1 000 = one thousand, 7 % = seven per cent, 2 million = 2,000,000."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache

from latelens.attribution.guards import clock
from latelens.attribution.guards.number_words import AFTER_DIGITS, HINTS, ORDINALS, ROMAN, SCALES, SMALL, add_up
from latelens.attribution.guards.reading import lower_words
from latelens.attribution.guards.units import UNITS


@dataclass(frozen=True)
class Number:
    """A number; ``text[start:end]`` is what a reason quotes, with its unit.

    Attributes
    ----------
    values
        Every value that it may stand for: 1.234 is one and a bit in English, a thousand and more in German.
    dimension, factor
        Of its unit; None and 1 without one.
    hedge
        -1 after "under", 1 after "over", 0 after "about"; None where it is said as exact.
    in_name
        Part of a name, such as COVID-19.
    minutes
        Of the day, where it is a time.
    """

    start: int
    end: int
    values: frozenset[Fraction]
    dimension: str | None = None
    factor: Fraction = Fraction(1)
    hedge: int | None = None
    in_name: bool = False
    minutes: frozenset[int] = frozenset()


def _any_of(options: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, options), key=len, reverse=True))


_SPACES = "\u00a0\u2009\u202f "
_DIGITS = rf"(?:\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,']\d+)*)"
_VULGAR = {sign: Fraction(unicodedata.numeric(sign)).limit_denominator(8) for sign in "½⅓⅔¼¾⅛⅜⅝⅞"}
_FRACTION = f"[{''.join(_VULGAR)}]"
_POWERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_FIGURE = re.compile(
    rf"(?=[-\d$€£¥₹UEGJIC{''.join(_VULGAR)}])(?<![\w.])"  # where one can begin: quick to see
    r"(?:(?P<money>US\$|[$€£¥₹]|(?:USD|EUR|GBP|JPY|INR|CHF)(?=\s))\s?)?(?P<sign>(?<![\w)-])-)?"
    rf"(?:(?P<digits>{_DIGITS})(?P<part>{_FRACTION})?|(?P<alone>{_FRACTION}))"
    rf"(?:\s?[x×]\s?10(?P<power>[⁰¹²³⁴⁵⁶⁷⁸⁹]{{1,2}}))?(?:(?:st|nd|rd|th)\b)?"
)
_SPELLED = re.compile(
    rf"(?i)\b(?:an?\s(?:{_any_of(SCALES)})|{_any_of([*SMALL, *ORDINALS])})\b"
    rf"(?:(?:[ -]and[ -]|[ -])(?:{_any_of([*SMALL, *ORDINALS, *SCALES])})\b)*"
)
_SPELLED_WORDS = frozenset((*SMALL, *ORDINALS, *SCALES))
_NUMERALS = frozenset((*SMALL, *ORDINALS, *clock.NAMED))
_DECADE = re.compile(r"\d{3}0'?s\b")
_HALF = re.compile(r"(?i)\sand\sa\shalf\b")
_SCALE = re.compile(r"(?i)[\s-]?([a-zõ]+)\b")
_RANGE = re.compile(rf"(?i)\s?(?:-|to|and|or)\s?[$€£¥₹]?{_DIGITS}[\s-]?([a-zõ]+)\b")
_UNIT = re.compile(
    r"(?i)[\s-]?(?:(per\scent|square\skilomet(?:er|re)s?|sq\.?\skm"
    r"|(?:km|kilomet(?:er|re)s?|miles?)\s(?:per|an)\shour)\b"
    r"|((?:US)?[%$€£¥₹℃℉]|°?[^\W\d_]{1,12}(?:[²2]|/h)?)(?![\w²/]))"
)
_HEDGE = re.compile(
    r"(?i)(?:\b(?:(about|around|approximately|approx\.|roughly|some|circa|ca\.|c\.|close to|estimated(?: at| to be)?)"
    r"|(over|more than|at least|exceed(?:ing|s|ed)?|above|upwards of|surpass(?:ing|es|ed)?)"
    r"|(under|less than|fewer than|below|nearly|almost|at most|up to))|[~≈])\s*(?:an? )?(?:total of )?$"
)
_HEDGE_WORDS = """about around approximately approx. roughly some circa ca. c. close estimated over more least exceed
exceeding exceeds exceeded above upwards surpass surpassing surpasses surpassed under less fewer below nearly almost
most up"""
_HEDGING = frozenset(_HEDGE_WORDS.split())  # a quick look before the pattern
_MANY = 50  # values between which a rounded number is looked for: the time must not grow with claims times evidence
_LETTERS = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_LONGEST = 300  # characters: keys and hashes are no numbers
_OPENS = re.compile(r"(?:^|[.!?;:\n]\s*|\*)$")
_IN_NAME = re.compile(r"\w*[^\W\d_a-z]\w*-$")


@lru_cache(maxsize=256)
def numbers(text: str) -> tuple[Number, ...]:
    """Every number of a `plain` text, in digits and in English words."""
    timed = [Number(*time[:3], "time", minutes=time.minutes) for time in clock.times(text)]
    if timed:
        text = without(text, [(time.start, time.end) for time in timed])
    return (*timed, *_figures(text), *_spelled(text))


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Blank the spans; not with spaces, which could join what stands around them."""
    blank = list(text)
    for start, end in spans:
        blank[start:end] = "_" * (end - start)
    return "".join(blank)


_LISTED = {word: value for word, value in SMALL.items() if 2 <= value <= 10}
_DEFINITE = re.compile(r"(?i)\b(?:the|his|her|its|their|our|these|those)\s$")
_LIST = re.compile(r"\s(?:are|were)\s(?P<items>[^.:;()]+)\.?$")
_BETWEEN = re.compile(r",\s*(?:and|or)\s+|,\s*|\s+(?:and|or)\s+")


def _items_after(text: str, number: Number) -> int:
    """How many things a claim names after "the three kinds are"; 0 where it is no such claim."""
    if _DEFINITE.search(text[max(0, number.start - 8) : number.start]) is None:
        return 0
    found = _LIST.search(text, number.end)
    return 0 if found is None else len(_BETWEEN.split(found["items"]))


def counts(text: str, number: Number) -> bool:
    """Whether a claim can be held to its number.

    "one" and "first" mostly count nothing ("one of the"), "Third, ..." counts only what is said, and so does "the
    three kinds are A, B and C".
    """
    word = text[number.start : number.end].lower()
    if word in _LISTED and _LISTED[word] == _items_after(text, number):
        return False
    if word in ORDINALS and text[number.end : number.end + 1] == ",":
        return _OPENS.search(text[max(0, number.start - 4) : number.start]) is None
    return not number.in_name and word not in ("one", "first")


def is_numeral(word: str) -> bool:
    """Whether a word is a number or a part of one, in digits or in English."""
    return any(map(str.isdigit, word)) or word.lower() in _NUMERALS


@lru_cache(maxsize=256)
def hints(text: str) -> frozenset[Fraction]:
    """Numbers that a text only hints at: "both" for two, "half" for 50 (per cent), "II" for two."""
    found = [HINTS[word] for word in lower_words(text) if word in HINTS]
    numerals = [ROMAN[numeral.lower()] for numeral in re.findall(r"\b[IVX]{2,}\b", text) if numeral.lower() in ROMAN]
    return frozenset(map(Fraction, numerals)).union(*found)


class Numbers:
    """Numbers, each with its place, found by their values: not every claim's number must meet every other one."""

    def __init__(self, found: Iterable[tuple[int, Number]]) -> None:
        self._held: dict[Fraction, dict[tuple[int, Number], None]] = {}
        for place, number in found:
            self.add(place, number)

    def add(self, place: int, number: Number) -> None:
        """One more, `bare` where the same one may come many times."""
        for value in looked_up(number):
            self._held.setdefault(value, {})[place, number] = None

    def places(self, number: Number) -> set[int]:
        """Where the number is backed, in whatever form."""
        near = (pair for value in self._near(number) for pair in self._held.get(value, ()))
        return {place for place, other in near if backs(other, number)}

    def _near(self, number: Number) -> Iterable[Fraction]:
        values = looked_up(number)
        if number.hedge is None:
            return values
        found = set(values)
        for value in values:  # rounded by at most 5 per cent
            off = abs(value) / 19
            begin = bisect_left(self._values, value - off)
            found.update(self._values[begin : min(bisect_right(self._values, value + off), begin + _MANY)])
        return found

    @cached_property
    def _values(self) -> list[Fraction]:
        return sorted(self._held)


def bare(number: Number) -> Number:
    """The number without its place."""
    return replace(number, start=0, end=0, in_name=False)


def looked_up(number: Number) -> frozenset[Fraction]:
    """What a number is found by: its values, and those in the smallest unit."""
    if number.factor == 1:
        return number.values
    return number.values | {value * number.factor for value in number.values}


def backs(evidence: Number, claim: Number) -> bool:
    """Whether the evidence's number is the claim's; units must agree where both have one.

    A claim that says "about" may round what the evidence gives, by at most 5 per cent: "about 150" for 148, not
    "about 149". "over" and "under" round down and up. A number that is said as exact must be exact.
    """
    if evidence.minutes and claim.minutes:
        return bool(evidence.minutes & claim.minutes)
    theirs, ours = evidence.values, claim.values
    if evidence.dimension and claim.dimension:
        if evidence.dimension != claim.dimension:
            return False
        theirs = frozenset(value * evidence.factor for value in theirs)
        ours = frozenset(value * claim.factor for value in ours)
    if theirs & ours or claim.hedge is None:
        return bool(theirs & ours)
    return any(_rounds(their, our, claim.hedge) for their in theirs for our in ours)


def _rounds(exact: Fraction, rounded: Fraction, hedge: int) -> bool:
    off = exact - rounded
    if abs(off) * 20 > abs(rounded) or off * hedge < 0:
        return False
    step = _last_digit(rounded)
    return (abs(off) <= step / 2 if hedge == 0 else abs(off) < step) and (exact / step).denominator != 1


def _last_digit(value: Fraction) -> Fraction:
    """What one more in the last digit that says something is worth: 10 for 150, 1/10 for 2.5."""
    if abs(value) >= 10**15:  # more digits than a float has
        return Fraction(1)
    whole, _, decimals = f"{float(value):f}".rstrip("0").partition(".")
    if decimals:
        return Fraction(1, 10 ** len(decimals))
    return Fraction(10 ** (len(whole) - len(whole.rstrip("0"))))


def _figures(text: str) -> Iterator[Number]:
    for found in _FIGURE.finditer(text):
        start, end = found.span()
        if text[end : end + 1].isalpha() and _scale(text, end, found["money"])[1] == end == _unit(text, end)[2]:
            continue  # "3D": a name
        if _DECADE.match(text, start) or end - start > _LONGEST:
            continue
        values = set(_values(found))
        if found["sign"]:
            item = not text[text.rfind("\n", 0, start) + 1 : start].strip()  # "-5" may begin an item of a list
            values = {-value for value in values} | (values if item else set())
        if (other := _RANGE.match(text, end)) and (times := AFTER_DIGITS.get(other[1].lower().removesuffix("s"))):
            values |= {value * times for value in values}  # the 7 of "7 to 8 million" is seven million, too
        yield _measured(text, start, end, values, found["money"])


def _values(found: re.Match[str]) -> Iterator[Fraction]:
    part = _VULGAR.get(found["part"] or found["alone"], Fraction(0))
    power = Fraction(10) ** int(found["power"].translate(_POWERS)) if found["power"] else 1
    for value in _readings(found["digits"] or "0"):
        yield (value + part) * power


def _readings(digits: str) -> Iterator[Fraction]:
    """Values of digits with separators: groups of three, of an Indian two, or a decimal mark at the end."""
    first, *pieces = re.split(rf"[.,'{_SPACES}]", digits)
    marks = re.findall(rf"[.,'{_SPACES}]", digits)
    grouped = len(first) <= 3 and {*map(len, pieces)} <= {2, 3} and len(set(marks)) <= 1
    if not pieces or (grouped and len(pieces[-1]) == 3):
        yield Fraction("".join([first, *pieces]))
    if pieces and marks[-1] in ".," and marks.count(marks[-1]) == 1 and all(len(piece) == 3 for piece in pieces[:-1]):
        yield Fraction("".join([first, *pieces[:-1]]) + "." + pieces[-1])
    elif set(marks) == {"."} and not grouped:  # "3.10.2" is a version, a value of its own
        yield sum((Fraction(int(piece), 10 ** (6 * i)) for i, piece in enumerate((first, *pieces))), Fraction(0))
    elif pieces:  # "in chapter 5 300 people", "in 3,5,7": several numbers, perhaps
        yield from (Fraction(piece) for piece in (first, *pieces))


def _measured(text: str, start: int, end: int, values: set[Fraction], money: str | None = None) -> Number:
    """Add what stands around a number: million, unit, "about"."""
    times, end = _scale(text, end, money)
    dimension, factor, end = _unit(text, end) if money is None else (*UNITS[money.lower()], end)
    before = text[max(0, start - 30) : start]
    scaled = frozenset(value * times for value in values)
    if dimension == "length" and text[end - 1 : end] == "m" and text[end - 2 : end - 1].isdigit():
        scaled |= {value * 10**6 for value in values}  # "330m people"
    in_name = before.endswith("-") and _IN_NAME.search(before) is not None
    return Number(start, end, scaled, dimension, factor, _hedge(before), in_name)


def _scale(text: str, end: int, money: str | None) -> tuple[int, int]:
    """What "million" and the like multiply a number by, and where they end."""
    found = _SCALE.match(text, end)
    if found is None:
        return 1, end
    word = found[1].lower()
    if found.start(1) == end and (word == "k" or (money and word in _LETTERS) or found[1] == "B"):
        return _LETTERS[word], found.end()  # "$5m" is much, but "5m" is long
    times = AFTER_DIGITS.get(word) or AFTER_DIGITS.get(word.removesuffix("s"))
    return (times, found.end()) if times else (1, end)


def _unit(text: str, end: int) -> tuple[str | None, Fraction, int]:
    """Dimension and factor of the unit that follows, and where it ends."""
    found = _UNIT.match(text, end)
    if found is None:
        return None, Fraction(1), end
    name = found[2].lower() if found[2] else _short(found[1].lower())
    return (*UNITS[name], found.end()) if name in UNITS else (None, Fraction(1), end)


def _short(unit: str) -> str:
    if "hour" in unit:
        return "mph" if unit.startswith("mi") else "km/h"
    return "percent" if "cent" in unit else "km²"


def _hedge(before: str) -> int | None:
    if _HEDGING.isdisjoint(before.lower().split()) and not before.rstrip().endswith(("~", "≈")):
        return None
    found = _HEDGE.search(before)
    return None if found is None else 1 if found[2] else -1 if found[3] else 0


def _spelled(text: str) -> Iterator[Number]:
    if _SPELLED_WORDS.isdisjoint(lower_words(text)):
        return
    for found in _SPELLED.finditer(text):
        parts = [part for part in re.split(r"[\s-]", found[0].lower()) if part not in ("and", "a", "an")]
        half = _HALF.match(text, found.end())
        for value in add_up(parts):
            exact = Fraction(value) + (Fraction(1, 2) if half else 0)
            yield _measured(text, found.start(), half.end() if half else found.end(), {exact})
