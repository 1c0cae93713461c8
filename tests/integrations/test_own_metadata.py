"""A user's own value under our key is not lost in silence."""

from __future__ import annotations

from typing import Any

import pytest
from fake_encoder import FakeEncoder
from sides import LangChainSide, LlamaIndexSide

from latelens.bridge.metadata import marked

QUERY = "What do elephants eat?"


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("mine", ["a camera", {"lens": "wide"}, ["a", "b"], None])
def test_a_users_own_value_under_our_key_stays_where_nothing_is_explained(side: Any, mine: Any) -> None:
    chunk = side.chunk("Elephants eat grass.", latelens=mine)
    (result,) = side.rerank(side.Rerank(model=FakeEncoder(), explain="off"), [chunk], QUERY)
    assert side.metadata(result)["latelens"] == mine
    assert side.read_evidence(result) == []
    assert side.metadata(side.strip_evidence([chunk])[0])["latelens"] == mine
    (found,) = side.search(side.retriever([chunk], FakeEncoder(), explain="off"), QUERY)
    assert side.metadata(found)["latelens"] == mine


def test_a_users_own_value_under_our_key_is_refused_where_evidence_goes(side: Any) -> None:
    chunk = side.chunk("Elephants eat grass.", latelens="a camera")
    with pytest.raises(ValueError, match="'latelens' is where evidence goes, and a chunk has 'a camera' there: rename"):
        side.rerank(side.Rerank(model=FakeEncoder()), [chunk], QUERY)


def test_old_evidence_goes_where_nothing_is_explained(side: Any) -> None:
    (first,) = side.rerank(side.Rerank(model=FakeEncoder()), [side.chunk("Elephants eat grass.")], QUERY)
    (again,) = side.rerank(side.Rerank(model=FakeEncoder(), explain="off"), [first], QUERY)
    assert "latelens" not in side.metadata(again)


def test_read_evidence_says_where_in_the_document(side: Any) -> None:
    text = "It rained. Elephants eat grass."
    (result,) = side.rerank(side.Rerank(model=FakeEncoder()), [side.placed_at(text, 100)], QUERY)
    (span,) = side.read_evidence(result)
    assert (span.source_start, span.source_end) == (100 + span.start, 100 + span.end) == (111, 131)
    (nowhere,) = side.rerank(side.Rerank(model=FakeEncoder()), [side.chunk(text)], QUERY)
    assert side.read_evidence(nowhere)[0].source_start is None


def test_marking_copies() -> None:
    metadata = {"page": 1}
    assert marked(metadata, {"version": 1}) == {"page": 1, "latelens": {"version": 1}}
    assert metadata == {"page": 1}
