"""Negation: whether a claim denies what its evidence states, or states what it denies.

A closed list of negators for each language. Opposites ("alive" and "dead", "rose" and "fell") are beyond it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import regex

from latelens.attribution.guards.reading import SMALL_WORDS, fold, language_of, stem

_NEGATORS = {
    "en": """not never no none nobody nothing nowhere neither nor without cannot unable fail fails failed failing lack
        lacks lacked lacking deny denies denied false hardly barely scarcely impossible""",
    "de": "nicht nie niemals kein keine keinen keinem keiner keines niemand nichts ohne weder",
    "fr": "pas jamais aucun aucune ni sans rien",
    "es": "no nunca jamás ningún ninguno ninguna nadie nada sin tampoco ni",
    "it": "non mai nessun nessuno nessuna niente nulla senza né",
    "pt": "não nunca jamais nenhum nenhuma ninguém nada sem nem",
    "nl": "niet nooit geen niemand niets zonder noch",
}
NEGATORS = {language: frozenset(map(fold, line.split())) for language, line in _NEGATORS.items()}
# Negators that deny nothing, the "No," of an answer, "No. 5", and remarks on what the sources leave out.
_HARMLESS = regex.compile(
    r"""(?xi) \bnot\s(?:only|just|merely|simply|necessarily)\b | \bnot?\s(?:less|more|fewer|later|longer)\sthan\b
      | \bno\sdoubt\b | ^\W*no\s?, | \bno\.?\s?\d+ | \bwhether\sor\snot\b | \bnicht\snur\b | \bnon?\ssolo\b
      | \b(?:is|are|was|were)\snot(?:\s\w+ly)?\s(?:mentioned|specified|stated|indicated|provided|given|known|clear)\b
      | \b(?:is|was)\snot\spossible\sto\b | \bno\s(?:\w+\s)?(?:mention|information|context|evidence|reference)\b
      | \b(?:contexts?|sources?|texts?|passages?|documents?|articles?)\s(?:does|do|did)\snot\b"""
)
_TOKEN = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:'\p{L}+)?")
# What a negator denies ends here: "It has no sharps or flats, and is the key of C."
_CLAUSE = regex.compile(
    r"(?i)[;:()—]|,\s(?=(?:and|but|or|so|yet|which|who|while|whereas|although|though|because)\b)"
    r"|\s(?=(?:but|although|whereas)\b)"
)
_ALSO_SILENT = """did does do done been being be have had would could should can will may might its their there any ever
also base given provid context yes no however according which who"""


@lru_cache(maxsize=16384)
def _root(word: str) -> str:
    word = stem(word)
    for ending in ("ing", "ed", "es", "d", "e"):
        if len(word) - len(ending) >= 4 and word.endswith(ending):
            word = word[: -len(ending)]
            break
    if word.endswith("i"):
        return word[:-1] + "y"  # "carried"
    return word[:-1] if word[-2:-1] == word[-1:] else word  # "cancelled"


_SILENT = frozenset(map(_root, " ".join([*SMALL_WORDS.values(), _ALSO_SILENT]).split()))
_GRAMMAR = """am being but do does did doing done having have here her him how i if its may me might must
    my or our shall so than them then there their these those us we what when where which while who whom whose you
    your can could should will would"""
_SMALL = {
    language: NEGATORS[language].union(map(fold, line.split()), _GRAMMAR.split() if language == "en" else ())
    for language, line in SMALL_WORDS.items()
}


@lru_cache(maxsize=16384)
def is_small_word(word: str, language: str) -> bool:
    """Whether a word is a negator or says nothing on its own, by a closed list for each language."""
    return fold(word) in _SMALL[language] or is_negator(word, language)


@lru_cache(maxsize=16384)
def is_negator(word: str, language: str) -> bool:
    """Whether a word denies, by a closed list for each language."""
    return _negates(fold(word.replace("’", "'")), language)


_PREFIXES = ("un", "non", "in", "im", "dis", "ir", "il")

# Chosen on half of HAGRID's claims: 3 to 7 words and 30 to 50 per cent differ by less than 3 points.
AFTER = 5  # words after a negator that it denies
AROUND = 8  # words on each side that find the sentence of the other text
CLAIM_SHARE, EVIDENCE_SHARE = 0.4, 0.3  # of those words that must stand in it
# A word that stands in more sentences finds these only: the time must not grow with claims times evidence.
_MANY = 500


@dataclass(frozen=True)
class Sentence:
    """Words of a sentence: roots, spans, which of them negate, which of these deny a statement, and their clauses."""

    roots: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    negators: tuple[int, ...]
    telling: tuple[int, ...]
    clauses: tuple[int, ...]  # of each word

    @cached_property
    def content(self) -> frozenset[str]:
        """Roots of the words that say something."""
        return self.between(0, len(self.roots))

    def between(self, start: int, end: int) -> frozenset[str]:
        """The same for some of the words."""
        places = range(max(0, start), min(end, len(self.roots)))
        return frozenset(self.roots[i] for i in places if i not in self.negators and self.roots[i] not in _SILENT)

    def negates(self, roots: frozenset[str]) -> bool:
        """Whether a negator stands near one of the words, or one begins with "un-" or the like."""
        near = any(
            i - AFTER - 2 <= negator <= i + 2
            for i, root in enumerate(self.roots)
            if root in roots
            for negator in self.negators
        )
        return near or any(prefix + root in self.content for prefix in _PREFIXES for root in roots)


@dataclass(frozen=True)
class Difference:
    """Word `at` of the claim is the negator that the evidence lacks, or what the evidence denies."""

    at: int
    denies: bool


@lru_cache(maxsize=4096)
def read(sentence: str, language: str | None = None) -> Sentence:
    """The words of a `plain` sentence; its language is told by its small words unless given."""
    language = language or language_of(sentence)
    found = [(fold(token.group()), token.span()) for token in _TOKEN.finditer(sentence)]
    negators = [i for i, (word, _) in enumerate(found) if _negates(word, language)]
    telling: list[int] = []
    if negators:
        quiet = [harmless.span() for harmless in _HARMLESS.finditer(sentence)]
        telling = [i for i in negators if not any(start <= found[i][1][0] < end for start, end in quiet)]
    roots, spans = tuple(_root(word) for word, _ in found), tuple(span for _, span in found)
    edges = [clause.start() for clause in _CLAUSE.finditer(sentence)] if negators else []
    clauses = tuple(bisect_right(edges, start) for start, _ in spans)
    return Sentence(roots, spans, tuple(negators), tuple(telling), clauses)


def _negates(word: str, language: str) -> bool:
    return word in NEGATORS[language] or (language == "en" and word.endswith("n't"))


class Evidence:
    """The sentences of the evidence, each once, found by the words that say something."""

    def __init__(self, sentences: Iterable[Sentence]) -> None:
        self.sentences = tuple(dict.fromkeys(sentences))
        self.denies = any(sentence.telling for sentence in self.sentences)
        self._holders: dict[str, list[int]] = {}
        for i, sentence in enumerate(self.sentences):
            for root in sentence.content:
                self._holders.setdefault(root, []).append(i)

    def closest(self, words: frozenset[str], *, share: float) -> list[Sentence]:
        """The sentences with most of the words, several where they tie; none where even those have too few."""
        counts = Counter(i for word in words for i in self._holders.get(word, ())[:_MANY])
        most = max(counts.values(), default=0)
        if most < max(1, share * len(words)):
            return []
        return [self.sentences[i] for i in sorted(counts) if counts[i] == most]


def difference(claim: Sentence, evidence: Evidence) -> Difference | None:
    """Where the claim and the sentence of the evidence that shares most of its words differ; None where they do not.

    Each negator is compared in its own place: a "not" elsewhere in the evidence neither hides nor makes a difference.
    """
    for negator in claim.telling:
        if _alone(claim, negator, evidence, share=CLAIM_SHARE):
            return Difference(negator, denies=True)
    if not evidence.denies:
        return None
    found, own = None, Evidence([claim])
    for sentence in evidence.closest(claim.content, share=EVIDENCE_SHARE):
        lonely = [negator for negator in sentence.telling if _alone(sentence, negator, own, share=EVIDENCE_SHARE)]
        if not lonely:
            return None
        denied = _denied(sentence, lonely[0])
        found = Difference(next(i for i, root in enumerate(claim.roots) if root in denied), denies=False)
    return found


def _denied(sentence: Sentence, negator: int) -> frozenset[str]:
    clause = sentence.clauses[negator]
    after = range(negator + 1, min(negator + 1 + AFTER, len(sentence.roots)))
    return sentence.between(negator + 1, next((i for i in after if sentence.clauses[i] != clause), after.stop))


def _alone(sentence: Sentence, negator: int, others: Evidence, *, share: float) -> bool:
    """Whether what the negator denies stands in the closest of the others, and no negator near it."""
    denied = _denied(sentence, negator)
    closest = others.closest(sentence.between(negator - AROUND, negator + 1 + AROUND), share=share)
    return bool(closest) and all(denied & other.content and not other.negates(denied) for other in closest)
