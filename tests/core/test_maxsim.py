"""MaxSim over packed documents, against a double loop that anyone can check."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from latelens.maxsim import PackedEmbeddings, maxsim, pack


def rows(rng: np.random.Generator, n: int, dim: int = 16) -> NDArray[np.float32]:
    """Multiples of 1/8: their products are exact in any order of summing, and ties are frequent."""
    return (rng.integers(-8, 9, (n, dim)) / 8).astype(np.float32)


def unit_rows(rng: np.random.Generator, n: int, dim: int) -> NDArray[np.float32]:
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def brute_force(query: NDArray[np.float32], documents: list[NDArray[np.float32]]):
    best, winners = [], []
    for document in documents:
        found = []
        for row in query:
            similarities = [float(np.dot(row, other)) for other in document]
            winner = max(range(len(similarities)), key=lambda i: (similarities[i], -i))
            found.append((similarities[winner], winner))
        best.append([similarity for similarity, _ in found])
        winners.append([winner for _, winner in found])
    return np.array(best), np.array(winners)


@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=20),
    query_rows=st.integers(1, 6),
)
@settings(max_examples=40, deadline=None)
def test_scores_and_winners_are_those_of_a_double_loop(seed, lengths, query_rows):
    rng = np.random.default_rng(seed)
    query, documents = rows(rng, query_rows), [rows(rng, n) for n in lengths]
    best, winners = brute_force(query, documents)
    for packed in (pack(documents), pack(documents).to("cpu")):
        result = maxsim(query, packed, winners=True)
        np.testing.assert_array_equal(result.similarities, best)
        np.testing.assert_array_equal(result.scores, best.sum(axis=1))
        np.testing.assert_array_equal(result.rows, winners)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_padding_never_wins_when_every_similarity_is_negative(device):
    query = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    documents = pack([-query[:1], -query])  # one row beside two: a padded row of zeros would win with 0
    result = maxsim(query, documents.to(device) if device else documents, winners=True)
    np.testing.assert_allclose(result.similarities, [[-1, -0.6], [-0.6, -0.6]], atol=1e-6)
    np.testing.assert_allclose(result.scores, [-1.6, -1.2], atol=1e-6)
    assert result.rows.tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("device", [None, "cpu"])
def test_the_first_of_equal_rows_wins(device):
    query = np.eye(2, dtype=np.float32)
    documents = pack([query[[1, 0, 0, 1]], query[[0, 0]], query[[1, 1, 1, 0]]])
    result = maxsim(query, documents.to(device) if device else documents, winners=True)
    assert result.rows.tolist() == [[1, 0], [0, 0], [3, 0]]


def test_winners_change_no_score():
    rng = np.random.default_rng(1)
    query, documents = rows(rng, 8), pack([rows(rng, n) for n in rng.integers(1, 200, 100)])
    plain, explained = maxsim(query, documents), maxsim(query, documents, winners=True)
    assert plain.rows is None
    np.testing.assert_array_equal(plain.similarities, explained.similarities)
    np.testing.assert_array_equal(plain.scores, explained.scores)


def test_a_thousand_documents_cross_block_boundaries_on_numpy_and_torch(monkeypatch):
    rng = np.random.default_rng(2)
    lengths = [*rng.integers(1, 60, 990).tolist(), 4095, 1, 4096, 4097, 2, 9000, 1, 1, 30, 3]
    query, documents = rows(rng, 8, dim=8), [rows(rng, n, dim=8) for n in lengths]
    packed = pack(documents)
    assert len(packed) == 1000
    assert packed.offsets[-1] > 10 * 4096
    result = maxsim(query, packed, winners=True)
    for i, document in enumerate(documents):
        similarity = query @ document.T
        np.testing.assert_array_equal(result.rows[i], similarity.argmax(axis=1))
        np.testing.assert_array_equal(result.similarities[i], similarity.max(axis=1))
    for block_rows in (1 << 20, 5000):
        monkeypatch.setattr("latelens.maxsim._TORCH_BLOCK_ROWS", block_rows)
        torch_result = maxsim(query, packed.to("cpu"), winners=True)
        np.testing.assert_array_equal(torch_result.rows, result.rows)
        np.testing.assert_array_equal(torch_result.scores, result.scores)


def test_unit_rows_score_alike_on_numpy_and_torch():
    rng = np.random.default_rng(7)
    query, packed = unit_rows(rng, 32, 96), pack([unit_rows(rng, n, 96) for n in rng.integers(1, 250, 300)])
    first, second = maxsim(query, packed, winners=True), maxsim(query, packed.to("cpu"), winners=True)
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-4)
    np.testing.assert_allclose(first.similarities, second.similarities, atol=1e-5)
    assert (first.rows == second.rows).mean() > 0.999  # rounding may decide between rows that are as good


def test_scores_equal_those_of_sentence_transformers():
    torch = pytest.importorskip("torch")
    similarity = pytest.importorskip("sentence_transformers.util.similarity")
    if not hasattr(similarity, "maxsim"):
        pytest.skip("sentence-transformers before 6 has no maxsim")
    rng = np.random.default_rng(3)
    query, documents = unit_rows(rng, 32, 96), [unit_rows(rng, n, 96) for n in rng.integers(1, 200, 200)]
    theirs = similarity.maxsim([torch.tensor(query)], [torch.tensor(document) for document in documents])
    np.testing.assert_allclose(maxsim(query, pack(documents)).scores, theirs[0].numpy(), rtol=1e-4)


def test_scores_are_float64_sums_of_float32_maxima():
    rng = np.random.default_rng(4)
    result = maxsim(unit_rows(rng, 32, 96), pack([unit_rows(rng, 50, 96) for _ in range(10)]), winners=True)
    assert result.scores.dtype == np.float64
    assert result.similarities.dtype == np.float32
    assert result.rows.dtype == np.int64
    np.testing.assert_array_equal(result.scores, result.similarities.sum(axis=1, dtype=np.float64))


@pytest.mark.parametrize("device", [None, "cpu"])
def test_no_documents_give_no_scores(device):
    documents = pack([]).to(device) if device else pack([])
    result = maxsim(np.ones((3, 4), dtype=np.float32), documents, winners=True)
    assert (len(documents), result.scores.shape, result.similarities.shape, result.rows.shape) == (
        0,
        (0,),
        (0, 3),
        (0, 3),
    )


@pytest.mark.filterwarnings("error")
def test_read_only_query_rows_are_scored_without_a_warning():
    query = np.eye(2, dtype=np.float32)
    query.setflags(write=False)
    assert maxsim(query, pack([np.eye(2, dtype=np.float32)]).to("cpu")).scores.tolist() == [2.0]


def test_scoring_changes_neither_the_query_nor_the_documents():
    rng = np.random.default_rng(5)
    query, documents = rows(rng, 4), [rows(rng, 3), rows(rng, 5)]
    before = [array.copy() for array in (query, *documents)]
    packed = pack(documents)
    maxsim(query, packed, winners=True)
    maxsim(query, packed.to("cpu"), winners=True)
    for array, copy in zip((query, *documents), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_packing_keeps_every_row_in_order():
    rng = np.random.default_rng(6)
    documents = [rows(rng, n) for n in (3, 1, 4)]
    packed = pack(documents)
    assert isinstance(packed, PackedEmbeddings)
    assert packed.offsets.tolist() == [0, 3, 4, 8]
    for i, document in enumerate(documents):
        np.testing.assert_array_equal(packed.values[packed.offsets[i] : packed.offsets[i + 1]], document)


def test_a_document_without_rows_is_refused():
    one, none = np.ones((1, 4), dtype=np.float32), np.ones((0, 4), dtype=np.float32)
    with pytest.raises(ValueError, match="document 1 has no rows"):
        pack([one, none, one])


def test_documents_of_mixed_dimensions_are_refused():
    with pytest.raises(ValueError, match=r"mix dimensions \[3, 4\]; encode all of them with one model"):
        pack([np.ones((1, 4), dtype=np.float32), np.ones((1, 3), dtype=np.float32)])


@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_query_of_another_dimension_is_refused(device):
    documents = pack([np.ones((1, 4), dtype=np.float32)])
    with pytest.raises(ValueError, match="query has dimension 3 and the documents 4"):
        maxsim(np.ones((1, 3), dtype=np.float32), documents.to(device) if device else documents)
