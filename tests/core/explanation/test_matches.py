"""An explanation is the score, term by term."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens import TokenEmbeddings, TokenKind, explain
from latelens.maxsim import maxsim, pack


def embeddings(seed: int, kinds: list[int], dim: int = 8, scale: float = 1.0) -> TokenEmbeddings:
    """One row a kind; CONTENT rows own one letter of ``a b c ...``, the others no text."""
    vectors = (np.random.default_rng(seed).standard_normal((len(kinds), dim)) * scale).astype(np.float32)
    spans = [(2 * i, 2 * i + 1) if kind == TokenKind.CONTENT else (-1, -1) for i, kind in enumerate(kinds)]
    tokens = tuple(chr(97 + i % 26) for i in range(len(kinds)))
    return TokenEmbeddings(
        " ".join(tokens),
        vectors,
        tokens,
        np.array(spans, dtype=np.int32).reshape(-1, 2),
        np.array(kinds, dtype=np.uint8),
    )


KINDS = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3]), min_size=1, max_size=40)


@given(seed=st.integers(0, 2**31), query=KINDS, document=KINDS, exponent=st.integers(-12, 6))
@settings(max_examples=100, deadline=None)
def test_matches_sum_to_the_score_exactly(seed, query, document, exponent):
    explanation = explain(embeddings(seed, query, scale=10.0**exponent), embeddings(seed + 1, document))
    similarities = [match.similarity for match in explanation.matches]
    assert math.fsum(similarities) == explanation.score
    assert math.fsum(reversed(similarities)) == explanation.score
    assert sum(similarities) == pytest.approx(explanation.score, rel=1e-13, abs=1e-300)
    assert explanation.mean_similarity == explanation.score / len(query)


@given(seed=st.integers(0, 2**31), query=KINDS, document=KINDS)
@settings(max_examples=50, deadline=None)
def test_every_query_row_of_every_kind_has_the_match_that_maxsim_finds(seed, query, document):
    asked, read = embeddings(seed, query), embeddings(seed + 1, document)
    explanation = explain(asked, read)
    expected = maxsim(asked.vectors, pack([read.vectors]), winners=True)
    assert [match.query_row for match in explanation.matches] == list(range(len(query)))
    assert [match.kind for match in explanation.matches] == query
    assert all(isinstance(match.kind, TokenKind) for match in explanation.matches)
    assert [match.document_row for match in explanation.matches] == expected.rows[0].tolist()
    assert explanation.score == pytest.approx(expected.scores[0], abs=1e-4)
    for match in explanation.matches:
        assert match.similarity == explanation.similarity[match.query_row, match.document_row]
        assert match.similarity == explanation.similarity[match.query_row].max()


def test_equal_words_match_with_one_and_carry_their_spans():
    encoder = FakeEncoder()
    query, document = "Elephants eat grass", "Tall grass is what elephants like."
    explanation = explain(encoder.encode_queries([query])[0], encoder.encode_documents([document])[0])
    special, elephants, eat, grass = explanation.matches
    assert explanation.score == 3.0
    assert (special.kind, special.query_span, special.document_span) == (TokenKind.SPECIAL, (-1, -1), (-1, -1))
    assert (elephants.kind, elephants.similarity, eat.similarity) == (TokenKind.CONTENT, 1.0, 0.0)
    assert (elephants.query_token, elephants.document_token) == ("elephants", "elephants")
    assert query[slice(*elephants.query_span)] == "Elephants"
    assert document[slice(*elephants.document_span)] == "elephants"
    assert document[slice(*grass.document_span)] == "grass"


def test_the_first_of_equal_document_rows_is_the_match():
    encoder = FakeEncoder()
    text = "grass and grass"
    explanation = explain(encoder.encode_queries(["grass"])[0], encoder.encode_documents([text])[0])
    assert explanation.matches[1].document_span == (0, 5)


def test_expansion_and_marker_rows_count_in_the_score_without_any_text():
    kinds = [TokenKind.MARKER, TokenKind.CONTENT, TokenKind.EXPANSION]
    explanation = explain(embeddings(1, kinds), embeddings(2, [0, 0]))
    assert [match.query_span for match in explanation.matches] == [(-1, -1), (2, 3), (-1, -1)]
    assert explanation.score == pytest.approx(explanation.similarity.max(axis=1).sum(), abs=1e-5)


def test_matches_hold_builtin_numbers():
    match = explain(embeddings(1, [0]), embeddings(2, [0, 0])).matches[0]
    assert type(match.similarity) is float
    assert {type(value) for value in (match.query_row, match.document_row)} == {int}
    assert {type(value) for value in (*match.query_span, *match.document_span)} == {int}


def test_a_repr_shows_the_score_and_little_of_a_long_text():
    explanation = explain(embeddings(1, [0] * 3), embeddings(2, [0] * 500))
    assert repr(explanation).startswith(f"Explanation(score={explanation.score:.4f}, matches=3, document='a b c ")
    assert len(repr(explanation)) < 120


def test_explaining_leaves_both_sides_alone():
    query, document = embeddings(1, [0, 3]), embeddings(2, [0, 1])
    before = query.vectors.copy(), document.vectors.copy()
    assert len(explain(query, document).matches) == 2
    np.testing.assert_array_equal(query.vectors, before[0])
    np.testing.assert_array_equal(document.vectors, before[1])


def test_sides_of_two_models_are_refused():
    with pytest.raises(ValueError, match="query has dimension 8 and the document 4; encode both with one model"):
        explain(embeddings(1, [0]), embeddings(2, [0], dim=4))


@pytest.mark.parametrize(("query", "document"), [([], [0]), ([0], []), ([], [])])
def test_a_side_without_rows_is_refused(query, document):
    with pytest.raises(ValueError, match=f"{len(query)} query rows and {len(document)} document rows"):
        explain(embeddings(1, query), embeddings(2, document))
