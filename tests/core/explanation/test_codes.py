"""A document as codes: weights that sum to 1, gains that sum to the score."""

from __future__ import annotations

import math

import numpy as np
import pytest

from latelens import Encoder, TokenEmbeddings
from latelens.encoders.token_pooling import TokenPooling
from latelens.explanation.codes import explain_codes


def rows(text: str, vectors: list[list[float]]) -> TokenEmbeddings:
    spans = np.array([[2 * i, 2 * i + 1] for i in range(len(vectors))], dtype=np.int32)
    kinds = np.zeros(len(vectors), dtype=np.uint8)
    return TokenEmbeddings(text, np.array(vectors, dtype=np.float32), tuple(text.split()), spans, kinds)


def test_the_query_attends_to_the_codes_and_their_weighted_mean_is_scored() -> None:
    found = explain_codes(rows("q", [[1, 0]]), rows("x y", [[1, 0], [0, 1]]), temperature=1.0)
    weight = math.e / (math.e + 1)
    assert found.score == pytest.approx(weight)
    assert [(code.words, code.spans) for code in found.codes] == [(("x",), ((0, 1),)), (("y",), ((2, 3),))]
    assert found.codes[0].weight == pytest.approx(weight)


def test_gains_sum_to_the_score_and_a_code_names_its_words(offline: Encoder) -> None:
    text = "Elephants eat grass and bark. Lions sleep most of the day."
    encoder = TokenPooling(offline, rows=4)
    (query,), (document,) = encoder.encode_queries(["What do elephants eat?"]), encoder.encode_documents([text])
    found = explain_codes(query, document)
    assert math.fsum(code.weight * code.similarity for code in found.codes) == pytest.approx(found.score)
    assert math.fsum(code.weight for code in found.codes) == pytest.approx(1)
    assert {"Elephants"} & set(found.codes[0].words)
    for code in found.codes:
        assert code.spans == () or tuple(text[start:end] for start, end in code.spans) == code.words


@pytest.mark.parametrize("temperature", [0, -1, "hot", math.nan])
def test_a_temperature_that_means_nothing_is_refused(temperature: float) -> None:
    with pytest.raises((TypeError, ValueError), match="temperature"):
        explain_codes(rows("q", [[1, 0]]), rows("x", [[1, 0]]), temperature=temperature)


def test_other_dimensions_and_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="dimension 2 and the document 3"):
        explain_codes(rows("q", [[1, 0]]), rows("x", [[1, 0, 0]]))
    empty = TokenEmbeddings("", np.zeros((0, 2), np.float32), (), np.zeros((0, 2), np.int32), np.zeros(0, np.uint8))
    with pytest.raises(ValueError, match="nothing to score"):
        explain_codes(rows("q", [[1, 0]]), empty)
