"""A score that a person can read: how likely it is, in 0..1, that a document answers the query."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from latelens.encoders.calibration import Calibration
from latelens.explanation.matches import Explanation
from latelens.explanation.words import query_words

# Rows of a passage. Words find something anywhere in 5,000 rows, which says little of any place among them.
_PASSAGE = 250


class BestPassage(NamedTuple):
    """What a calibration asks of the passage of a document that the query is matched best in.

    `strength` is `Explanation.strength` within its rows, `length` the logarithm of how many these are, and `passages`
    the logarithm of how many passages the document has: of many, the best is better by chance.
    """

    strength: float
    length: float
    passages: float


def best_passage(explanation: Explanation) -> BestPassage:
    """Cut the rows of a document into passages of about 250 and take the one with the largest strength.

    A document of up to 375 rows is one passage, and so is a page image, of which the rows of its patches count.
    """
    if (page := explanation.document.page) is not None:
        seen = explanation.similarity[:, page.cells >= 0]
        words = explanation.strengths_of(seen.max(axis=1)[:, None])[:, 0]
        return BestPassage(float(query_words(explanation.query).weights @ words), math.log(seen.shape[1]), 0.0)
    rows = len(explanation.document)
    count = max(1, round(rows / _PASSAGE))
    if count == 1:  # nearly every chunk
        return BestPassage(explanation.strength, math.log(rows), 0.0)
    edges = np.linspace(0, rows, count + 1).astype(np.intp)
    strengths = explanation.strengths_between(edges)
    best = int(strengths.argmax())
    return BestPassage(float(strengths[best]), float(np.log(edges[best + 1] - edges[best])), float(np.log(count)))


def relevance(explanation: Explanation, calibration: Calibration | None) -> float | None:
    """Probability that the best passage of the document answers the query; 0 where either has no visible text.

    None without a calibration, for a page image with one of texts and for a text with one of pages, and where the model
    cannot read the query or the document.
    """
    document = explanation.document
    if calibration is None or calibration.pages != document.is_page_image:
        return None
    if not len(explanation.word_strengths) or not (document.is_page_image or len(document.content_rows())):
        return 0.0
    if not explanation.readable:
        return None
    return calibration.probability(*best_passage(explanation))
