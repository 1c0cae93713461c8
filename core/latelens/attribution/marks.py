"""Citation marks that a model wrote, such as ``[1]``: where they stand and which numbers they name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import regex

from latelens.attribution.edits import Edit, edited
from latelens.refusals import check_is

# "[2?]" is how a mark is flagged that its source does not bear out.
_NUMBERS = r"\^?\d{1,3}\??(?:\s{0,2}(?:[,;–-]|,?\sand\s)\s{0,2}\^?\d{1,3}\??){0,20}"
_NAMED = rf"(?:sources?|docs?|documents?|passages?|contexts?|refs?\.?|references?)\s{{0,2}}{_NUMBERS}"
_MARK = regex.compile(
    rf"""(?xi) \[\s? (?P<numbers> {_NAMED} | {_NUMBERS} ) \s?\] (?! \( ) (?! : )
      | \[ (?P<numbers>{_NUMBERS}) \] \( [^()\s]{{0,500}} \)
      | \( (?P<numbers>{_NAMED}) \) | 【 (?P<numbers>\d{{1,3}}) [^】\n]{{0,80}} 】
      # "(1)" is a mark at the end of a clause alone: not "(1) first", not "Figure (1)" of something.
      | (?<=[\p{{L}}\p{{N}}%"'”’»)\]】.!?。]\s?) (?<!\b(?:figure|fig\.|table|equation|eq\.|step|section|chapter|page)\s)
        \( (?P<numbers>\d{{1,3}}(?:\s?,\s?\d{{1,3}}){{0,20}}) \) (?= \s*(?:[.,;:!?。]|\(\d|$|\n) )"""
)
_SPACES = regex.compile(r"[ \t]*")
_CODE = regex.compile(r"(?ms)^[ \t>]*(`{3,}|~{3,}).*?(?:^[ \t>]*\1|\Z)|`[^`\n]{1,500}`")
# "[^1]: The report, page 3": what a footnote says stands under the answer.
_FOOTNOTE = regex.compile(r"(?m)^[ \t]*\[\^?\d{1,3}\]:.*$\n?")
_WIDEST = 50  # sources that a range such as "[1-9]" may name


@dataclass(frozen=True)
class WrittenMark:
    """A mark in an answer; ``answer[start:end] == text``. `numbers` are what it names, from 1, in its order."""

    start: int
    end: int
    text: str
    numbers: tuple[int, ...]


def read_marks(answer: str) -> tuple[WrittenMark, ...]:
    """Every mark of an answer, in order; those in code, and what stands in a footnote, are none.

    >>> [mark.numbers for mark in read_marks("They eat grass [1, 3]. They swim【2†source】 (4).")]
    [(1, 3), (2,), (4,)]
    """
    check_is("answer", answer, str, "a str")
    text = _blanked(_FOOTNOTE, _blanked(_CODE, answer))
    return tuple(
        WrittenMark(found.start(), found.end(), found[0], tuple(_numbers(found["numbers"])))
        for found in _MARK.finditer(text)
    )


def _blanked(pattern: regex.Pattern[str], text: str) -> str:
    left: str = pattern.sub(lambda apart: "\0" * len(apart[0]), text)
    return left


def _numbers(written: str) -> Iterator[int]:
    for first, last in regex.findall(r"(\d+)(?:\s{0,2}[–-]\s{0,2}\^?(\d+))?", written):
        begin, end = int(first), int(last or first)
        yield from range(begin, end + 1) if begin <= end <= begin + _WIDEST else (begin, end)


def without_marks(answer: str) -> str:
    """The answer without its marks, the spaces before them, and footnotes.

    >>> without_marks("They eat grass [1][2].")
    'They eat grass.'
    """
    marks = mark_edits(answer, dict.fromkeys(read_marks(answer), ""))
    return edited(answer, sorted([*marks, *footnote_edits(answer)], key=lambda edit: edit.start))


def footnote_edits(answer: str) -> list[Edit]:
    """The edits that take the lines away that say what ``[^1]`` is."""
    return [Edit(found.start(), found.end(), "") for found in _FOOTNOTE.finditer(_blanked(_CODE, answer))]


def mark_edits(answer: str, written: Mapping[WrittenMark, str]) -> list[Edit]:
    """The edits that put other marks in the place of an answer's; where none is left, the spaces before it go, too."""
    edits: list[Edit] = []
    reached = 0
    for mark, text in sorted(written.items(), key=lambda item: item[0].start):
        start, end = mark.start, mark.end
        if not text:
            start = reached + len(answer[reached:start].rstrip(" \t"))
        if not text and (mark.start == 0 or answer[mark.start - 1] == "\n"):
            end = _SPACES.match(answer, end).end()
        edits.append(Edit(start, end, text))
        reached = end
    return edits
