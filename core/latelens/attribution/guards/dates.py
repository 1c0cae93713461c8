"""Dates of a text: days, months, years, decades and centuries, in the forms that English, ISO and Europe write."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TypeAlias

from latelens.attribution.guards.number_words import ORDINALS
from latelens.attribution.guards.reading import lower_words

_MONTH_NAMES = """january jan januar janvier enero gennaio janeiro januari
february feb februar février fevrier febrero febbraio fevereiro februari
march mar märz maerz mars marzo março maart
april apr avril abril aprile
may mai mayo maggio maio mei
june jun juni juin junio giugno junho
july jul juli juillet julio luglio julho
august aug août aout agosto augustus
september sep sept septembre septiembre settembre setembro
october oct oktober octobre octubre ottobre outubro
november nov novembre noviembre novembro
december dec dezember décembre decembre diciembre dicembre dezembro"""
MONTHS = {name: month for month, line in enumerate(_MONTH_NAMES.splitlines(), start=1) for name in line.split()}
_NAME = r"[^\W\d_]{3,10}"  # looked up in `MONTHS`: to look for each of them takes long
_DAY, _YEAR = r"(?:3[01]|[12]\d|0?[1-9])", r"(?:1\d{3}|20\d{2})"
_FORMS = (
    re.compile(rf"(?<!\d)(?P<year>{_YEAR})(?P<mark>[-./])(?P<month>1[0-2]|0?[1-9])(?P=mark)(?P<day>{_DAY})(?!\d)"),
    re.compile(r"(?<![\w.,$€£¥-])(?P<year>19\d\d|20\d\d)(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])(?![\w,])"),
    re.compile(r"(?<![\d./-])(?P<a>\d{1,2})(?P<mark>[./-])(?P<b>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})(?![\d/-])"),
    re.compile(
        rf"(?i)\b(?P<day>{_DAY})(?:st|nd|rd|th|er|\.|º)?(?:\s+(?:of|de|di)\s)?[\s-]*(?P<name>{_NAME})(?![^\W\d_])\.?"
        rf"(?:(?:,|\s+(?:de|del|of)\s)?[\s-]*(?P<year>{_YEAR})(?!\d))?"
    ),
    re.compile(
        rf"(?i)\b(?P<name>{_NAME})(?:\.?\s+(?:the\s+)?)?(?P<day>{_DAY})(?:st|nd|rd|th)?(?:\b|(?=,))"
        rf"(?![.:]\d|,(?!{_YEAR}(?!\d))\d|\s\d{{3}}\b)(?:(?:,\s*|\s+)(?P<year>{_YEAR})(?!\d))?"
    ),
    re.compile(rf"(?i)\b(?P<name>{_NAME})\b\.?,?(?:\s+(?:of|de|del))?\s+(?P<year>{_YEAR})\b"),
)
_LONG_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
# "May" and "March" begin sentences and names: alone they are months after one of these.
_ALONE = re.compile(
    rf"\b(?:(?:[Ii]n|[Oo]f|[Ss]ince|[Uu]ntil|[Bb]y|[Dd]uring|[Ll]ast|[Nn]ext|[Ee]arly|[Ll]ate|and|to|from|or)\s"
    rf"(?P<after>{_LONG_MONTHS})|(?P<alone>{_LONG_MONTHS.replace('March|', '').replace('May|', '')}))\b"
)
_TENS = "twenties thirties forties fifties sixties seventies eighties nineties"
_DECADES = {word: 20 + 10 * i for i, word in enumerate(_TENS.split())}
_DECADE = re.compile(
    rf"(?i)\b(?:(\d{{3}}0)'?s|(?:(?<=the\s)|(?<=')|(?<=early\s)|(?<=late\s)|(?<=mid[\s-]))([2-9]0)'?s|({'|'.join(_DECADES)}))\b"
)
_CENTURY = re.compile(
    rf"(?i)\b(?:(\d{{1,2}})(?:st|nd|rd|th)|(twenty-first|{'|'.join(ORDINALS)}))\b"
    r"(?=(?:[\s-]+(?:and|to|or)[\s-]+[\w-]+|\s?-\s?\d+th)?[\s-]+centur)(?:[\s-]+century\b)?"
)
_BC = re.compile(r"\s*B\.?C(?:\.?E)?(?![A-Za-z])")
# A number is a year after one of these; else only as a range of years. Other numbers are left to `numbers`.
_CUE = re.compile(
    r"(?i)(?:\b(?:in|since|of|from|by|until|till|to|during|before|after|around|circa|ca\.|c\.|early|late|mid|and|between"
    r"|summer|winter|spring|autumn|fall|year|years|en|im|jahr|seit|nel|em|sinds)[\s-]|[(/])\s*$"
)
_BARE = re.compile(r"(?<![\w.,$€£/-])(?P<first>1\d{3}|20\d{2})(?:[-/](?P<last>\d{4}|\d{2}))?(?![\w/-]|[.,]\d)")
_ERA = re.compile(
    r"\b(?P<first>\d{1,4})(?:\s?-\s?(?P<last>\d{1,4}))?\s?(?P<bc>B\.?C(?:\.?E)?(?![A-Za-z]))?(?(bc)|(?:A\.?D|C\.?E)\b)|\bAD\s(?P<ad>\d{1,4})\b"
)


@dataclass(frozen=True)
class Date:
    """A date; what it leaves open is None. ``text[start:end]`` is what a reason quotes.

    Attributes
    ----------
    year
        Below 0 for BC.
    span
        First and last year of a decade or a century, which has nothing else.
    """

    start: int
    end: int
    year: int | None = None
    month: int | None = None
    day: int | None = None
    span: tuple[int, int] | None = None


@lru_cache(maxsize=256)
def dates(text: str) -> tuple[Date, ...]:
    """Every date of a `plain` text; 5/6/94 gives both of its readings, at one place."""
    found: list[Date] = []
    taken = bytearray(len(text))
    for date in _candidates(text):
        again = bool(found) and (found[-1].start, found[-1].end) == (date.start, date.end)
        if again or not any(taken[date.start : date.end]):
            found.append(date)
            taken[date.start : date.end] = b"\1" * (date.end - date.start)
    return tuple(found)


class Dates:
    """The dates of the evidence, found by what they say.

    `whole_numbers` are those that may be years where no word says so.
    """

    def __init__(self, evidence: Iterable[Date], whole_numbers: Iterable[int] = ()) -> None:
        self._spans: set[tuple[int, int]] = set()
        self._said: set[_Said] = set()
        self._yearless: set[_Said] = set()
        years = set(whole_numbers)
        for date in evidence:
            if date.span:
                self._spans.add(date.span)
                continue
            parts = ((date.year, None), (date.month, None), (date.day, None))
            self._said.update(product(*parts))
            if date.year is None:
                self._yearless.update(product(*parts))
            else:
                years.add(date.year)
        self._years = sorted(years)

    def back(self, claim: Date) -> bool:
        """Whether the evidence says all that the claim's date does; it may be more exact, but not less."""
        if claim.span:
            low, high = claim.span
            return self._has_year(low, high) or any(low <= first and last <= high for first, last in self._spans)
        if (claim.year, claim.month, claim.day) in self._said:
            return True
        if claim.year is None or not self._has_year(claim.year, claim.year):
            return False
        # "In 1994 ... on 5 May": the two parts may stand apart.
        return (claim.month is None and claim.day is None) or (None, claim.month, claim.day) in self._yearless

    def _has_year(self, low: int, high: int) -> bool:
        return bisect_left(self._years, low) < bisect_right(self._years, high)


