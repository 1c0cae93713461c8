"""`LateInteractionVectorStore`: an index where LlamaIndex expects a vector store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from latelens.bridge.arguments import check_names
from latelens.bridge.parents import NODE_KEY
from latelens.bridge.retrieving import Retrieved, put
from latelens.bridge.storing import Store, both, no_single_vector
from latelens.explanation.results import ExplainMode
from latelens.index.batches import batches
from latelens.index.protocol import Chunk, Filter, Index
from latelens.refusals import check_texts
from llama_index_latelens.filters import to_filter
from llama_index_latelens.nodes import node_of, scored_node, to_chunks

dispatcher = get_dispatcher(__name__)

_DELETED = 1000  # chunks at a time
_TEXTLESS = {"IndexNode", "ImageNode"}


class LateInteractionVectorStore(BasePydanticVectorStore):
    """Keep nodes in an index and search it by late interaction; each result carries its exact evidence.

    For ``VectorStoreIndex.from_vector_store``, ``StorageContext`` and ``IngestionPipeline``. Nodes are kept whole under
    their ids; one that is added again replaces the old one, and is encoded only if it has changed. LlamaIndex embeds
    nodes before it stores them, which is of no use here: give it ``MockEmbedding(embed_dim=1)``, as ``embed_model`` of
    an index and last of a pipeline's transformations.

    Results are new nodes with evidence in ``node.metadata["latelens"]``, kept out of prompts and embeddings.
    `MetadataFilters` mean what they mean to LlamaIndex's `SimpleVectorStore`; ``vector_store_kwargs`` of a retriever
    may hold ``explain``, ``min_score``, ``min_relevance`` and ``filter``, a dict, for its calls.

    Parameters
    ----------
    index
        One of `latelens.index`: `ExactIndex`, `LanceIndex`, `QdrantIndex` or `PlaidIndex`.
    explain
        ``"evidence"``; ``"tokens"`` adds every token match; ``"off"`` gives back nodes just as they were stored.
    min_score
        Leave out those found with a lower MaxSim score.
    min_relevance
        Leave out those found that answer with a lower probability, 0..1; the model needs a calibration.

    Examples
    --------
    >>> store = LateInteractionVectorStore(ExactIndex(encoder, "my index"))  # doctest: +SKIP
    >>> index = VectorStoreIndex.from_vector_store(store, MockEmbedding(embed_dim=1))  # doctest: +SKIP
    """

    stores_text: bool = True
    is_embedding_query: bool = False

    _store: Store = PrivateAttr()

    def __init__(
        self,
        index: Index,
        explain: ExplainMode = "evidence",
        min_score: float | None = None,
        min_relevance: float | None = None,
    ) -> None:
        super().__init__(stores_text=True, is_embedding_query=False)
        self._store = Store.of(index, explain, min_score, min_relevance)

    def __repr__(self) -> str:
        return f"LateInteractionVectorStore({self.index!r})"

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "LateInteractionVectorStore"

    @property
    def index(self) -> Index:
        """Where the nodes are."""
        return self._store.index

    @property
    def client(self) -> Index:
        """The index: LlamaIndex's name for what is behind a store."""
        return self.index

    def add(self, nodes: Sequence[BaseNode], *, show_progress: bool = False, **kwargs: Any) -> list[str]:
        """Store nodes, replacing those with the same ids, and return the ids; their embeddings are not kept."""
        check_names(kwargs, ("show_progress",))
        put(self.index, to_chunks(nodes), show_progress=show_progress)
        return [node.node_id for node in nodes]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Like `add`, off the event loop."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete all nodes of a document, at once; an unknown one is skipped."""
        check_names(delete_kwargs, ())
        self.index.delete_document(ref_doc_id)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Like `delete`, off the event loop."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes with these ids that fulfil the filters.

        Raises
        ------
        ValueError
            If neither is given: `clear` deletes all.
        """
        check_names(delete_kwargs, ())
        if node_ids is None and filters is None:
            raise ValueError("name node_ids, filters or both; clear() deletes all")
        self._delete(_selected(node_ids, filters))

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Like `delete_nodes`, off the event loop."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    def clear(self) -> None:
        """Delete all nodes."""
        self._delete(None)

    async def aclear(self) -> None:
        """Like `clear`, off the event loop."""
        await asyncio.to_thread(self.clear)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """The nodes with these ids that fulfil the filters, all where neither is given; as they were stored."""
        return [node_of(chunk) for chunk in self.index.chunks(_selected(node_ids, filters))]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Like `get_nodes`, off the event loop."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes for ``query.query_str``, with their MaxSim scores.

        Raises
        ------
        NotImplementedError
            In a mode that needs single vectors or another kind of search.
        """
        return _result(self._store.search(*self._asked(query, kwargs)))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Like `query`, off the event loop."""
        asked = await asyncio.to_thread(self._asked, query, kwargs)
        return _result(await self._store.asearch(*asked))

    def persist(self, persist_path: str = "", fs: Any = None) -> None:  # noqa: ARG002
        """See that everything is on disk, where the index is; `persist_path` is for stores of one file.

        Raises
        ------
        ValueError
            If the index is in memory.
        """
        self.index.persist()

    def _asked(self, query: VectorStoreQuery, kwargs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        check_names(kwargs, ("explain", "filter", "min_relevance", "min_score"))
        if query.mode != VectorStoreQueryMode.DEFAULT:
            raise no_single_vector(f"the mode {query.mode.value!r}", "use the default mode; a LanceIndex can be hybrid")
        if query.query_str is None:
            raise no_single_vector("a query without query_str", "give the question itself")
        documents: Filter | None = {"$document_id": {"$in": query.doc_ids}} if query.doc_ids else None
        filter = both(kwargs.get("filter"), documents, _selected(self._nodes_asked(query), query.filters))
        return query.query_str, {**kwargs, "k": query.similarity_top_k, "filter": filter}

    def _nodes_asked(self, query: VectorStoreQuery) -> list[str] | None:
        """The nodes to search among.

        A `VectorStoreIndex` over a store of text names its index and image nodes here, which are no restriction: it
        names them only because it keeps copies of them.
        """
        if not query.node_ids:
            return None
        kinds = [_kind(chunk) for chunk in self.index.get(query.node_ids) if chunk is not None]
        return None if kinds and set(kinds) <= _TEXTLESS else query.node_ids

    def _delete(self, filter: Filter | None) -> None:
        for some in batches(list(self.index.ids(filter)), _DELETED):
            self.index.delete(some)


def _selected(node_ids: Sequence[str] | None, filters: MetadataFilters | None) -> Filter | None:
    if node_ids is not None:
        check_texts("node_ids", node_ids)
    nodes: Filter | None = None if node_ids is None else {"$id": {"$in": list(node_ids)}}
    return both(nodes, to_filter(filters))


def _kind(chunk: Chunk) -> str | None:
    node = chunk.metadata.get(NODE_KEY)
    return node.get("class") if isinstance(node, dict) else None


def _result(found: Sequence[Retrieved]) -> VectorStoreQueryResult:
    nodes = [scored_node(each) for each in found]
    return VectorStoreQueryResult(
        nodes=[each.node for each in nodes],
        similarities=[each.score or 0.0 for each in nodes],
        ids=[each.node.node_id for each in nodes],
    )
