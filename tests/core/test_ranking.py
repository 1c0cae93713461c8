"""`rerank`: order, ties, limits and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from latelens import EmbeddingCache, Encoder, TokenEmbeddings, rerank

DOCUMENTS = ["Rain fell.", "Elephants eat grass.", "Elephants sleep."]


def test_the_document_with_most_matches_comes_first_and_keeps_its_index() -> None:
    ranking = rerank("elephants eat", DOCUMENTS, FakeEncoder())
    assert [(ranked.index, ranked.score) for ranked in ranking] == [(1, 3.0), (2, 2.0), (0, 1.0)]


def test_equal_scores_keep_the_input_order() -> None:
    ranking = rerank("snow", ["b", "a", "c"], FakeEncoder())
    assert [ranked.index for ranked in ranking] == [0, 1, 2]


def test_the_score_is_the_explanations_and_the_matches_sum_to_it(offline: Encoder) -> None:
    for ranked in rerank("What do elephants eat?", DOCUMENTS, offline):
        assert ranked.score == ranked.explanation.score
        assert sum(match.similarity for match in ranked.explanation.matches) == pytest.approx(ranked.score, abs=1e-9)


def test_a_documents_score_does_not_depend_on_its_neighbours() -> None:
    alone = rerank("elephants eat", DOCUMENTS[1:2], FakeEncoder())[0]
    among = rerank("elephants eat", DOCUMENTS * 20, FakeEncoder())[0]
    assert alone.score == among.score


def test_off_finds_no_evidence_and_the_same_order(offline: Encoder) -> None:
    off = rerank("What do elephants eat?", DOCUMENTS, offline, explain="off")
    on = rerank("What do elephants eat?", DOCUMENTS, offline)
    assert [(ranked.index, ranked.score) for ranked in off] == [(ranked.index, ranked.score) for ranked in on]
    assert all(ranked.evidence == () for ranked in off)
    assert all(ranked.evidence for ranked in on)


def test_top_n_min_score_and_max_spans_limit_the_result() -> None:
    assert len(rerank("elephants", DOCUMENTS, FakeEncoder(), top_n=2)) == 2
    assert [ranked.index for ranked in rerank("elephants", DOCUMENTS, FakeEncoder(), min_score=2.0)] == [1, 2]
    text = "Elephants eat grass. Lions hunt prey. Zebras run fast. Rain fell."
    query = "elephants eat lions hunt zebras run"
    assert [len(rerank(query, [text], FakeEncoder(), max_spans=most)[0].evidence) for most in (1, 2, 3)] == [1, 2, 3]


def test_no_documents_give_no_results_and_load_nothing() -> None:
    assert rerank("elephants", [], FakeEncoder()) == []


def test_the_cache_answers_the_second_time() -> None:
    encoder, cache = FakeEncoder(), EmbeddingCache()
    first = rerank("elephants", DOCUMENTS, encoder, cache=cache)
    second = rerank("elephants", DOCUMENTS, encoder, cache=cache)
    assert encoder.encoded == DOCUMENTS
    assert [ranked.score for ranked in first] == [ranked.score for ranked in second]


@pytest.mark.parametrize(
    ("query", "options", "error", "message"),
    [
        (7, {}, TypeError, "query must be a str, got int: 7"),
        ("q", {"top_n": 0}, ValueError, "top_n must be at least 1, got 0; None returns every document"),
        ("q", {"top_n": 2.5}, TypeError, "top_n must be an int or None, got float: 2.5"),
        ("q", {"top_n": True}, TypeError, "top_n must be an int or None, got bool"),
        ("q", {"explain": "yes"}, ValueError, "explain must be 'off', 'evidence' or 'tokens', got 'yes'"),
        ("q", {"min_score": float("inf")}, ValueError, "min_score must be a finite number or None, got inf"),
        ("q", {"max_spans": 0}, ValueError, "max_spans must be an int of at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused(query: Any, options: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        rerank(query, DOCUMENTS, FakeEncoder(), **options)


def test_documents_that_are_one_string_or_no_strings_are_refused(offline: Encoder) -> None:
    with pytest.raises(TypeError, match="put it in a list"):
        rerank("q", "one string", offline)
    with pytest.raises(TypeError, match=r"\[1\] must be a str, got NoneType"):
        rerank("q", ["a", None], offline)  # type: ignore[list-item]


def test_an_encoder_that_mixes_dimensions_is_said() -> None:
    class Mixed(FakeEncoder):
        def encode_documents(self, texts: Any, *, show_progress: bool = False) -> list[TokenEmbeddings]:
            return FakeEncoder(dim=32).encode_documents(texts)

    with pytest.raises(ValueError, match="query has dimension 4096 and the document 32"):
        rerank("elephants", DOCUMENTS, Mixed())


def test_an_encoder_that_returns_nan_is_said() -> None:
    class Broken(FakeEncoder):
        def encode_documents(self, texts: Any, *, show_progress: bool = False) -> list[TokenEmbeddings]:
            good = super().encode_documents(texts)[0]
            return [TokenEmbeddings(good.text, good.vectors * np.float32(np.nan), good.tokens, good.spans, good.kinds)]

    with pytest.raises(ValueError, match="vectors must be finite"):
        rerank("elephants", DOCUMENTS[:1], Broken())