_Said: TypeAlias = tuple[int | None, int | None, int | None]


def _candidates(text: str) -> Iterator[Date]:
    """Exact forms first: the first to take a place has it."""
    words = lower_words(text)  # most texts have few of the forms, and to look for one takes long
    months = not MONTHS.keys().isdisjoint(words)
    for form in _FORMS if months else _FORMS[:3]:
        for found in form.finditer(text):
            yield from _written(found)
    for found in _CENTURY.finditer(text) if "centur" in text.lower() else ():
        yield _century(text, found)
    for found in _DECADE.finditer(text) if "0" in text or not _DECADES.keys().isdisjoint(words) else ():
        yield _decade(found)
    for found in _ERA.finditer(text) if "C" in text or "AD" in text or "A.D" in text else ():
        sign = -1 if found["bc"] else 1
        yield from (
            Date(*found.span(part), year=sign * int(found[part])) for part in ("first", "last", "ad") if found[part]
        )
    for found in _ALONE.finditer(text) if months else ():
        part = "after" if found["after"] else "alone"
        yield Date(*found.span(part), month=MONTHS[found[part].lower()])
    for found in _BARE.finditer(text):
        yield from _years(text, found)


def _written(found: re.Match[str]) -> Iterator[Date]:
    parts = found.groupdict()
    year = int(parts["year"]) if parts["year"] else None
    if year is not None and len(parts["year"]) == 2:
        year += 1900 if year > 30 else 2000
    if "a" in parts:
        days = sorted({(int(parts["a"]), int(parts["b"])), (int(parts["b"]), int(parts["a"]))})
        yield from (Date(*found.span(), year, month, day) for day, month in days if 1 <= month <= 12 and 1 <= day <= 31)
        return
    name = parts.get("name")
    if name and (name.lower() not in MONTHS or name in ("may", "march", "mar")):  # "rule 5 may apply"
        return
    month = MONTHS[name.lower()] if name else int(parts["month"])
    day = int(parts["day"]) if parts.get("day") else None
    yield Date(found.start(), found.start() + len(found[0].rstrip(". ")), year, month, day)


def _century(text: str, found: re.Match[str]) -> Date:
    word = (found[2] or "").lower()
    number = int(found[1]) if found[1] else 21 if word == "twenty-first" else ORDINALS[word]
    if _BC.match(text, found.end()):
        return Date(*found.span(), span=(-100 * number, -100 * number + 99))
    return Date(*found.span(), span=(100 * number - 100, 100 * number - 1))


def _decade(found: re.Match[str]) -> Date:
    if found[1]:
        first = int(found[1])
        return Date(*found.span(), span=(first, first + (99 if first % 100 == 0 else 9)))  # "the 1800s"
    first = 1900 + (int(found[2]) if found[2] else _DECADES[found[3].lower()])
    return Date(*found.span(), span=(first, first + 9))


def _years(text: str, found: re.Match[str]) -> Iterator[Date]:
    first, last = found["first"], found["last"] or ""
    century = int(first[:2]) * 100
    until = int(last) if len(last) == 4 else century + int(last or 0) + (100 if last == "00" else 0)
    ranges = bool(last) and until > int(first)
    if ranges or _CUE.search(text[max(0, found.start() - 12) : found.start()]):
        yield Date(*found.span("first"), year=int(first))
    if ranges:
        yield Date(*found.span("last"), year=until)
