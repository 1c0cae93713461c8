"""Any LangChain retriever or vector store as the first stage of a `TwoStage`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore, VectorStoreRetriever

from langchain_latelens.evidence import SCORE_KEY, strip_evidence
from latelens.bridge.candidates import candidate
from latelens.index.filters import matches, parse_filter
from latelens.index.protocol import Filter
from latelens.index.stages.first_stage import Candidate

PassFilter = Callable[[Filter], dict[str, Any]]


def first_stage(
    source: VectorStore | Runnable[str, list[Document]],
    *,
    name: str | None = None,
    pass_filter: PassFilter | None = None,
) -> LangChainFirstStage:
    """Let a `TwoStage` take its candidates from a retriever or a vector store.

    >>> from langchain_core.embeddings import DeterministicFakeEmbedding
    >>> first_stage(InMemoryVectorStore(DeterministicFakeEmbedding(size=8))).name
    'InMemoryVectorStore'

    Parameters
    ----------
    source
        A vector store is asked for as many candidates as `TwoStage` wants, and its scores are kept. A retriever gives
        as many as it was set to: set its own `k` to the number of candidates.
    name
        Under which its scores are kept; the name of its class by default.
    pass_filter
        Turns a filter into arguments of the source's search, such as ``lambda filter: {"filter": filter}`` for a store
        that speaks this language; stores differ in theirs. Without it, filters are applied to what comes back (an
        `InMemoryVectorStore` needs none): raise `TwoStage`'s ``candidates`` if few chunks fulfil them.
    """
    return LangChainFirstStage(source, name or type(source).__name__, pass_filter)


class LangChainFirstStage:
    """Made by `first_stage`."""

    def __init__(
        self, source: VectorStore | Runnable[str, list[Document]], name: str, pass_filter: PassFilter | None
    ) -> None:
        if not isinstance(source, VectorStore | Runnable):
            raise TypeError(f"expected a LangChain retriever or vector store, got {type(source).__name__}")
        self.name = name
        self._source = source
        self._pass_filter = _predicate if pass_filter is None and _in_memory(source) else pass_filter

    def candidates(self, query: str, k: int, filter: Filter | None) -> list[Candidate]:
        """What the source finds, best first."""
        arguments = self._arguments(k, filter)
        if not isinstance(self._source, VectorStore):
            return _unscored(self._source.invoke(query, **arguments))[:k]
        try:
            return _scored(self._source.similarity_search_with_score(query, **arguments))
        except NotImplementedError:  # the base class's; a store need not give scores
            return _unscored(self._source.similarity_search(query, **arguments))

    async def acandidates(self, query: str, k: int, filter: Filter | None) -> list[Candidate]:
        """Like `candidates`, with the source's own coroutines."""
        arguments = self._arguments(k, filter)
        if not isinstance(self._source, VectorStore):
            return _unscored(await self._source.ainvoke(query, **arguments))[:k]
        try:
            return _scored(await self._source.asimilarity_search_with_score(query, **arguments))
        except NotImplementedError:
            return _unscored(await self._source.asimilarity_search(query, **arguments))

    def _arguments(self, k: int, filter: Filter | None) -> dict[str, Any]:
        passed = self._pass_filter(filter) if filter is not None and self._pass_filter is not None else {}
        takes_k = isinstance(self._source, VectorStore | VectorStoreRetriever)
        return {"k": k, **passed} if takes_k else passed


def _in_memory(source: object) -> bool:
    return isinstance(getattr(source, "vectorstore", source), InMemoryVectorStore)


def _predicate(filter: Filter) -> dict[str, Any]:
    condition = parse_filter(filter)
    return {"filter": lambda document: matches(condition, document.metadata)}


def _scored(found: Sequence[tuple[Document, float]]) -> list[Candidate]:
    return [_candidate(document, score) for document, score in found]


def _unscored(found: Sequence[Document]) -> list[Candidate]:
    return [_candidate(document, document.metadata.get(SCORE_KEY)) for document in found]


def _candidate(document: Document, score: object) -> Candidate:
    (plain,) = strip_evidence([document])
    # Some stores, such as Qdrant's, give the id in the metadata alone; rows beside them are found by it.
    id = plain.id or plain.metadata.get("_id")
    return candidate(plain.page_content, plain.metadata, id=None if id is None else str(id), score=score)
