"""Many callers of one encoder through either adapter: their queries are encoded together, and answered as alone."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
import tiny_models
from sides import LangChainSide, LlamaIndexSide
from tiny_models import one_torch_thread  # noqa: F401

TEXTS = tiny_models.SENTENCES[:5]
QUERIES = [f"What do {beings} do in the {season}?" for beings in ("swallows", "fishers") for season in TEXTS[0].split()]


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries each forward pass of the encoder had; a pass takes long enough for others to come."""
    encoder, found, lock = tiny_models.encoder(tiny_models.ANY), [], threading.Lock()
    forward = encoder._forward

    def slowly(slices: list[str], starts: list[int], task: str, width: int | None) -> Any:
        if task == "query":
            with lock:
                found.append(len(slices))
            time.sleep(0.02)
        return forward(slices, starts, task, width)

    monkeypatch.setattr(encoder, "_forward", slowly)
    monkeypatch.setattr(encoder, "_lanes", lambda: 1)
    return found


def scores(side: Any, found: list[Any]) -> list[tuple[str, str]]:
    return [(side.name(chunk), side.metadata(chunk)["latelens"]) for chunk in found]


@pytest.mark.filterwarnings("ignore:the query is longer")
async def test_queries_that_are_searched_and_reranked_at_once_share_passes(side: Any, passes: list[int]) -> None:
    encoder = tiny_models.encoder(tiny_models.ANY)
    chunks = [side.chunk(text, str(i)) for i, text in enumerate(TEXTS)]
    retriever, reranker = side.retriever(chunks, encoder), side.Rerank(model=encoder, cache=True)
    for alone, at_once in (
        (lambda query: side.search(retriever, query), lambda query: side.asearch(retriever, query)),
        (
            lambda query: side.rerank(side.Rerank(model=encoder), chunks, query),
            lambda query: side.arerank(reranker, chunks, query),
        ),
    ):
        wanted = [scores(side, alone(query)) for query in QUERIES]
        passes.clear()
        found = await asyncio.gather(*(at_once(query) for query in QUERIES))
        assert [scores(side, each) for each in found] == wanted
        assert sum(passes) == len(QUERIES)
        assert len(passes) < len(QUERIES) * 0.7
