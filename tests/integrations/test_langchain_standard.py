"""LangChain's own suites for retrievers and tools, as they come."""

from __future__ import annotations

from typing import Any

import pytest
from fake_encoder import FakeEncoder

pytest.importorskip("langchain_tests")

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from langchain_latelens.reranked_retriever import RerankedRetriever
from langchain_latelens.reranker import LateInteractionRerank
from langchain_latelens.retriever import LateInteractionRetriever
from langchain_latelens.tool import create_evidence_tool
from latelens.index.exact import ExactIndex
from latelens.index.protocol import Chunk
from latelens.index.stages.bm25 import BM25
from latelens.index.stages.two_stage import TwoStage

CHUNKS = [Chunk(str(i), f"Elephants eat plants of kind {i}.") for i in range(6)]
QUERY = "What do elephants eat?"


def filled_index() -> ExactIndex:
    index = ExactIndex(FakeEncoder())
    index.add(CHUNKS)
    return index


class TestRetriever(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return LateInteractionRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"searcher": filled_index()}

    @property
    def retriever_query_example(self) -> str:
        return QUERY


class TestTwoStageRetriever(TestRetriever):
    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"searcher": TwoStage(BM25(CHUNKS), FakeEncoder())}


class TestRerankedRetriever(TestRetriever):
    """What `as_retriever` gives: it takes ``top_n`` where a retriever takes ``k``."""

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return RerankedRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        base = LateInteractionRetriever(searcher=filled_index(), k=6)
        made = LateInteractionRerank(model=FakeEncoder()).as_retriever(base)
        return {"base_retriever": made.base_retriever, "reranker": made.reranker}

    @property
    def num_results_arg_name(self) -> str:
        return "top_n"


class _Tool:
    @property
    def tool_constructor(self) -> BaseTool:
        retriever = LateInteractionRetriever.from_documents([Document(QUERY)], FakeEncoder())
        return create_evidence_tool(retriever, "find_evidence", "Finds evidence about elephants.")

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": QUERY}


class TestToolUnit(_Tool, ToolsUnitTests):
    pass


class TestTool(_Tool, ToolsIntegrationTests):
    pass
