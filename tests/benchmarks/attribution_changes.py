"""Changes of a claim in one place, each as where, what stood there and what stands there now.

What is changed is found with patterns of this file, not with those that the guards use, and only a value that stands
in the passages is changed.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from latelens.text.sentences import split_sentences

Change = tuple[int, str, str]


@dataclass(frozen=True)
class Case:
    """A claim that its passages back."""

    id: str
    claim: str
    passages: tuple[str, ...]

    @property
    def half(self) -> str:
        return "develop" if int(hashlib.sha1(self.id.encode()).hexdigest(), 16) % 2 == 0 else "report"


_MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_NUMBER = re.compile(r"(?<![\w.,-])\d+(?:[.,]\d+)*(?![\w]|[.,]\d)")
_WORDS = "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty fifty"
_SPELLED = _WORDS.split()
_WORD_NUMBER = re.compile(rf"\b(?:{'|'.join(_SPELLED)})\b")
_NAME = re.compile(r"\b[A-Z][\w'-]*(?:(?:\s|(?<=\b[A-Z])\.\s?)[A-Z][\w'-]*)*")
# A name for sure: in the passages it stands in the middle of a sentence.
_MIDDLE = r"[a-z,]\s+{}(?![\w'-])"
_NO_NAME = re.compile(
    rf"^(?:I|A|An|The|This|In|It|He|She|Yes|No|{_MONTH}|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)\b"
)


def _numbers(text: str, others: str) -> list[tuple[int, str]]:
    """Numbers of a text that another one has too, in the same form."""
    found = [*_NUMBER.finditer(text), *_WORD_NUMBER.finditer(text)]
    there = r"(?<![\w.,]){}(?!\w)"
    return [(match.start(), match[0]) for match in found if re.search(there.format(re.escape(match[0])), others)]


def other_numbers(case: Case, chance: random.Random) -> Iterator[Change]:
    """Another number of the same form: "1994" becomes "1998", "5 May" another day."""
    for start, old in _numbers(case.claim, "\n".join(case.passages)):
        around = case.claim[max(0, start - 12) : start], case.claim[start + len(old) : start + len(old) + 14]
        yield start, old, _other_number(old, around, chance)


def _other_number(old: str, around: tuple[str, str], chance: random.Random) -> str:
    if old in _SPELLED:
        return chance.choice([word for word in _SPELLED if word != old])
    if re.search(rf"{_MONTH}\s$", around[0]) or re.match(rf"(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH}", around[1]):
        return str(chance.choice([day for day in range(1, 29) if str(day) != old]))
    digits = [i for i, character in enumerate(old) if character.isdigit()]
    kept = len(old.replace(",", "").rstrip("0"))
    year = len(old) == 4 and old[:2] in ("16", "17", "18", "19", "20")
    place = chance.choice(digits[2:] if year else digits[: max(1, kept)])
    lowest = 1 if place == digits[0] and len(digits) > 1 else 0
    digit = chance.choice([digit for digit in range(lowest, 10) if str(digit) != old[place]])
    return f"{old[:place]}{digit}{old[place + 1 :]}"


def swapped_numbers(case: Case, chance: random.Random) -> Iterator[Change]:
    """Another number of the passages, as long as the old one."""
    passages = "\n".join(case.passages)
    there = sorted({match[0] for match in _NUMBER.finditer(passages)})
    for start, old in _numbers(case.claim, passages):
        same = [new for new in there if new != old and len(new) == len(old) and new not in case.claim]
        if same:
            yield start, old, chance.choice(same)


def names_of(case: Case) -> Iterator[tuple[int, str]]:
    """Names of the claim, with their places, that stand inside a sentence of the passages, too."""
    passages = "\n".join(case.passages)
    for match in _NAME.finditer(case.claim):
        name = re.sub(r"'s?$", "", match[0])
        if len(name) > 2 and not _NO_NAME.match(name) and re.search(_MIDDLE.format(re.escape(name)), passages):
            yield match.start(), name


def _shape(name: str) -> tuple[tuple[bool, bool], ...]:
    return tuple((word.isupper(), any(letter.isdigit() for letter in word)) for word in name.split())


def other_names(case: Case, chance: random.Random, pool: Sequence[str]) -> Iterator[Change]:
    """A name of the same shape out of `pool`: as many words, capitals and digits alike."""
    for start, old in names_of(case):
        parts = set(old.lower().split())
        same = [new for new in pool if _shape(new) == _shape(old) and not parts & set(new.lower().split())]
        if same:
            yield start, old, chance.choice(same)


def swapped_names(case: Case, chance: random.Random) -> Iterator[Change]:
    """Another name of the passages."""
    names = [match[0] for piece in case.passages for match in re.finditer(r"(?<=[a-z,] )" + _NAME.pattern, piece)]
    there = sorted(set(names))
    for start, old in names_of(case):
        same = [new for new in there if _shape(new) == _shape(old) and new not in case.claim and old not in new]
        if same:
            yield start, old, chance.choice(same)


_AUXILIARY = re.compile(
    r"\b(is|are|was|were|can|could|will|would|should|may|might|must|(?:has|have|had)(?=\s(?:been|\w+ed|\w+en)\b))"
    r"(?=\s+[\w\"])(?!\s+(?:not|never|no)\b)"
)
_SIMPLE_HAVE = re.compile(r"\b(has|have|had)\b(?=\s+(?:a|an|the|\d+|\w+s)\b)")
_PAST = re.compile(r"(?<=[a-z] )(\w+ed)\b(?=\s+(?:a|an|the|in|on|to|at|by|with|for|over|from)\b)")
_NEGATOR = re.compile(r"\b(?:no|not|never|none|without|neither|nor|cannot)\b|n't\b")
_INSTEAD = {"has": "does not have", "have": "do not have", "had": "did not have"}


def negated(case: Case, chance: random.Random) -> Iterator[Change]:
    """A negation that was not there."""
    word = chance.choice(["not", "not", "never"])
    for match in _AUXILIARY.finditer(case.claim):
        yield match.start(), match[0], f"{match[0]} {word}"
    for match in _SIMPLE_HAVE.finditer(case.claim):
        yield match.start(), match[0], _INSTEAD[match[0]]
    if not _AUXILIARY.search(case.claim):
        for match in _PAST.finditer(case.claim):
            yield match.start(), match[0], f"never {match[0]}"


def affirmed(case: Case, chance: random.Random) -> Iterator[Change]:
    """A negation less, where a sentence of the passages negates one of the three words that follow, too."""
    if re.search(r"\b(?:contexts?|mention\w*|specified|provided)\b", case.claim):
        return  # it speaks of the passages: "is not mentioned" stands in none of them
    denials = [piece[a:b] for piece in case.passages for a, b in split_sentences(piece) if _NEGATOR.search(piece[a:b])]
    beginnings = {word[:4] for sentence in denials for word in _words(sentence)}
    for match in re.finditer(r"\b(?:not|never) (?!only\b|just\b|necessarily\b)|n't\b|(?<=\bcan)not\b", case.claim):
        following = re.findall(r"\w{4,}", case.claim[match.end() :].lower())[:3]
        if any(word[:4] in beginnings for word in following):
            yield match.start(), match[0], ""


def denied(case: Case) -> Iterator[tuple[int, int, str, str]]:
    """Passage, place, old and new: a "not" in the sentence of the passages that shares most of the claim's words."""
    if _NEGATOR.search(case.claim):
        return
    said = _words(case.claim)
    sentences = [(i, *span) for i, piece in enumerate(case.passages) for span in split_sentences(piece)]
    i, begin, end = max(sentences, key=lambda at: len(said & _words(case.passages[at[0]][at[1] : at[2]])))
    for match in _AUXILIARY.finditer(case.passages[i], begin, end):
        if _next_word(case.passages[i], match.end()) in said:
            yield i, match.start(), match[0], f"{match[0]} not"


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def _next_word(text: str, start: int) -> str:
    found = re.compile(r"\w+").search(text, start)
    return found[0].lower() if found else ""
