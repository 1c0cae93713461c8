"""Names in a text: capitalised words that are not only the first of a sentence.

The single first word of a sentence counts, too, unless a list or its ending tells that it is an ordinary one: the
subject of a claim should stand in its evidence. Languages without case have no names that can be seen so; in German,
where every noun has a capital, only several capitalised words in a row and acronyms count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import regex

from latelens.attribution.guards.dates import MONTHS
from latelens.attribution.guards.name_words import (
    ALIASES,
    ERAS,
    GENERIC,
    IRREGULAR,
    NO_NAME_ENDINGS,
    ORDINARY,
    PEOPLE,
    PLACES,
    SAME,
    SMALL,
    TITLES,
    common_words,
)
from latelens.attribution.guards.number_words import ORDINALS, ROMAN
from latelens.attribution.guards.reading import fold, language_of, stem
from latelens.attribution.guards.units import UNITS

# "F-16", "COVID-19", "U.S." and "AT&T" are one word each; "Jean-Luc" is two.
_TOKEN = regex.compile(
    r"\p{L}[\p{L}\p{M}\p{N}]*(?:['.&](?=[\p{L}\p{N}])[\p{L}\p{M}\p{N}]+)*(?:-\p{N}+\b)?|\p{N}+[\p{L}\p{M}]*"
)
_SENTENCE_START = regex.compile(r"(?:[.!?:;•|]['\"”»)]*\s|\n|^)\s*[-(*\[\"'“«]*$")
# "**Daily Food Intake:** 150 kg": headings in a line write ordinary words with capitals.
_LABEL = regex.compile(r"\W*[^.:!?|\n]{1,60}:[*_]*\s")
_MANY = 500  # names of one last word: the time must not grow with claims times evidence
_LONGEST = 12  # letters of an acronym
_LONG = 7  # letters of a name that may be spelt with one more or one less: "Bismark", "Muawiyah"
_INITIALS = regex.compile(r"\p{Lu}(?:\.\p{Lu})+")
_ABBREVIATED = regex.compile(r"(?:^|\W)(?:\p{Lu}|[DM]r|Mrs|Ms|St|Jr|Sr|Prof|Gen|Lt|Sgt|Capt)$")


@dataclass(frozen=True)
class Name:
    """Capitalised words in a row; ``words`` are their stems, without the small words between."""

    start: int
    end: int
    words: tuple[str, ...]
    acronym: bool


@dataclass(frozen=True)
class Vocabulary:
    """What a text of evidence offers to back a name.

    Attributes
    ----------
    words
        Stems of all words, capitalised or not.
    names
        All that may be names, the first words of sentences among them.
    initials, capitals
        First letters of all words, and of the capitalised ones with a space where another word stands between.
    acronyms
        The words in capitals: "US" is not "us".
    joined
        Two words in a row as one: "Tech Crunch" is TechCrunch.
    """

    words: frozenset[str]
    names: tuple[Name, ...]
    initials: str
    capitals: str
    acronyms: frozenset[str]
    joined: frozenset[str]

    @cached_property
    def spelt(self) -> frozenset[str]:
        """The long words of names, each with one of its letters left out."""
        long = {word for name in self.names for word in name.words if len(word) > _LONG}
        return frozenset(less for word in long for less in _with_a_letter_less(word))

    @cached_property
    def by_last(self) -> dict[str, tuple[Name, ...]]:
        """The names by their last word."""
        found: dict[str, list[Name]] = {}
        for name in dict.fromkeys(Name(0, 0, name.words, name.acronym) for name in self.names):
            found.setdefault(name.words[-1], []).append(name)
        return {last: tuple(names[:_MANY]) for last, names in found.items()}


class _Word(NamedTuple):
    start: int
    end: int
    text: str
    leads: bool  # a sentence


def names(text: str) -> tuple[Name, ...]:
    """Names of a `plain` text that a claim can be held to; a text in capitals shows none."""
    if text == text.upper() and " " in text.strip():
        return ()
    german = language_of(text) == "de"
    label = _LABEL.match(text)
    rows = _rows(text) if label is None else (row for row in _rows(text) if row[0].start >= label.end())
    found = (name for row in rows for name in _name(row, text, german=german))
    return tuple(name for name in found if not (name.acronym and _is_explained(name, text)))


@lru_cache(maxsize=256)
def vocabulary(text: str) -> Vocabulary:
    """What a `plain` text of evidence offers."""
    tokens = [token.group() for token in _TOKEN.finditer(text)]
    folded = [fold(token) for token in tokens]
    pieces = {stem(piece) for token in folded if "-" in token for piece in token.split("-")}
    ranks = {str(ORDINALS[token]) for token in folded if token in ORDINALS}  # "the Second World War"
    capitals = "".join(
        token[0] if written[0].isupper() else "" if token in SMALL or token == "and" else " "
        for token, written in zip(folded, tokens, strict=True)
    )
    offered = tuple(_finish(row) for row in map(_trim, _rows(text)) if row)
    keys = list(map(_key, tokens))
    return Vocabulary(
        words=frozenset(keys) | pieces | ranks,
        names=offered,
        initials="".join(token[0] for token in folded),
        capitals=capitals,
        acronyms=frozenset(_key(token) for token in tokens if _is_acronym(token)),
        joined=frozenset(first.removesuffix("'s") + second for first, second in pairwise(keys)),
    )


def backs(evidence: Vocabulary, name: Name) -> bool:
    """Whether the evidence has the name: its words, its surname alone, its acronym or its expansion."""
    if name.acronym and len(name.words[0]) < 4:
        return name.words[0] in evidence.acronyms or _abbreviates(evidence, name)
    telling = [word for word in name.words if word not in _GENERIC] or name.words
    if all(len(word) == 1 or _has(evidence, word) for word in telling) or "".join(name.words) in evidence.words:
        return True
    shorter = {name.words[-1], telling[-1]}
    others = (other for last in shorter for other in evidence.by_last.get(last, ()))
    return any(_shorter(other, telling) for other in others) or _abbreviates(evidence, name)


def _rows(text: str) -> Iterator[list[_Word]]:
    """Runs of capitalised words, with small words between them left out."""
    row: list[_Word] = []
    end, small = 0, 0  # where the run has come to, and how many small words wait for another capital
    for token in _TOKEN.finditer(text):
        word = token.group()
        joined = bool(row) and _joins(text, end, token.start())
        if _is_name(word):
            if row and not joined:
                yield row
                row = []
            leads = _SENTENCE_START.search(text[max(0, token.start() - 8) : token.start()]) is not None
            row.append(_Word(token.start(), token.end(), word, leads and (token.start() < 8 or not joined)))
            small = 0
        elif row and not (joined and fold(word) in SMALL and small < 2):
            yield row
            row, small = [], 0
        else:
            small += 1
        end = token.end()
    if row:
        yield row


def _is_explained(name: Name, text: str) -> bool:
    """Whether the claim itself says what an acronym is short for: "reflux disease (RD)"."""
    if text[name.start - 1 : name.start] != "(" or text[name.end : name.end + 1] != ")":
        return False
    before = _TOKEN.findall(text[max(0, name.start - 100) : name.start])[-6:]
    return any(fold(word)[0] == name.words[0][0] for word in before)


def _joins(text: str, start: int, end: int) -> bool:
    between = text[start:end]
    if between in (" ", "-", " & ", "\u00a0"):
        return True
    return between in (". ", ".") and _ABBREVIATED.search(text[max(0, start - 6) : start]) is not None


def _is_name(word: str) -> bool:
    letters = word.lstrip("0123456789")
    counts = letters.lower() in UNITS or (letters != word and letters in ("k", "K", "M", "B", "bn"))  # "USD", "10K"
    if counts or word.replace(".", "") in ERAS:
        return False
    return word != word.lower() and word.lower().partition("-")[0] not in MONTHS


def _is_acronym(word: str) -> bool:
    """Whether it has a digit, or a capital that is not its first letter."""
    return word[1:] != word[1:].lower() or (not word.isalpha() and any(letter.isdigit() for letter in word))


def _trim(row: list[_Word]) -> list[_Word]:
    """The row without ordinary words around it."""
    kept = [fold(word.text).removesuffix("'s") not in ORDINARY or _is_acronym(word.text) for word in row]
    return row[kept.index(True) : len(kept) - kept[::-1].index(True)] if any(kept) else []


def _name(row: list[_Word], text: str, *, german: bool) -> Iterator[Name]:
    """The name in a row, unless nothing but the start of a sentence is left."""
    row = _trim(row)
    if german and row and row[0].leads:
        row = row[1:]
    if not row:
        return
    only = row[0]
    if all(_key(word.text) in _GENERIC for word in row):
        return
    ordinary = german or (only.leads and _begins_plainly(only, text))
    if len(row) > 1 or _is_acronym(only.text) or not ordinary:
        yield _finish(row)


def _begins_plainly(word: _Word, text: str) -> bool:
    """Whether the first word of a sentence or of a table's cell has its capital from its place alone, by its looks."""
    if text[word.end : word.end + 1] == "," or word.text.endswith(NO_NAME_ENDINGS):
        return True
    if stem(word.text) in common_words():
        return True
    return text[max(0, word.start - 8) : word.start].rstrip(" *_").endswith("|")


