"""Times of day, each one value: 15:00 = 3 pm, 10:00 = ten o'clock, 12:00 = noon, 9:30 = half past nine."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import regex

from latelens.attribution.guards.number_words import SMALL

_HALF_DAY, _DAY = 12 * 60, 24 * 60  # minutes
NAMED = {"noon": _HALF_DAY, "midday": _HALF_DAY, "midnight": 0}
_HOURS = {word: hour for word, hour in SMALL.items() if 1 <= hour <= 12}
_HOUR = rf"(?P<hour>\d{{1,2}}|{'|'.join(_HOURS)})"
_SIDE = r"(?P<side>[ap])(?:m\b|\.m\.?(?!\w))"
_TIME = regex.compile(
    rf"""(?xi) (?<![\w.,:/$€£¥₹]) (?:
        (?P<hour>\d{{1,2}}):(?P<minute>[0-5]\d)(?![\d:]|\.\d)(?:\s?{_SIDE})?
      | {_HOUR}(?:\.(?P<minute>[0-5]\d))?\s?{_SIDE}
      | {_HOUR}\s?o'clock\b(?:\s?{_SIDE})?
      | (?P<part>half|quarter)\s(?P<turn>past|to)\s{_HOUR}\b(?:\s?{_SIDE})?
      | (?P<named>noon|midday|midnight)\b
    )"""
)
_HINTS = regex.compile(r"(?i)\d:[0-5]\d|\d\s?[ap]\.?m|[a-z]\s[ap]\.?m\b|o'clock|half|quarter|noon|midday|midnight")


class Time(NamedTuple):
    """A time of day; ``text[start:end]`` is what a reason quotes.

    Attributes
    ----------
    values
        What a bare number may say in its place: 10 for 10:00, 9.30 for 9:30.
    minutes
        Minutes of the day: two where neither "pm" nor an hour above 12 tells the half of the day.
    """

    start: int
    end: int
    values: frozenset[Fraction]
    minutes: frozenset[int]


def times(text: str) -> Iterator[Time]:
    """Every time of day in a `plain` text."""
    if _HINTS.search(text) is None:  # most texts have none, and to look for one takes longer
        return
    for found in _TIME.finditer(text):
        minutes = _minutes(found)
        if minutes:
            start, end = found.span()
            yield Time(start, end, frozenset(value for minute in minutes for value in _bare(minute)), minutes)


def _minutes(found: regex.Match[str]) -> frozenset[int]:
    """Empty where it is no time of day, such as 45:10."""
    if found["named"]:
        return frozenset({NAMED[found["named"].lower()]})
    written = found["hour"].lower()
    hour, minute = _HOURS.get(written) or int(written), int(found["minute"] or 0)
    if hour > 24 or (hour > 12 and (found["side"] or found["part"])):
        return frozenset()
    if found["part"]:
        minute = (30 if found["part"].lower() == "half" else 15) * (1 if found["turn"].lower() == "past" else -1)
    time = (60 * hour + minute) % _DAY
    if found["side"]:
        return frozenset({time % _HALF_DAY + (_HALF_DAY if found["side"].lower() == "p" else 0)})
    if hour > 12 or hour == 0 or (hour == 12 and found["minute"]) or written.startswith("0"):
        return frozenset({time})
    return frozenset({time, (time + _HALF_DAY) % _DAY})


def _bare(minute: int) -> set[Fraction]:
    hour, rest = divmod(minute, 60)
    return {each + Fraction(rest, 100) for each in (hour, hour % 12 or 12)}
