"""Any LlamaIndex retriever or index as the first stage of a `TwoStage`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices import VectorStoreIndex
from llama_index.core.schema import BaseNode, NodeWithScore

from latelens.bridge.candidates import candidate
from latelens.bridge.parents import NODE_KEY
from latelens.index.protocol import Filter
from latelens.index.stages.first_stage import Candidate
from llama_index_latelens.filters import from_filter
from llama_index_latelens.nodes import kept_of, plain_metadata, text_of


def first_stage(source: VectorStoreIndex | BaseRetriever, *, name: str | None = None) -> LlamaIndexFirstStage:
    """Let a `TwoStage` take its candidates from a retriever or a vector index.

    Parameters
    ----------
    source
        A `VectorStoreIndex` is asked for as many candidates as `TwoStage` wants, and given the filters that its store
        can be expected to know: comparisons with texts and numbers, all or any of them. A retriever gives as many as
        it was set to: set its own `similarity_top_k` to the number of candidates. Filters not passed on are applied to
        what comes back: raise `TwoStage`'s ``candidates`` if few nodes fulfil them.
    name
        Under which its scores are kept; the name of its class by default.
    """
    return LlamaIndexFirstStage(source, name or type(source).__name__)


class LlamaIndexFirstStage:
    """Made by `first_stage`."""

    def __init__(self, source: VectorStoreIndex | BaseRetriever, name: str) -> None:
        if not isinstance(source, VectorStoreIndex | BaseRetriever):
            raise TypeError(f"expected a LlamaIndex retriever or VectorStoreIndex, got {type(source).__name__}")
        self.name = name
        self._source = source

    def candidates(self, query: str, k: int, filter: Filter | None) -> list[Candidate]:
        """What the source finds, best first."""
        return _candidates(self._retriever(k, filter).retrieve(query), k)

    async def acandidates(self, query: str, k: int, filter: Filter | None) -> list[Candidate]:
        """Like `candidates`, with the source's own coroutine; in a thread if it has none of its own."""
        retriever = self._retriever(k, filter)
        if type(retriever)._aretrieve is BaseRetriever._aretrieve:  # which would block the event loop
            return _candidates(await asyncio.to_thread(retriever.retrieve, query), k)
        return _candidates(await retriever.aretrieve(query), k)

    def _retriever(self, k: int, filter: Filter | None) -> BaseRetriever:
        if isinstance(self._source, BaseRetriever):
            return self._source
        filters = None if filter is None else from_filter(filter)
        return self._source.as_retriever(similarity_top_k=k, filters=filters)


def _candidates(found: Sequence[NodeWithScore], k: int) -> list[Candidate]:
    return [_candidate(scored.node, scored.score) for scored in found[:k]]


def _candidate(node: BaseNode, score: float | None) -> Candidate:
    made = candidate(text_of(node), plain_metadata(node), id=node.node_id, score=score)
    return replace(made, chunk=replace(made.chunk, metadata={**made.chunk.metadata, NODE_KEY: kept_of(node)}))
