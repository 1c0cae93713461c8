"""Means, bootstrap intervals and the Markdown table of the evidence benchmark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs with the 95 % interval of resampled queries; nan where nothing was measured."""

    mean: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, float | int | None]:
        numbers = {"mean": self.mean, "low": self.low, "high": self.high}
        return {**{name: round(x, 4) if math.isfinite(x) else None for name, x in numbers.items()}, "n": self.n}

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})" if math.isfinite(self.mean) else "-"


class Bootstrap:
    """Resamples queries, with all pairs of a query: pairs that share one are not independent."""

    def __init__(self, query_ids: Sequence[str], *, seed: int, resamples: int = 1000) -> None:
        names = {name: i for i, name in enumerate(dict.fromkeys(query_ids))}
        self._query = np.array([names[name] for name in query_ids])  # (pairs,)
        drawn = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), size=resamples)
        self._weights = np.vstack([np.ones(len(names)), drawn])  # (1 + resamples, queries); the first is the sample

    def mean(self, values: NDArray[np.float64]) -> Estimate:
        """Mean of the values, (pairs,) float64, that are not nan."""
        return self.ratio(values, np.ones(len(values)))

    def ratio(self, above: NDArray[np.float64], below: NDArray[np.float64]) -> Estimate:
        """Mean of `above` over mean of `below`, on the pairs that have both."""
        both = np.isfinite(above) & np.isfinite(below)
        totals = []
        for values in (above, below):
            sums = np.bincount(self._query[both], weights=values[both], minlength=self._weights.shape[1])
            totals.append(self._weights @ sums)  # (1 + resamples,)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = totals[0] / totals[1]
        if not np.isfinite(means[0]):
            return Estimate(math.nan, math.nan, math.nan, 0)
        low, high = np.nanpercentile(means[1:], [2.5, 97.5])
        return Estimate(float(means[0]), float(low), float(high), int(both.sum()))


Table = Mapping[str, Mapping[str, Estimate]]  # measure -> method -> estimate


def markdown(title: str, table: Table) -> str:
    """One row a measure, one column a method; a method that was measured on fewer pairs than the row says so."""
    methods = list(dict.fromkeys(method for row in table.values() for method in row))
    lines = [f"### {title}", "", "| measure | pairs | " + " | ".join(methods) + " |", "|---" * (len(methods) + 2) + "|"]
    for measure, row in table.items():
        pairs = max(cell.n for cell in row.values())
        found = [row.get(method, Estimate(math.nan, math.nan, math.nan, 0)) for method in methods]
        cells = [f"{cell}, n={cell.n}" if 0 < cell.n < pairs else str(cell) for cell in found]
        lines.append(f"| {measure} | {pairs} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
