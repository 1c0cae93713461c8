"""`Hybrid`: MaxSim and words, in one order by a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from latelens.encoders import Encoder
from latelens.explanation.matches import explain
from latelens.index.arguments import check_count
from latelens.index.protocol import Filter, Hit, Index
from latelens.index.stages.first_stage import FirstStage
from latelens.refusals import check_is, check_number


class Hybrid:
    """Searches an index and, beside it, by words, and orders what both find by a weighted sum.

    The sum is ``(1 - weight) * model + weight * words``, each the score over the best such score for the question (a
    convex combination, after Bruch et al., TOIS 2023), 0 for what the words do not find. `Hit.score` is MaxSim in any
    case; `Hit.stages` holds the words' score and the sum.

    Words help where names, numbers and rare terms decide, and harm elsewhere (code, paraphrases): the weight is 0
    unless you set it. `latelens.evaluation.hybrid.choose_weight` chooses one by questions whose answers you know.

    Parameters
    ----------
    index
        An index of `latelens.index`.
    words
        A `BM25`, or another first stage, over the same chunks; what the index does not hold is left out.
    weight
        Of the words, 0 to 1; 0 searches the index alone.
    candidates
        How many to take from each.
    """

    def __init__(self, index: Index, words: FirstStage, *, weight: float = 0.0, candidates: int = 100) -> None:
        check_is("index", index, Index, "an index of latelens.index")
        check_is("words", words, FirstStage, "a BM25 or another first stage")
        check_number("weight", weight, 0, 1)
        check_count("candidates", candidates)
        self.index, self.words, self.weight, self.candidates = index, words, weight, candidates

    @property
    def encoder(self) -> Encoder:
        """The index's."""
        return self.index.encoder

    def search(self, query: str, k: int = 10, *, filter: Filter | None = None) -> list[Hit]:
        """The best `k` hits by the weighted sum."""
        return self.search_many([query], k, filter=filter)[0]

    def search_many(self, queries: Sequence[str], k: int = 10, *, filter: Filter | None = None) -> list[list[Hit]]:
        """`search` for each query, encoding all of them at once."""
        if not self.weight:
            return self.index.search_many(queries, k, filter=filter)
        check_count("k", k)
        found = found_by_both(self.index, self.words, queries, max(self.candidates, k), filter)
        return [[one.with_sum(self.weight) for one in in_order(some, self.weight)[:k]] for some in found]


@dataclass(frozen=True)
class Weighed:
    """A hit with its share of the best score, by the model and by words; `stage` is the words' score by its name."""

    hit: Hit
    model: float
    words: float
    stage: Mapping[str, float]

    def sum(self, weight: float) -> float:
        """The weighted sum."""
        return (1 - weight) * self.model + weight * self.words

    def with_sum(self, weight: float) -> Hit:
        """The hit with its stages."""
        return replace(self.hit, stages={**self.hit.stages, **self.stage, "hybrid": self.sum(weight)})


def in_order(found: Sequence[Weighed], weight: float) -> list[Weighed]:
    """By the weighted sum; equal ones by MaxSim."""
    return sorted(found, key=lambda one: (-one.sum(weight), -one.hit.score))


def found_by_both(
    index: Index, words: FirstStage, queries: Sequence[str], candidates: int, filter: Filter | None = None
) -> list[list[Weighed]]:
    """What the index and the words find for each query, in no particular order."""
    found = []
    for query, hits in zip(queries, index.search_many(queries, candidates, filter=filter), strict=True):
        stages = {one.chunk.id: one.score or 0.0 for one in words.candidates(query, candidates, filter)}
        every = [*hits, *_others(index, hits, list(stages))]
        by_model = _shares([hit.score for hit in every])
        by_words = _shares([stages.get(hit.chunk.id, 0.0) for hit in every])
        found.append(
            [
                Weighed(hit, model, word, {words.name: stages[hit.chunk.id]} if hit.chunk.id in stages else {})
                for hit, model, word in zip(every, by_model, by_words, strict=True)
            ]
        )
    return found


def _shares(scores: Sequence[float]) -> list[float]:
    """Each score over the best; 0 where none is above 0."""
    best = max(scores, default=0.0)
    return [score / best if best > 0 else 0.0 for score in scores]


def _others(index: Index, hits: Sequence[Hit], ids: Sequence[str]) -> list[Hit]:
    """Hits for what the words alone found, with exact MaxSim of their stored rows."""
    known = {hit.chunk.id for hit in hits}
    missing = [id for id in ids if id not in known] if hits else []
    pairs = zip(index.get(missing), index.rows(missing), strict=True)
    query = hits[0].explanation.query if hits else None
    return [
        Hit(chunk, explain(query, rows))
        for chunk, rows in pairs
        if query is not None and chunk is not None and rows is not None
    ]
