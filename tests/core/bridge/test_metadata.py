"""Metadata: the schema, to the key, and reading it back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from latelens import Ranked, TokenEmbeddings, TokenKind, explain, read_evidence, rerank
from latelens.bridge.metadata import earlier_score, read_metadata, to_metadata

QUERY = "what do elephants eat"
TEXT = "Rain fell. Elephants eat grass."


def test_the_schema_is_the_documented_one() -> None:
    (ranked,) = rerank(QUERY, [TEXT], FakeEncoder())
    found = to_metadata(ranked, query=QUERY, model="fake", rank=1, retrieval_score=0.5, source_start=100, tokens=True)
    assert list(found) == [
        "version", "model", "query", "score", "mean_similarity", "relevance", "rank", "retrieval_score", "complete",
        "evidence", "uncovered", "tokens",
    ]  # fmt: skip
    assert found["score"] == 3.0
    assert found["mean_similarity"] == 3.0 / 5
    assert found["evidence"] == [
        {
            "start": 11, "end": 31, "text": "Elephants eat grass.", "score": 0.5, "drop": 2.0,
            "query_words": ["elephants", "eat"], "phrase_start": 11, "phrase_end": 24,
            "source_start": 111, "source_end": 131,
        }
    ]  # fmt: skip
    assert found["tokens"][0] == {
        "query": "[CLS]", "query_start": None, "query_end": None, "document": "[CLS]", "start": None, "end": None,
        "similarity": 1.0, "kind": "special", "document_kind": "special",
    }  # fmt: skip
    assert found["tokens"][4] == {
        "query": "eat", "query_start": 18, "query_end": 21, "document": "eat", "start": 21, "end": 24,
        "similarity": 1.0, "kind": "content", "document_kind": "content",
    }  # fmt: skip


def test_evidence_comes_back_as_it_was() -> None:
    (ranked,) = rerank(QUERY, [TEXT], FakeEncoder())
    found = json.loads(json.dumps(to_metadata(ranked, query=QUERY, model="fake", rank=1)))
    assert read_evidence({"metadata": {"latelens": found}}) == list(ranked.evidence)
    assert read_metadata({"latelens": found}) == found


@pytest.mark.parametrize(
    ("metadata", "score", "expected"),
    [
        ({}, 0.25, 0.25),
        ({}, 3, 3.0),
        ({}, None, None),
        ({}, "0.9", None),
        ({}, True, None),
        ({}, float("nan"), None),
        ({"latelens": {"version": 1, "retrieval_score": 0.5}}, 9.0, 0.5),
        ({"latelens": {"version": 1}}, 9.0, None),
        ({"latelens": "mine"}, 9.0, 9.0),
    ],
)
def test_the_retrieval_score_is_the_first_one_known(metadata: dict, score: object, expected: float | None) -> None:
    assert earlier_score(metadata, score) == expected


def page(cells: int) -> TokenEmbeddings:
    """Rows of a page image: patches, no text."""
    encoded = FakeEncoder().encode_documents([" ".join(f"cell{i}" for i in range(cells))])[0]
    rows = encoded.content_rows()
    spans = np.full((len(rows), 2), -1, dtype=np.int32)
    kinds = np.full(len(rows), TokenKind.PATCH, dtype=np.uint8)
    return TokenEmbeddings("", encoded.vectors[rows], ("<image>",) * len(rows), spans, kinds)


def test_patches_of_a_page_are_called_patches_and_leave_no_word_uncovered() -> None:
    query = FakeEncoder().encode_queries(["elephants eat"])[0]
    explanation = explain(query, page(6))
    assert explanation.uncovered == ()
    ranked = Ranked(0, explanation.score, explanation, ())
    found = to_metadata(ranked, query="elephants eat", model="fake", rank=1, tokens=True)
    assert {token["document_kind"] for token in found["tokens"]} == {"patch"}
    assert (found["relevance"], found["evidence"], found["uncovered"]) == (None, [], [])
    assert sum(token["similarity"] for token in found["tokens"]) == pytest.approx(found["score"])
