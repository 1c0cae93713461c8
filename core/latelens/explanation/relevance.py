"""A score that a person can read: how likely it is, in 0..1, that a document answers the query."""

from __future__ import annotations

import math

from latelens.encoders.calibration import Calibration
from latelens.explanation.matches import Explanation


def relevance(explanation: Explanation, calibration: Calibration | None) -> float | None:
    """Probability that the document answers the query; 0 where either has no visible text.

    None without a calibration, for a page image, since calibrations are fitted on texts, and where the model cannot
    read the query or the document.
    """
    document = explanation.document
    if calibration is None:
        return None
    if not len(document.content_rows()):
        return None if document.is_page_image else 0.0
    if not len(explanation.word_strengths):
        return 0.0
    if not explanation.readable:
        return None
    return calibration.probability(explanation.strength, math.log(len(document)))
