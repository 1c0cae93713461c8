"""What a model wrote on the way to an answer is never evidence for it: with LlamaIndex's own engines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from langchain_core.documents import Document as LangChainDocument
from llama_index.core import DocumentSummaryIndex, SummaryIndex, TreeIndex
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.base.response.schema import Response
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.indices.query.query_transform.base import IdentityQueryTransform
from llama_index.core.llms.mock import MockLLM
from llama_index.core.query_engine import MultiStepQueryEngine, RetrieverQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen.types import BaseQuestionGenerator, SubQuestion
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import RecursiveRetriever
from llama_index.core.schema import Document, IndexNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import QueryEngineTool, ToolMetadata

from langchain_latelens.sources import to_sources as langchain_sources
from latelens import Attributor
from latelens.attribution import Source, attribute, check_marks
from latelens.interchange import from_json, to_json
from latelens.render.html import answer_report
from llama_index_latelens import attach_citations, read_attribution
from llama_index_latelens.sources import to_source, to_sources

TEXT = "Elephants eat grass and bark. They sleep little."
MADE_UP = "Elephants eat candy floss."


class Inventive(MockLLM):
    """Answers everything with the same sentence, which no document holds."""

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=MADE_UP)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=MADE_UP)


class OneQuestion(BaseQuestionGenerator):
    def generate(self, tools: Sequence[ToolMetadata], query: QueryBundle) -> list[SubQuestion]:
        return [SubQuestion(sub_question="What do elephants eat?", tool_name="zoo")]

    async def agenerate(self, tools: Sequence[ToolMetadata], query: QueryBundle) -> list[SubQuestion]:
        return self.generate(tools, query)

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: Any) -> None: ...


LLM = Inventive()


def zoo(**options: Any) -> BaseQueryEngine:
    index = SummaryIndex.from_documents([Document(text=TEXT, metadata={"title": "Zoo"})])
    return index.as_query_engine(llm=LLM, **options)


def by_sub_questions() -> Response:
    tool = QueryEngineTool.from_defaults(zoo(), name="zoo", description="elephants")
    synthesizer = get_response_synthesizer(llm=LLM)
    engine = SubQuestionQueryEngine(OneQuestion(), synthesizer, [tool], verbose=False)
    return engine.query("What do they eat?")  # type: ignore[return-value]


def by_steps() -> Response:
    engine = MultiStepQueryEngine(
        zoo(), IdentityQueryTransform(), get_response_synthesizer(llm=LLM), num_steps=1, stop_fn=lambda given: False
    )  # type: ignore[arg-type]
    return engine.query("What do they eat?")  # type: ignore[return-value]


def by_recursion() -> Response:
    top = SummaryIndex([IndexNode(text="All about elephants.", index_id="zoo")])
    retriever = RecursiveRetriever("top", {"top": top.as_retriever()}, query_engine_dict={"zoo": zoo()})
    return RetrieverQueryEngine.from_args(retriever, llm=LLM).query("What do they eat?")  # type: ignore[return-value]


def by_an_engine_behind_a_node() -> Response:
    top = SummaryIndex(objects=[IndexNode(text="All about elephants.", index_id="zoo", obj=zoo())])
    return top.as_query_engine(llm=LLM).query("What do they eat?")  # type: ignore[return-value]


@pytest.mark.parametrize("ask", [by_sub_questions, by_steps, by_recursion, by_an_engine_behind_a_node])
def test_an_answer_to_a_part_of_the_question_is_no_evidence(ask: Any) -> None:
    response = ask()
    assert any(MADE_UP in node.get_content() for node in response.source_nodes)
    assert any(source.by_model for source in to_sources(response.source_nodes))
    assert [s.by_model for s in to_sources([n.to_dict() for n in response.source_nodes])] == [
        source.by_model for source in to_sources(response.source_nodes)
    ]
    found = read_attribution(attach_citations(response, attributor=Attributor(FakeEncoder())))
    assert found is not None
    (claim,) = found.claims
    assert claim.text == MADE_UP
    assert claim.label in ("weak", "no_evidence")
    assert all(found.sources[citation.source_index].text == TEXT for citation in claim.citations)
    assert claim.nearest is None or "Zoo" in str(claim.nearest.title)


def test_without_the_rule_such_an_answer_would_back_itself() -> None:
    (own, *_) = by_sub_questions().source_nodes
    assert attribute(MADE_UP, [own.get_content()], FakeEncoder()).claims[0].label == "corroborated"


def test_a_tree_of_summaries_leaves_none_among_the_sources() -> None:
    texts = [f"{TEXT} {'Herds roam. ' * 40}" for _ in range(3)]
    index = SummaryIndex.from_documents([Document(text=text) for text in texts])
    response = index.as_query_engine(llm=LLM, response_mode="tree_summarize").query("What do they eat?")
    assert str(response) == MADE_UP
    assert all(TEXT in node.get_content() for node in response.source_nodes)


def test_an_index_of_summaries_returns_the_chunks_below_them() -> None:
    index = DocumentSummaryIndex.from_documents(
        [Document(text=TEXT, doc_id="zoo")], llm=LLM, embed_model=MockEmbedding(embed_dim=4),
        response_synthesizer=get_response_synthesizer(llm=LLM),
    )  # fmt: skip
    assert index.get_document_summary("zoo") == MADE_UP
    found = index.as_retriever(retriever_mode="embedding").retrieve("What do they eat?")
    assert [to_source(node).text for node in found] == [TEXT]


def test_a_summary_that_looks_like_any_node_is_told_by_its_users_mark() -> None:
    documents = [Document(text=f"Elephant {i} eats bark.", metadata={"n": i}) for i in range(4)]
    index = TreeIndex.from_documents(documents, llm=LLM, num_children=2)
    nodes = index.as_retriever(retriever_mode="root").retrieve("What do they eat?")
    assert {node.get_content() for node in nodes} == {MADE_UP}
    assert not any(source.by_model for source in to_sources(nodes))  # nothing in them says so
    for node in nodes:
        node.node.metadata["by_model"] = True
    assert all(source.by_model for source in to_sources(nodes))
    assert langchain_sources([LangChainDocument(MADE_UP, metadata={"by_model": True})])[0].by_model


@pytest.mark.parametrize(
    ("text", "metadata"),
    [
        ("Question: What do they eat?\nAnswer: Grass.", {}),
        ("What is a sub question: one within another.\nResponse: none.", {}),
        ("Sub question: What do they eat?\nResponse: Grass.", {"file_name": "interview.txt"}),
        (TEXT, {}),
        (TEXT, {"source": {"page": [1, 2]}}),
        (TEXT, {"latelens": {"score": 1.0}}),
    ],
)
def test_a_users_own_text_is_evidence(text: str, metadata: dict[str, Any]) -> None:
    assert not to_source(NodeWithScore(node=TextNode(text=text, metadata=metadata))).by_model


def test_what_an_element_parser_says_of_a_table_is_told() -> None:
    node = IndexNode(text="Elephants by weight, with columns", index_id="t", metadata={"col_schema": "Column: kg"})
    assert to_source(node).by_model


def test_such_a_source_keeps_its_number_and_travels() -> None:
    sources = [Source(MADE_UP, title="Step 1", by_model=True), Source(TEXT)]
    checked = check_marks("Elephants eat grass [2]. Elephants eat candy floss [1].", sources, FakeEncoder())
    assert [(mark.number, mark.verdict) for mark in checked.marks] == [(2, "backed"), (1, "unbacked")]
    found = checked.attribution
    assert [citation.source_index for citation in found.claims[0].citations] == [1]
    assert from_json(to_json(found)) == found
    written = to_json(found, source_texts=False)
    assert [source.by_model for source in from_json(written).sources] == [True, False]
    assert "by_model" not in written["sources"][1]
    assert "Step 1, written by a model: no evidence" in answer_report(found).page()
    alone = attribute(MADE_UP, sources[:1], FakeEncoder()).claims[0]
    assert (alone.label, alone.citations, alone.nearest) == ("no_evidence", (), None)
