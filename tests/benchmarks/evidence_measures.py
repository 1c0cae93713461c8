"""The measures of the evidence benchmark: against marked sentences, and against the score itself.

Faithfulness is after ERASER (DeYoung et al., ACL 2020). With s the score of the query against a text, D the
document, R a span, and floor the mean score of the query against unrelated texts as long as D:
comprehensiveness is (s(D) - s(D without R)) / (s(D) - floor), sufficiency is (s(R) - floor) / (s(D) - floor).
"By columns" masks columns of the similarity matrix: D without R keeps every row but R's, control tokens included;
R alone keeps R's rows only. "Re-encoded" cuts the text and encodes it again, which no token's context survives.
A document with fewer than two sentences, or with a score within 5 % of the floor, says nothing here: nan.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from statistics import fmean

import numpy as np
from evidence_methods import Choice, inside
from evidence_tasks import Document, Span, Task, touched

from latelens import TokenEmbeddings, explain
from latelens.embeddings import TokenKind
from latelens.explanation.matches import Explanation
from latelens.text.characters import is_visible, words

HIT, F1, F1_ALL = "sentence Hit@1", "evidence F1", "evidence F1, every gold sentence asked for"
RECALL = ("answer in the first span", "answer in the first 2 spans")
RETURNED, SHARE, AGREEMENT = "spans returned", "first span's share of the tokens", "top = leave-one-out's top"
WAYS = ("by columns", "re-encoded")
COMPREHENSIVENESS, SUFFICIENCY = (tuple(f"{n}, {way}" for way in WAYS) for n in ("comprehensiveness", "sufficiency"))
SHORT = tuple(f"sufficiency within 20 % of the tokens, {way}" for way in WAYS)
MEASURES = (HIT, F1, F1_ALL, *RECALL, RETURNED, SHARE, *COMPREHENSIVENESS, *SUFFICIENCY, *SHORT, AGREEMENT)

Values = dict[str, float]


def against_gold(task: Task, choice: Choice) -> Values:
    """How good the chosen spans are in the eyes of who marked the document."""
    found = [chosen for chosen in (sentence_of(span, task.sentences) for span in choice.spans) if chosen is not None]
    shown = frozenset(found[: choice.returned])
    return {
        HIT: float(bool(found) and found[0] in task.gold_sentences),
        F1: f1(shown, task.gold_sentences, task.gold),
        F1_ALL: f1(shown, task.gold_sentences, [task.gold_sentences]),
        **{name: answered(task, choice.spans[:k]) for k, name in enumerate(RECALL, 1)},
        RETURNED: float(choice.returned),
    }


def sentence_of(span: Span, sentences: Sequence[Span]) -> int | None:
    """The sentence that shares most characters with a span."""
    shared = [min(end, span[1]) - max(start, span[0]) for start, end in sentences]
    best = max(range(len(shared)), key=shared.__getitem__)
    return best if shared[best] > 0 else None


def f1(shown: frozenset[int], gold: frozenset[int], enough: Sequence[frozenset[int]]) -> float:
    """Precision against all gold sentences, recall of the alternative that is covered best."""
    right = len(shown & gold)
    if not right:
        return 0.0
    precision, recall = right / len(shown), max(len(shown & group) / len(group) for group in enough)
    return 2 * precision * recall / (precision + recall) if recall else 0.0


def answered(task: Task, spans: Sequence[Span]) -> float:
    """The share of an answer's parts of which the spans hold every visible character; the best answer counts."""
    covered = {i for start, end in spans for i in range(start, end)}
    text = task.document.text

    def lies_in(start: int, end: int) -> bool:
        return all(i in covered for i in range(start, end) if not text[i].isspace())

    return max(fmean(lies_in(*part) for part in answer) for answer in task.answers)


