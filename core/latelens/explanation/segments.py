"""Values of many parts laid end to end: what is asked of each part is answered for all of them in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def edges_of(counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where parts of these sizes begin, and where the last one ends, (parts + 1,)."""
    edges = np.zeros(len(counts) + 1, dtype=np.intp)
    counts.cumsum(out=edges[1:])
    return edges


def largest(values: NDArray[Any], edges: NDArray[np.intp]) -> NDArray[Any]:
    """The largest value of each part, (..., parts), of (..., values); no part is empty."""
    found: NDArray[Any] = np.maximum.reduceat(values, edges[:-1], axis=-1)
    return found


def first_largest(values: NDArray[Any], edges: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where the largest value of each part stands, the first of equals, (..., parts); counted through all parts."""
    size = values.shape[-1]
    best = largest(values, edges).repeat(edges[1:] - edges[:-1], axis=-1)
    places = np.where(values == best, np.arange(size), size)
    found: NDArray[np.intp] = np.minimum.reduceat(places, edges[:-1], axis=-1)
    return found


def weighted(weights: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
    """Weighted sum of the rows, (columns,), of (rows, columns); unlike a matrix product's, no column changes others."""
    found: NDArray[np.float64] = np.add.reduceat(weights[:, None] * values, [0], axis=0)[0]
    return found
