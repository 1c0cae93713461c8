"""Scores of answers by their sources, in place of a model that judges: offline, and the same each time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from latelens.attribution import Attribution, MarkedAnswer, Source, check_marks
from latelens.attribution.mark_checks import BORNE
from latelens.attribution.verify.verdict import Judge, Verifier
from latelens.encoders import Encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.refusals import check_is, check_several

MEASURES = {
    "supported": "claims that the sources back",
    "flagged": "claims that a reader should check",
    "citation_precision": "marks whose source backs the claim",
    "citation_recall": "claims that a marked source backs",
}


@dataclass(frozen=True)
class Answered:
    """A question with an answer and what the answer was made of; the first source is the one that is marked [1]."""

    question: str
    answer: str
    sources: tuple[Source | str, ...]
    id: str | None = None


@dataclass(frozen=True)
class AnswerScore:
    """What an answer is worth by its sources; shares are 0..1.

    Attributes
    ----------
    claims
        How many claims can be checked.
    supported, flagged
        Shares of them that are corroborated, or supported by the verifier, and that are not; None without a claim.
    citation_precision
        Of the numbers in the answer's own marks, the share whose source backs its claim; a number that no source has
        backs none. None where the answer has no mark.
    citation_recall
        Of the claims, the share that a source of its own marks backs; None where the answer has no mark.
    """

    example: Answered
    checked: MarkedAnswer
    claims: int
    supported: float | None
    flagged: float | None
    citation_precision: float | None
    citation_recall: float | None

    @property
    def attribution(self) -> Attribution:
        """The answer's claims with the sentences that back them."""
        return self.checked.attribution


@dataclass(frozen=True)
class AnswerScores:
    """The scores of a set of answers, in its order."""

    scores: tuple[AnswerScore, ...]

    @cached_property
    def means(self) -> dict[str, float | None]:
        """The mean of each of `MEASURES` over the answers that have it; None where none has."""
        found = {name: [getattr(score, name) for score in self.scores] for name in MEASURES}
        known = {name: [value for value in values if value is not None] for name, values in found.items()}
        return {name: fmean(values) if values else None for name, values in known.items()}

    def table(self) -> str:
        """Markdown: a line for each measure, with its mean and how many answers have it."""
        lines = ["| measure | mean | answers |", "|---|---|---|"]
        for name, mean in self.means.items():
            count = sum(getattr(score, name) is not None for score in self.scores)
            lines.append(f"| {name}: {MEASURES[name]} | {'-' if mean is None else f'{mean:.3f}'} | {count} |")
        return "\n".join(lines)


def score_answer(
    question: str,
    answer: str,
    sources: Sequence[Source | str],
    encoder: Encoder,
    *,
    cache: EmbeddingCache | None = None,
    verifier: Verifier | Judge | None = None,
) -> AnswerScore:
    """Score one answer by the sources that it was made of.

    A share of supported claims says that words, names and numbers stand in the sources, not that the answer is true,
    nor that it answers the question; a `verifier` judges meaning. The arguments are those of `attribute`.

    >>> from latelens import load_encoder
    >>> sources = ["Elephants eat grass.", "Whales sing."]
    >>> encoder = load_encoder("offline/all-MiniLM-L6-v2")
    >>> score = score_answer("What do elephants eat?", "Elephants eat grass [1]. Whales fly [2].", sources, encoder)
    >>> score.supported, score.flagged, score.citation_precision, score.citation_recall
    (0.5, 0.5, 0.5, 0.5)
    """
    check_several("sources", sources, "sources")
    return _scored(Answered(question, answer, tuple(sources)), encoder, cache, verifier)


def score_answers(
    examples: Iterable[Answered],
    encoder: Encoder,
    *,
    cache: EmbeddingCache | None = None,
    verifier: Verifier | Judge | None = None,
) -> AnswerScores:
    """Score a set of answers; without a `cache`, sources that several of them share are encoded once all the same."""
    check_several("examples", examples, "Answered")
    check_is("encoder", encoder, Encoder, "an encoder from load_encoder")
    check_is("cache", cache, (EmbeddingCache, type(None)), "an EmbeddingCache or None")
    cache = EmbeddingCache() if cache is None else cache
    return AnswerScores(tuple(_scored(example, encoder, cache, verifier) for example in examples))


def _scored(
    example: Answered, encoder: Encoder, cache: EmbeddingCache | None, verifier: Verifier | Judge | None
) -> AnswerScore:
    check_is("an example", example, Answered, "an Answered")
    checked = check_marks(
        example.answer, example.sources, encoder, question=example.question, cache=cache, verifier=verifier
    )
    claims = [i for i, claim in enumerate(checked.attribution.claims) if claim.label != "not_checkable"]
    supported = [checked.attribution.claims[i].label in BORNE for i in claims]
    backed = {mark.claim for mark in checked.marks if mark.verdict == "backed"}
    share, right = fmean(supported) if claims else None, list(_right(checked))
    return AnswerScore(
        example=example,
        checked=checked,
        claims=len(claims),
        supported=share,
        flagged=None if share is None else 1 - share,
        citation_precision=fmean(right) if right else None,
        citation_recall=fmean(i in backed for i in claims) if claims and checked.marks else None,
    )


def _right(checked: MarkedAnswer) -> Iterator[bool]:
    """Whether each marked number backs its claim; those at remarks are left out, unless no source has them."""
    claims, sources = checked.attribution.claims, len(checked.attribution.sources)
    for mark in checked.marks:
        remark = mark.claim is not None and claims[mark.claim].label == "not_checkable"
        if not remark or not 1 <= mark.number <= sources:
            yield mark.verdict == "backed"
