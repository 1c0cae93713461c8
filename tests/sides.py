"""One face for both frameworks, so that the same test runs on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

import langchain_latelens
import llama_index_latelens


class LangChainSide:
    Rerank = langchain_latelens.LateInteractionRerank
    read_evidence = staticmethod(langchain_latelens.read_evidence)
    strip_evidence = staticmethod(langchain_latelens.strip_evidence)

    def chunk(self, text: str, name: str = "x", score: float | None = None, **metadata: Any) -> Document:
        if score is not None:
            metadata["relevance_score"] = score
        return Document(text, id=name, metadata=metadata)

    def rerank(self, reranker: Any, chunks: Sequence[Any], query: str) -> list[Any]:
        return reranker.compress_documents(chunks, query)

    async def arerank(self, reranker: Any, chunks: Sequence[Any], query: str) -> list[Any]:
        return await reranker.acompress_documents(chunks, query)

    def text(self, chunk: Document) -> str:
        return chunk.page_content

    def name(self, chunk: Document) -> str | None:
        return chunk.id

    def score(self, chunk: Document) -> float:
        return chunk.metadata["relevance_score"]

    def metadata(self, chunk: Document) -> dict[str, Any]:
        return chunk.metadata

    def as_dict(self, chunk: Document) -> dict[str, Any]:
        return chunk.model_dump()

    def placed_at(self, text: str, start: int) -> Document:
        return self.chunk(text, start_index=start)


class LlamaIndexSide:
    Rerank = llama_index_latelens.LateInteractionRerank
    read_evidence = staticmethod(llama_index_latelens.read_evidence)
    strip_evidence = staticmethod(llama_index_latelens.strip_evidence)

    def chunk(self, text: str, name: str = "x", score: float | None = None, **metadata: Any) -> NodeWithScore:
        return NodeWithScore(node=TextNode(text=text, id_=name, metadata=metadata), score=score)

    def rerank(self, reranker: Any, chunks: Sequence[Any], query: str) -> list[Any]:
        return reranker.postprocess_nodes(list(chunks), query_str=query)

    async def arerank(self, reranker: Any, chunks: Sequence[Any], query: str) -> list[Any]:
        return await reranker.apostprocess_nodes(list(chunks), query_str=query)

    def text(self, chunk: NodeWithScore) -> str:
        return chunk.node.get_content()

    def name(self, chunk: NodeWithScore) -> str:
        return chunk.node.node_id

    def score(self, chunk: NodeWithScore) -> float:
        return chunk.get_score(raise_error=True)

    def metadata(self, chunk: NodeWithScore) -> dict[str, Any]:
        return chunk.node.metadata

    def as_dict(self, chunk: NodeWithScore) -> dict[str, Any]:
        return chunk.to_dict()

    def placed_at(self, text: str, start: int) -> NodeWithScore:
        return NodeWithScore(node=TextNode(text=text, start_char_idx=start, end_char_idx=start + len(text)))
