"""A document as a few codes: the query attends to them, and their weighted mean is scored.

The poly-encoder's scorer (Humeau, Shuster, Lachaux and Weston, ICLR 2020, arXiv 1905.01969), with rows that are at hand
in place of learned codes: one vector for the query, softmax weights over a document's rows, one product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import check_pair
from latelens.refusals import check_number

# Softmax over cosines needs a temperature: with 1 all codes weigh about the same. Offline model, 300 questions of
# SQuAD's tuning half, 64 rows: nDCG@10 is .806 at 1, .839 at .2, .852 at .1, .818 at .05.
TEMPERATURE = 0.1


@dataclass(frozen=True)
class Code:
    """One row of the document: what it weighs, how similar it is, and the words that it stands for.

    `weight` times `similarity` is what it adds to the score; the weights sum to 1. `spans` are characters of the text.
    """

    row: int
    weight: float
    similarity: float
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class CodesExplanation:
    """A score by attention over a document's rows, and everything that it is made of.

    Attributes
    ----------
    score
        The sum of weight times similarity over the codes, at most 1 for unit rows.
    codes
        All rows of the document, the one that adds most first.
    """

    score: float
    query: TokenEmbeddings
    document: TokenEmbeddings
    codes: tuple[Code, ...]


def explain_codes(
    query: TokenEmbeddings, document: TokenEmbeddings, *, temperature: float = TEMPERATURE
) -> CodesExplanation:
    """Score a document by its codes: the rows of a `TokenPooling` with ``rows=`` set, or of any encoder.

    The query is the mean of its content rows, so this suits models that were trained by mean pooling, and it cannot
    say which word of the query met which words of the document: MaxSim can.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, the dimensions differ, a side has no rows, or the temperature is not above 0.
    """
    weights, similarity = _attend(query, document, temperature)
    gains = weights * similarity
    codes = []
    for row in np.argsort(-gains, kind="stable").tolist():
        spans = document.spans_of(np.array([row])).tolist()
        words = tuple(document.text[start:end] for start, end in spans) or (document.tokens[row],)
        code = Code(row, float(weights[row]), float(similarity[row]), words, tuple((a, b) for a, b in spans))
        codes.append(code)
    return CodesExplanation(float(gains.sum()), query, document, tuple(codes))


def _attend(
    query: TokenEmbeddings, document: TokenEmbeddings, temperature: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the document's rows and their similarities to the query, both (rows,) float64."""
    check_pair(query, document, to="score")
    check_number("temperature", temperature)
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature!r}")
    rows = query.content_rows()
    mean = query.vectors[rows if len(rows) else slice(None)].mean(axis=0, dtype=np.float64)
    similarity = document.vectors @ (mean / max(float(np.linalg.norm(mean)), 1e-9))  # (rows,) float64
    powers = np.exp((similarity - similarity.max()) / temperature)
    weights: NDArray[np.float64] = powers / powers.sum()
    return weights, similarity
