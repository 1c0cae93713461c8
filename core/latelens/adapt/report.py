"""Before and after on held-out questions, and whether the difference is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.adapt.examples import MarkedQuestion
from latelens.encoders import Encoder
from latelens.explanation.evidence import find_evidence
from latelens.explanation.matches import explain
from latelens.maxsim import maxsim, pack

_RESAMPLES = 2000
MEASURES = ("sentence Hit@1", "passage MRR")


@dataclass(frozen=True)
class Change:
    """A measure before and after, and the 95 % interval of the difference."""

    measure: str
    before: float
    after: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What may be said: an interval that holds 0 is no gain and no loss."""
        return "a gain" if self.low > 0 else "a loss" if self.high < 0 else "no safe difference"

    def __str__(self) -> str:
        difference = self.after - self.before
        return (
            f"{self.measure}: {self.before:.3f} before, {self.after:.3f} after, {difference:+.3f} "
            f"({self.low:+.3f} to {self.high:+.3f}): {self.verdict}"
        )


def measure(encoder: Encoder, examples: Sequence[MarkedQuestion]) -> NDArray[np.float64]:
    """Two values in 0..1 of each question, (questions, 2).

    Whether the first sentence of `find_evidence` is a right one, and one over the place of the right passage among all
    passages of these questions.
    """
    texts = list(dict.fromkeys(each.text for each in examples))
    documents = encoder.encode_documents(texts)
    packed, place = pack([document.vectors for document in documents]), {text: i for i, text in enumerate(texts)}
    found = []
    for each, query in zip(examples, encoder.encode_queries([each.question for each in examples]), strict=True):
        own = place[each.text]
        first, *_ = find_evidence(explain(query, documents[own]), sentences=each.sentences) or [None]
        hit = first is not None and (first.start, first.end) in {each.sentences[i] for i in each.gold}
        scores = maxsim(query.vectors, packed).scores
        found.append([hit, 1 / int((scores >= scores[own]).sum())])
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def compare(
    before: NDArray[np.float64], after: NDArray[np.float64], examples: Sequence[MarkedQuestion]
) -> tuple[Change, ...]:
    """The change of each measure; questions of one document go together into the resamples (cluster bootstrap)."""
    _, owner = np.unique([each.document for each in examples], return_inverse=True)
    count = int(owner.max()) + 1
    weights = np.random.default_rng(0).multinomial(count, [1 / count] * count, size=_RESAMPLES)[:, owner]
    resampled = weights @ (after - before) / weights.sum(axis=1, keepdims=True)  # (resamples, measures)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return tuple(
        Change(name, *(float(each[i]) for each in (before.mean(axis=0), after.mean(axis=0), low, high)))
        for i, name in enumerate(MEASURES)
    )
