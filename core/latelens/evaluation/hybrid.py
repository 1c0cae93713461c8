"""Choose how much words count beside MaxSim, by questions whose answers are known."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.evaluation.measures import ndcg
from latelens.index.protocol import Index
from latelens.index.stages.first_stage import FirstStage
from latelens.index.stages.hybrid import found_by_both, in_order

_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_DRAWS = 10_000


@dataclass(frozen=True)
class WeightChoice:
    """A weight for `Hybrid`, and why.

    Attributes
    ----------
    weight
        0 unless the gain is beyond doubt.
    ndcg
        Mean nDCG@10 of the questions by weight.
    gain
        Of the best weight over 0, with the bounds of its interval: bootstrap over questions, 95 % for all weights that
        were tried together (Bonferroni), since the best of several looks better than it is.
    """

    weight: float
    ndcg: Mapping[float, float]
    gain: tuple[float, float, float]


def choose_weight(
    index: Index,
    words: FirstStage,
    questions: Mapping[str, Collection[str]],
    *,
    weights: Sequence[float] = _WEIGHTS,
    candidates: int = 100,
) -> WeightChoice:
    """The weight with the highest nDCG@10, or 0 where its gain may be chance.

    Parameters
    ----------
    questions
        The ids of the right chunks by question; a few hundred, or hardly a gain will be beyond doubt.

    Raises
    ------
    ValueError
        Without questions.
    """
    if not questions:
        raise ValueError("give questions with the ids of their right chunks: {'Who ...?': ['chunk-3']}")
    return choice_by(ndcg_by_weight(index, words, questions, weights=(0.0, *weights), candidates=candidates))


def choice_by(values: Mapping[float, NDArray[np.float64]]) -> WeightChoice:
    """What `choose_weight` makes of the nDCG@10 of each question, by weight; weight 0 must be among them."""
    means = {weight: float(each.mean()) for weight, each in values.items()}
    best = max(means, key=lambda weight: (means[weight], -weight))
    gains = values[best] - values[0.0]
    draws = np.random.default_rng(0).integers(len(gains), size=(_DRAWS, len(gains)))
    tail = 0.025 / max(1, len(values) - 1)
    low, high = np.quantile(gains[draws].mean(axis=1), [tail, 1 - tail]).tolist()
    return WeightChoice(best if low > 0 else 0.0, means, (float(gains.mean()), low, high))


def ndcg_by_weight(
    index: Index,
    words: FirstStage,
    questions: Mapping[str, Collection[str]],
    *,
    weights: Sequence[float] = _WEIGHTS,
    candidates: int = 100,
) -> dict[float, NDArray[np.float64]]:
    """nDCG@10 of each question, by weight."""
    found = found_by_both(index, words, list(questions), candidates)
    return {
        weight: np.array(
            [
                ndcg([one.hit.chunk.id for one in in_order(some, weight)[:10]], dict.fromkeys(right, 1.0))
                for some, right in zip(found, questions.values(), strict=True)
            ]
        )
        for weight in dict.fromkeys(weights)
    }