def _finish(row: list[_Word]) -> Name:
    words: list[str] = []
    for word in row:
        # "J.K. Rowling"
        words += fold(word.text).split(".") if len(row) > 1 and _INITIALS.fullmatch(word.text) else [_key(word.text)]
    return Name(row[0].start, row[-1].end, tuple(words), len(row) == 1 and _is_acronym(row[0].text))


@lru_cache(maxsize=16384)
def _key(word: str) -> str:
    key = stem(word).replace(".", "").replace("-", "").replace("&", "")
    key = SAME.get(key, key)
    return str(ROMAN[key]) if len(word) > 1 and word.isupper() and key in ROMAN else key


_GENERIC = frozenset(map(_key, GENERIC))


def _has(evidence: Vocabulary, word: str) -> bool:
    if word in evidence.words or word in evidence.joined or not evidence.words.isdisjoint(_relatives(word)):
        return True
    if len(word) < _LONG or not word.isalpha():
        return False
    return word in evidence.spelt or any(less in evidence.words for less in _with_a_letter_less(word))


def _with_a_letter_less(word: str) -> Iterator[str]:
    """Without each of its letters but the first."""
    return (word[:i] + word[i + 1 :] for i in range(1, len(word)))


@lru_cache(maxsize=4096)
def _relatives(word: str) -> frozenset[str]:
    """The people of a place and the place of a people, as stems: closed lists of endings."""
    found = set(IRREGULAR.get(word, ()))
    for people in PEOPLE:
        if word.endswith(people) and len(base := word.removesuffix(people)) >= 4:
            found.update(base + place for place in PLACES)
    for place in PLACES:
        if word.endswith(place) and len(base := word.removesuffix(place)) >= 4:
            found.update(base + people for people in PEOPLE)
    return frozenset(map(stem, found))


def _shorter(other: Name, words: Sequence[str]) -> bool:
    """Whether the evidence's name is the claim's with less: "Hogestyn" or "D. Hogestyn" for "Drake Hogestyn"."""
    known = {*words, *(word[0] for word in words), *TITLES, *_GENERIC}
    return words[-1] in other.words and all(word in known for word in other.words)


def _abbreviates(evidence: Vocabulary, name: Name) -> bool:
    """Whether one is the acronym of the other; two letters count only as the initials of capitalised words."""
    written = " ".join(name.words)
    for alias in ALIASES.get(written, ()):
        if alias in evidence.acronyms or (len(alias) > 4 and evidence.words.issuperset(alias.split())):
            return True
    if name.acronym:
        letters = name.words[0]
        if len(letters) > _LONGEST:
            return False
        return letters in evidence.capitals or (len(letters) > 2 and letters in evidence.initials)
    return len(name.words) > 1 and "".join(word[0] for word in name.words) in evidence.acronyms
