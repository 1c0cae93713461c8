"""One face for both frameworks, so that the same test runs on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ChatMessage, CitationBlock
from llama_index.core.schema import Document as LlamaIndexDocument
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import ToolOutput

import langchain_latelens
import langchain_latelens.documents
import langchain_latelens.retriever
import langchain_latelens.stages
import langchain_latelens.tool
import llama_index_latelens
import llama_index_latelens.nodes
import llama_index_latelens.retriever
import llama_index_latelens.stages
import llama_index_latelens.tool
from latelens.index import Chunk, Searcher

_EDGES = ("left", "top", "right", "bottom")


class LangChainSide:
    add_boxes = staticmethod(langchain_latelens.add_boxes)
    page_blocks = staticmethod(langchain_latelens.page_blocks)

    def read_pages(self, path: Any, **options: Any) -> list[Document]:
        return langchain_latelens.PdfPagesLoader(path, **options).load()

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

    Retriever = langchain_latelens.retriever.LateInteractionRetriever
    first_stage = staticmethod(langchain_latelens.first_stage)
    create_evidence_tool = staticmethod(langchain_latelens.tool.create_evidence_tool)

    def whole(self, text: str, name: str, **metadata: Any) -> Document:
        return Document(text, id=name, metadata=metadata)

    def retriever(self, chunks: Sequence[Any], model: Any, **options: Any) -> Any:
        return self.Retriever.from_documents(chunks, model, **options)

    def over(self, searcher: Searcher, **options: Any) -> Any:
        return self.Retriever.from_index(searcher, **options)

    def as_query(self, query: Any) -> Any:
        return query

    def search(self, retriever: Any, query: str) -> list[Document]:
        return retriever.invoke(query)

    async def asearch(self, retriever: Any, query: str) -> list[Document]:
        return await retriever.ainvoke(query)

    def to_chunks(self, chunks: Sequence[Any], **options: Any) -> Iterator[Chunk]:
        return langchain_latelens.documents.to_chunks(chunks, **options)

    def add(self, retriever: Any, chunks: Sequence[Any]) -> list[str]:
        return retriever.add_documents(chunks)

    def delete(self, retriever: Any, names: Sequence[str]) -> int:
        return retriever.delete(names)

    def quotes(self, tool: Any, query: str) -> str:
        return tool.invoke({"query": query})

    async def aquotes(self, tool: Any, query: str) -> str:
        return await tool.ainvoke({"query": query})

    def cite(self, answer: str, found: Sequence[Document], **options: Any) -> AIMessage:
        return langchain_latelens.attach_citations(answer, found, **options)

    read_attribution = staticmethod(langchain_latelens.read_attribution)

    def citation_places(self, cited: AIMessage) -> list[dict[str, Any]]:
        """Page and boxes of each citation, as far as it has them."""
        notes = [note["extras"] for block in cited.content_blocks for note in block.get("annotations", ())]
        return [{key: note[key] for key in ("page", "boxes") if key in note} for note in notes]

    def fixed(self, found: Sequence[Document]) -> Any:
        """A retriever that finds the same whatever is asked."""
        return RunnableLambda(lambda query: list(found))

    def tool_blocks(self, tool: Any, query: str) -> list[Any]:
        call = {"name": tool.name, "args": {"query": query}, "id": "1", "type": "tool_call"}
        return tool.invoke(call).content_blocks

    async def atool_blocks(self, tool: Any, query: str) -> list[Any]:
        call = {"name": tool.name, "args": {"query": query}, "id": "1", "type": "tool_call"}
        return (await tool.ainvoke(call)).content_blocks

    def text_of_blocks(self, blocks: Sequence[Any]) -> str:
        return str(ToolMessage(content=list(blocks), tool_call_id="1").text)


class LlamaIndexSide:
    add_boxes = staticmethod(llama_index_latelens.add_boxes)
    page_blocks = staticmethod(llama_index_latelens.page_blocks)

    def read_pages(self, path: Any, **options: Any) -> list[NodeWithScore]:
        return [NodeWithScore(node=node) for node in llama_index_latelens.PdfPagesReader(**options).load_data(path)]

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

    Retriever = llama_index_latelens.retriever.LateInteractionRetriever
    first_stage = staticmethod(llama_index_latelens.first_stage)
    create_evidence_tool = staticmethod(llama_index_latelens.tool.create_evidence_tool)

    def whole(self, text: str, name: str, **metadata: Any) -> LlamaIndexDocument:
        return LlamaIndexDocument(text=text, id_=name, metadata=metadata)

    def retriever(self, chunks: Sequence[Any], model: Any, **options: Any) -> Any:
        return self.Retriever.from_nodes(_nodes(chunks), model, **_named(options))

    def over(self, searcher: Searcher, **options: Any) -> Any:
        return self.Retriever.from_index(searcher, **_named(options))

    def as_query(self, query: Any) -> Any:
        return QueryBundle(query)

    def search(self, retriever: Any, query: str) -> list[NodeWithScore]:
        return retriever.retrieve(query)

    async def asearch(self, retriever: Any, query: str) -> list[NodeWithScore]:
        return await retriever.aretrieve(query)

    def to_chunks(self, chunks: Sequence[Any], **options: Any) -> Iterator[Chunk]:
        return llama_index_latelens.nodes.to_chunks(_nodes(chunks), **options)

    def add(self, retriever: Any, chunks: Sequence[Any]) -> list[str]:
        return retriever.add_nodes(_nodes(chunks))

    def delete(self, retriever: Any, names: Sequence[str]) -> int:
        return retriever.delete_nodes(names)

    def quotes(self, tool: Any, query: str) -> str:
        return tool(query).content

    async def aquotes(self, tool: Any, query: str) -> str:
        return (await tool.acall(query)).content

    def cite(self, answer: str, found: Sequence[NodeWithScore], **options: Any) -> ChatMessage:
        return llama_index_latelens.attach_citations(ChatMessage(answer), found, **options)

    read_attribution = staticmethod(llama_index_latelens.read_attribution)

    def citation_places(self, cited: ChatMessage) -> list[dict[str, Any]]:
        """Page and boxes of each citation, as far as it has them; a message has them in thousandths."""
        places = [block.additional_location_info for block in cited.blocks if isinstance(block, CitationBlock)]
        edges = [[place[name] / 1000 for name in _EDGES if name in place] for place in places]
        return [
            {"page": place["page"], "boxes": [box]} if box else {} for place, box in zip(places, edges, strict=True)
        ]

    def fixed(self, found: Sequence[NodeWithScore]) -> Any:
        """A retriever that finds the same whatever is asked."""
        return _Fixed(found)

    def tool_blocks(self, tool: Any, query: str) -> list[Any]:
        return tool(query).blocks

    async def atool_blocks(self, tool: Any, query: str) -> list[Any]:
        return (await tool.acall(query)).blocks

    def text_of_blocks(self, blocks: Sequence[Any]) -> str:
        return ToolOutput("find", blocks=list(blocks), raw_input={}).content


class _Fixed(BaseRetriever):
    def __init__(self, found: Sequence[NodeWithScore]) -> None:
        super().__init__()
        self._found = list(found)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._found


def _nodes(chunks: Sequence[Any]) -> list[Any]:
    return [chunk.node if isinstance(chunk, NodeWithScore) else chunk for chunk in chunks]


def _named(options: dict[str, Any]) -> dict[str, Any]:
    """LlamaIndex's names for the two arguments that are called otherwise there."""
    names = {"k": "similarity_top_k", "filter": "filters"}
    return {names.get(name, name): value for name, value in options.items()}
