"""Which chunks may be among the best by exact scores, from scores that rounding has moved."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# By how much a score may differ where the sizes of the products are not known, as a share of it: a server's sums.
TOLERANCE = 1e-4


def rounding(query: NDArray[np.float32], norm: float) -> float:
    """More than float32 products move a score of the query, (rows, dim), with vectors of at most this length."""
    return float(query.size * np.finfo(np.float32).eps * norm * np.abs(query).max(initial=0))


def exact_score(query: NDArray[np.float32], rows: NDArray[np.float32]) -> float:
    """The score of `explain`, without the rest."""
    return math.fsum((query @ rows.T).max(axis=1).tolist())
