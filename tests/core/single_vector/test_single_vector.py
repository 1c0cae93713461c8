"""One vector in place of many rows: by hand, and how close it comes to MaxSim."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from safetensors.numpy import save_file

from latelens import TokenEmbeddings
from latelens.maxsim import maxsim, pack
from latelens.single_vector import LeastSquares, MeanOfRows, Muvera, SingleVector
from latelens.single_vector.muvera import _means, _sums
from latelens.single_vector.protocol import documents_within, questions_beside

WORDS = [f"word{i}" for i in range(40)]
DRAW = np.random.default_rng(3)
TEXTS = [" ".join(DRAW.choice(WORDS, size=size)) for size in DRAW.integers(3, 12, size=300)]
QUESTIONS = [" ".join(DRAW.choice(WORDS, size=4)) for _ in range(40)]
ENCODER = FakeEncoder(dim=256)
FITTED = LeastSquares.fit(ENCODER, TEXTS[:200], dim=300, rows=600)
METHODS = [MeanOfRows(), Muvera(), Muvera(repetitions=2, bits=3, width=4, seed=5), FITTED]


def rows_of(*vectors: list[float]) -> TokenEmbeddings:
    count = len(vectors)
    spans = np.full((count, 2), -1, dtype=np.int32)
    made = np.array(vectors, dtype=np.float32).reshape(count, -1)
    return TokenEmbeddings("x", made, ("x",) * count, spans, np.ones(count, np.uint8))


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_every_vector_has_length_one_and_depends_on_no_other_text(method: SingleVector) -> None:
    assert isinstance(method, SingleVector)
    assert method.source
    documents = ENCODER.encode_documents(TEXTS[:70])
    questions = ENCODER.encode_queries(QUESTIONS)
    for vectors, alone in (
        (method.documents(documents), method.documents(documents[66:67])),
        (method.queries(questions), method.queries(questions[:1])),
    ):
        assert vectors.dtype == np.float32
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)
        assert np.abs(vectors - alone).max(axis=1).min() < 1e-5
    nothing = TokenEmbeddings("", np.empty((0, 256), np.float32), (), np.empty((0, 2), np.int32), np.empty(0, np.uint8))
    assert np.isfinite(method.documents([nothing])).all()
    assert np.isfinite(method.queries([nothing])).all()


def test_the_mean_of_rows_by_hand() -> None:
    found = MeanOfRows().documents([rows_of([1, 0], [1, 0], [0, 1]), rows_of([1, 0], [-1, 0])])
    assert found[0] == pytest.approx([2 / math.sqrt(5), 1 / math.sqrt(5)])
    assert found[1].tolist() == [0.0, 0.0]


def test_cosine_distance_and_dot_product_order_documents_as_the_dot_product_before() -> None:
    documents = DRAW.standard_normal((50, 8)) * DRAW.uniform(0.1, 3, size=(50, 1))
    question = DRAW.standard_normal((1, 8))
    longest = float(np.linalg.norm(documents, axis=1).max())
    inside, asked = documents_within(documents, 2 * longest), questions_beside(question)
    order = np.argsort(-(documents @ question[0]))
    assert np.argsort(-(inside @ asked[0])).tolist() == order.tolist()
    assert np.argsort(np.linalg.norm(inside - asked, axis=1)).tolist() == order.tolist()
    shortened = documents_within(documents, longest / 100)
    assert shortened[:, -1].max() < 1e-3


def test_cells_of_a_document_hold_means_and_those_of_a_question_sums() -> None:
    rows = np.array([[2, 0], [4, 0], [0, 1]], dtype=np.float32)
    cells = np.array([0b000, 0b000, 0b111])
    assert _sums(rows, cells, 3)[[0b000, 0b111, 0b001]].tolist() == [[6, 0], [0, 1], [0, 0]]
    means = _means(rows, cells, 3)
    assert means[[0b000, 0b111]].tolist() == [[3, 0], [0, 1]]
    assert means[0b001].tolist() == [2, 0], "one plane from the first row, two from the last"
    assert means[0b110].tolist() == [0, 1]


def test_a_question_of_one_row_meets_the_document_of_that_row_with_its_square() -> None:
    row = rows_of([0.6, 0.8, 0.0])
    method = Muvera(repetitions=3, bits=2, width=3000)
    score = method._in_cells(row.vectors, _sums) @ method._in_cells(row.vectors, _means)
    assert score == pytest.approx(3.0, rel=0.1), "one in each repetition, but for the projection"
    assert len(method.documents([row])[0]) == method.dim == 3 * 4 * 3000 + 1


@pytest.mark.parametrize(("method", "least"), [(Muvera(), 0.8), (FITTED, 0.98)], ids=["muvera", "least squares"])
def test_products_of_vectors_follow_maxsim_also_for_documents_that_came_later(method: Any, least: float) -> None:
    documents, questions = ENCODER.encode_documents(TEXTS[200:]), ENCODER.encode_queries(QUESTIONS)
    products = method.queries(questions) @ method.documents(documents).T
    packed = pack([document.vectors for document in documents])
    exact = [maxsim(question.vectors, packed).scores for question in questions]
    followed = [np.corrcoef(*pair)[0, 1] for pair in zip(products, exact, strict=True)]
    assert np.mean(followed) > least


def test_a_seed_draws_the_same_again_and_another_something_else(tmp_path: Path) -> None:
    some = ENCODER.encode_documents(TEXTS[:3])
    again = LeastSquares.fit(ENCODER, TEXTS[:200], dim=300, rows=600)
    assert np.array_equal(again.documents(some), FITTED.documents(some))
    other = LeastSquares.fit(ENCODER, TEXTS[:200], dim=300, rows=600, seed=1)
    assert not np.allclose(other.documents(some), FITTED.documents(some))
    for one, two in itertools.combinations([Muvera(), Muvera(seed=1), Muvera(bits=4)], 2):
        assert one != two
        assert one.documents(some).shape != two.documents(some).shape or not np.allclose(
            one.documents(some), two.documents(some)
        )


def test_a_fit_is_read_as_it_was_written(tmp_path: Path) -> None:
    FITTED.save(tmp_path / "fit.safetensors")
    again = LeastSquares.load(tmp_path / "fit.safetensors")
    assert repr(again) == repr(FITTED)
    some = ENCODER.encode_documents(TEXTS[:3])
    assert np.array_equal(again.documents(some), FITTED.documents(some))
    assert np.array_equal(again.queries(some), FITTED.queries(some))
    assert [file.name for file in tmp_path.iterdir()] == ["fit.safetensors"]


def test_a_damaged_file_and_another_one_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "fit.safetensors"
    FITTED.save(file)
    whole = bytearray(file.read_bytes())
    for at in (len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"fit\.safetensors' is damaged; fit anew"):
            LeastSquares.load(file)
    file.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match=r"is no safetensors file, or damaged"):
        LeastSquares.load(file)
    save_file({"rows": np.zeros(3)}, file)
    with pytest.raises(ValueError, match=r"is no file of LeastSquares\.save; its format is None"):
        LeastSquares.load(file)
    with pytest.raises(FileNotFoundError):
        LeastSquares.load(tmp_path / "no such file")


def test_another_encoder_too_few_rows_and_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fitted for 'fake' .*the encoder is 'other' .*LeastSquares\.fit"):
        FITTED.check_encoder(FakeEncoder("other"))
    with pytest.raises(ValueError, match=r"1 texts with 3 rows are too few to fit 1024 numbers"):
        LeastSquares.fit(ENCODER, ["two words"])
    with pytest.raises(ValueError, match=r"0 texts with 0 rows are too few"):
        LeastSquares.fit(ENCODER, [])
    with pytest.raises(TypeError, match="put it in a list"):
        LeastSquares.fit(ENCODER, "two words")
    with pytest.raises(ValueError, match="dim must be at least 259 for rows of 256 numbers, got 258"):
        LeastSquares.fit(ENCODER, TEXTS, dim=258)
    with pytest.raises(ValueError, match="bits must be an int of at least 1, got 0"):
        Muvera(bits=0)
