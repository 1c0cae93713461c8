"""Rerankers that are changed, copied, pickled or compared are what they show."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from sides import LangChainSide, LlamaIndexSide

from latelens import EmbeddingCache

QUERY = "What do elephants eat?"


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


def chunks_of(side: Any) -> list[Any]:
    return [side.chunk(text) for text in ("Elephants eat grass.", "It rained.")]


def model_of(side: Any, reranker: Any) -> str:
    return side.metadata(side.rerank(reranker, chunks_of(side), QUERY)[0])["latelens"]["model"]


def test_a_model_that_is_set_later_is_the_one_that_ranks(side: Any) -> None:
    reranker = side.Rerank(model=FakeEncoder("one"))
    assert model_of(side, reranker) == "one"
    reranker.model = FakeEncoder("two")
    assert model_of(side, reranker) == "two"
    assert model_of(side, reranker.model_copy(update={"model": FakeEncoder("three")})) == "three"
    assert model_of(side, reranker) == "two"


def test_a_cache_that_is_set_later_is_the_one_that_keeps(side: Any) -> None:
    reranker, cache = side.Rerank(model=FakeEncoder()), EmbeddingCache()
    reranker.cache = cache
    side.rerank(reranker, chunks_of(side), QUERY)
    assert len(cache) == 3


def test_options_that_are_set_later_count_and_wrong_ones_are_refused(side: Any) -> None:
    reranker = side.Rerank(model=FakeEncoder())
    reranker.top_n = 1
    assert len(side.rerank(reranker, chunks_of(side), QUERY)) == 1
    for name, value, message in (
        ("top_n", 0, "top_n must be at least 1, got 0"),
        ("explain_mode", "all", "'off', 'evidence' or 'tokens'"),
        ("cache", 7, "cache must be"),
    ):
        changed = reranker.model_copy(update={name: value})
        with pytest.raises((TypeError, ValueError), match=message):
            side.rerank(changed, chunks_of(side), QUERY)
    with pytest.raises(ValueError, match="topn"):
        reranker.topn = 3


def test_a_pickled_reranker_keeps_its_model_and_options(side: Any) -> None:
    reranker = side.Rerank(model=FakeEncoder("mine"), top_n=1, explain="tokens")
    expected = side.rerank(reranker, chunks_of(side), QUERY)
    for again in (pickle.loads(pickle.dumps(reranker)), copy.deepcopy(reranker)):
        assert (again.top_n, again.explain_mode, again.model.name) == (1, "tokens", "mine")
        assert side.rerank(again, chunks_of(side), QUERY) == expected


class Unpicklable(FakeEncoder):
    def __reduce__(self) -> Any:
        raise TypeError("this encoder cannot be pickled")


def test_a_model_that_cannot_be_pickled_is_said_not_replaced(side: Any) -> None:
    with pytest.raises(TypeError, match="this encoder cannot be pickled"):
        pickle.dumps(side.Rerank(model=Unpicklable()))


def test_equal_settings_make_equal_rerankers(side: Any) -> None:
    name = "offline/all-MiniLM-L6-v2"
    assert side.Rerank(model=name) == side.Rerank(model=name)
    assert side.Rerank(model=name) != side.Rerank(model=name, top_n=1)
    changed = side.Rerank(model=name, top_n=1)
    changed.top_n = 5
    assert changed == side.Rerank(model=name)
    assert side.Rerank(model=FakeEncoder()) != side.Rerank(model=FakeEncoder())


def test_what_a_reranker_shows_is_what_it_does(side: Any) -> None:
    reranker = side.Rerank(model="one/model")
    reranker.model = "another/model"
    assert "model='another/model'" in repr(reranker)
    with pytest.raises(ValueError, match="could not find the model 'another/model'"):
        side.rerank(reranker, chunks_of(side), QUERY)


def test_a_pickled_or_copied_retriever_finds_what_it_found(side: Any, tmp_path: Path) -> None:
    chunks = [side.chunk("Elephants eat grass.", "grass"), side.chunk("It rained.", "rain")]
    retrievers = [side.retriever(chunks, FakeEncoder("one"), path=path) for path in (None, tmp_path / "index")]
    for retriever in retrievers:
        expected = [side.text(found) for found in side.search(retriever, QUERY)]
        assert len(expected) == 2
        for other in (pickle.loads(pickle.dumps(retriever)), copy.deepcopy(retriever)):
            assert [side.text(found) for found in side.search(other, QUERY)] == expected
