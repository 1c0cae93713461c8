import dataclasses

import numpy as np
import pytest

from latelens import TokenEmbeddings, TokenKind, explain
from latelens.maxsim import pack


def rows(**changes):
    fields = {
        "text": "a b",
        "vectors": np.eye(3, 4, dtype=np.float32),
        "tokens": ("[CLS]", "a", "b"),
        "spans": np.array([[-1, -1], [0, 1], [2, 3]], dtype=np.int32),
        "kinds": np.array([TokenKind.SPECIAL, TokenKind.CONTENT, TokenKind.CONTENT], dtype=np.uint8),
    }
    return TokenEmbeddings(**(fields | changes))


def test_rows_know_their_number_dimension_and_content():
    embeddings = rows()
    assert len(embeddings) == 3
    assert embeddings.dim == 4
    assert embeddings.complete
    assert embeddings.content_rows().tolist() == [1, 2]


def test_a_content_row_without_characters_is_no_content_row():
    spans = np.array([[-1, -1], [-1, -1], [2, 3]], dtype=np.int32)
    assert rows(spans=spans).content_rows().tolist() == [2]


def test_memory_counts_vectors_and_labels():
    embeddings = rows()
    assert embeddings.vectors.nbytes + embeddings.spans.nbytes < embeddings.nbytes < 1000


def test_embeddings_cannot_be_reassigned():
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows().text = "other"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 2])
def test_a_vector_that_is_not_finite_is_refused_with_its_row(bad, row):
    vectors = np.eye(3, 4, dtype=np.float32)
    vectors[row, 1] = bad
    with pytest.raises(ValueError, match=rf"row {row} of 3 holds NaN or infinity"):
        rows(vectors=vectors)


def test_infinities_of_both_signs_do_not_cancel_out():
    vectors = np.eye(3, 4, dtype=np.float32)
    vectors[1, :2] = [np.inf, -np.inf]
    with pytest.raises(ValueError, match="row 1 of 3"):
        rows(vectors=vectors)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vectors", np.eye(3, 4), "vectors must have dtype float32, got float64"),
        ("vectors", np.eye(3, 4, dtype=np.float16), "vectors must have dtype float32, got float16"),
        ("spans", np.zeros((3, 2), dtype=np.int64), "spans must have dtype int32, got int64"),
        ("kinds", np.zeros(3, dtype=np.int32), "kinds must have dtype uint8, got int32"),
        ("vectors", [[1.0, 2.0]], "vectors must be a numpy array, got list"),
        ("spans", ((0, 1),), "spans must be a numpy array, got tuple"),
    ],
)
def test_a_wrong_type_or_dtype_is_refused(field, value, message):
    with pytest.raises(TypeError, match=message):
        rows(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vectors", np.eye(2, 4, dtype=np.float32)),
        ("vectors", np.ones(3, dtype=np.float32)),
        ("vectors", np.ones((3, 4, 1), dtype=np.float32)),
        ("spans", np.zeros((2, 2), dtype=np.int32)),
        ("spans", np.zeros((3, 3), dtype=np.int32)),
        ("kinds", np.zeros(4, dtype=np.uint8)),
        ("kinds", np.zeros((3, 1), dtype=np.uint8)),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"{field} must have shape .* for 3 tokens, got \({value.shape[0]},"):
        rows(**{field: value})


def test_no_rows_are_allowed_until_something_must_match():
    empty = TokenEmbeddings("", np.empty((0, 4), np.float32), (), np.empty((0, 2), np.int32), np.empty(0, np.uint8))
    assert len(empty) == 0
    with pytest.raises(ValueError, match="nothing to match"):
        explain(rows(), empty)


def test_two_dimensions_do_not_mix():
    wide = rows(vectors=np.eye(3, 8, dtype=np.float32))
    with pytest.raises(ValueError, match="dimension 4 and the document 8"):
        explain(rows(), wide)
    with pytest.raises(ValueError, match=r"mix dimensions \[4, 8\]"):
        pack([rows().vectors, wide.vectors])