@dataclass(frozen=True)
class Faithfulness:
    """Measures spans of one document; `rescored` maps a cut text to its score and may be empty."""

    explanation: Explanation
    floor: float
    rescored: Mapping[str, float] = field(default_factory=dict)

    def of(self, span: Span) -> Values:
        without, alone = cuts(self.explanation.document.text, span)
        mask = inside(self.explanation.document, span)
        share = float(mask.sum() / max(len(self.explanation.document.content_rows()), 1))
        values = {SHARE: share}
        left = (self._columns(~mask), self.rescored.get(without, math.nan))
        kept = (self._columns(mask), self.rescored.get(alone, math.nan))
        for i in range(len(WAYS)):
            sufficiency = self._normalised(kept[i] - self.floor)
            values[COMPREHENSIVENESS[i]] = self._normalised(self.explanation.score - left[i])
            values[SUFFICIENCY[i]] = sufficiency
            values[SHORT[i]] = sufficiency if share <= 0.2 else math.nan
        return values

    def _columns(self, mask: np.ndarray) -> float:
        return float(self.explanation.similarity[:, mask].max(axis=1).sum()) if mask.any() else math.nan

    def _normalised(self, gap: float) -> float:
        whole = self.explanation.score - self.floor
        return gap / whole if whole > 0.05 * abs(self.explanation.score) else math.nan


def cuts(text: str, span: Span) -> tuple[str, str]:
    """The text without a span, and the span alone."""
    start, end = span
    return text[:start] + text[end:], text[start:end]


def draws(text: str, span: Span, *, seed: str, count: int = 5) -> tuple[Span, ...]:
    """Random spans of as many whole words as `span` touches."""
    spans = words(text).tolist()
    length = len(touched([span], spans))
    if not length:
        return ()
    starts = random.Random(seed)
    first = [starts.randrange(len(spans) - length + 1) for _ in range(count)]
    return tuple((spans[i][0], spans[i + length - 1][1]) for i in first)


def leave_one_out(task: Task, rescored: Mapping[str, float], score: float) -> list[float]:
    """What the score loses when a sentence is cut from the text, which is then encoded anew."""
    return [score - rescored[cuts(task.document.text, span)[0]] for span in task.sentences]


def texts_to_rescore(task: Task, spans: Sequence[Span]) -> list[str]:
    """Every cut text that the measures of these spans and leave-one-out ask for; none where nothing would be left."""
    if len(task.sentences) < 2:
        return []
    found = [text for span in dict.fromkeys((*task.sentences, *spans)) for text in cuts(task.document.text, span)]
    return [text for text in dict.fromkeys(found) if is_visible(text)]


def floor(
    explanation: Explanation, document: Document, pool: Sequence[tuple[Document, TokenEmbeddings]], count: int = 20
) -> float:
    """Mean score of the query against documents with another title, cut to as many content rows; nan without any.

    The rows are cut, not the text, so that one encoding of the pool serves every document.
    """
    length = len(explanation.document.content_rows())
    others = [rows for other, rows in pool if other.id != document.id and (other.title or None) != document.title]
    others.sort(key=lambda rows: len(rows.content_rows()) < length)  # the long ones first, in the order of the pool
    return fmean([_cut_score(explanation, rows, length) for rows in others[:count]]) if others else math.nan


def _cut_score(explanation: Explanation, document: TokenEmbeddings, length: int) -> float:
    keep = np.flatnonzero(document.kinds != TokenKind.CONTENT)
    rows = np.sort(np.concatenate([keep, document.content_rows()[:length]]))
    tokens = tuple(document.tokens[i] for i in rows)
    cut = TokenEmbeddings(document.text, document.vectors[rows], tokens, document.spans[rows], document.kinds[rows])
    return explain(explanation.query, cut).score


def mean_of(values: Sequence[Values]) -> Values:
    """The expectation over equally likely choices, of those that have a value."""
    names = dict.fromkeys(name for value in values for name in value)
    columns = {name: [value[name] for value in values if math.isfinite(value[name])] for name in names}
    return {name: fmean(column) if column else math.nan for name, column in columns.items()}


def expected_against_gold(task: Task) -> Values:
    """`against_gold` of two sentences drawn at random, exactly."""
    orders = permutations(task.sentences, min(2, len(task.sentences)))
    return mean_of([against_gold(task, Choice(order)) for order in orders])
