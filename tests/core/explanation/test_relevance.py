"""Relevance: a number for texts, and none where no calibration can know."""

import math
from dataclasses import replace

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from latelens import Calibration, TokenKind, explain, rerank
from latelens.explanation.relevance import relevance

MADE = Calibration("fake", strength=10.0, length=-0.5, intercept=-4.0, fitted_on="by hand")


class Pages(FakeEncoder):
    """Texts that begin with "page" have rows of patches and no text, as a page image has."""

    calibration = MADE

    def encode_documents(self, texts, *, show_progress=False):
        return [page(each) if each.text.startswith("page") else each for each in super().encode_documents(texts)]


def page(embeddings):
    n = len(embeddings)
    kinds = np.where(np.arange(n) == 0, TokenKind.SPECIAL, TokenKind.PATCH).astype(np.uint8)
    return replace(embeddings, spans=np.full((n, 2), -1, dtype=np.int32), kinds=kinds)


def explained(query, document):
    encoder = Pages()
    return explain(encoder.encode_queries([query])[0], encoder.encode_documents([document])[0])


def test_a_relevance_is_the_calibrations_probability_of_strength_and_length():
    explanation = explained("grass", "elephants eat grass")
    assert len(explanation.document) == 4
    assert relevance(explanation, MADE) == pytest.approx(MADE.probability(explanation.strength, math.log(4)))
    assert MADE.probability(0.4, 0.0) == 0.5


def test_without_a_calibration_there_is_none():
    assert relevance(explained("grass", "elephants eat grass"), None) is None


def test_a_text_without_words_answers_nothing_and_a_page_image_is_not_known():
    assert relevance(explained("grass", ""), MADE) == 0.0
    assert relevance(explained("", "grass"), MADE) == 0.0
    assert relevance(explained("grass", "page elephants grass"), MADE) is None


def test_a_threshold_does_not_drop_page_images():
    kept = rerank("grass", ["page grass", "zebras", "grass"], Pages(), min_relevance=0.9)
    assert {each.index: each.relevance is None for each in kept} == {0: True, 2: False}


@pytest.mark.parametrize("strength", [-1e6, 1e6])
def test_extreme_numbers_stay_probabilities(strength):
    found = MADE.probability(np.array([strength]), np.array([2.0]))
    assert found.dtype == np.float64
    assert 0 <= found[0] <= 1
