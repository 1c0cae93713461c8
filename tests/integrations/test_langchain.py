"""What LangChain asks of a document compressor, beyond what both adapters promise."""

from __future__ import annotations

import warnings
from typing import Any
from uuid import UUID

import pytest
from fake_encoder import FakeEncoder
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.load import dumpd, load
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

from langchain_latelens import LateInteractionRerank, read_evidence
from latelens import Encoder

DOCUMENTS = [
    Document("It rained all night.", id="rain"),
    Document("Elephants eat grass and bark. They sleep little.", id="grass"),
]
QUERY = "What do elephants eat?"


class FixedRetriever(BaseRetriever):
    """Returns the same shared objects each time, as BM25Retriever does."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return DOCUMENTS


class Recorder(BaseCallbackHandler):
    """Notes which runs start, end and fail, with their parents."""

    def __init__(self) -> None:
        self.started: dict[UUID, tuple[str, UUID | None]] = {}
        self.ended: dict[UUID, Any] = {}
        self.failed: list[str] = []

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kw: Any
    ) -> None:
        self.started[run_id] = (kw.get("name", ""), parent_run_id)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kw: Any) -> None:
        self.ended[run_id] = outputs

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kw: Any) -> None:
        self.failed.append(self.started[run_id][0])

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **kw: Any
    ) -> None:
        self.started[run_id] = ("retriever", parent_run_id)

    def parents_of(self, name: str) -> list[str]:
        return [self.started[parent][0] for found, parent in self.started.values() if found == name and parent]


def test_it_is_a_document_compressor() -> None:
    assert isinstance(LateInteractionRerank(model=FakeEncoder()), BaseDocumentCompressor)


def test_it_works_in_langchain_classics_compression_retriever() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_classic.retrievers import ContextualCompressionRetriever
    retriever = ContextualCompressionRetriever(
        base_compressor=LateInteractionRerank(model=FakeEncoder()), base_retriever=FixedRetriever()
    )
    results = retriever.invoke(QUERY)
    assert [document.id for document in results] == ["grass", "rain"]
    assert read_evidence(results[0])[0].text == "Elephants eat grass and bark."


def test_it_works_in_a_compressor_pipeline() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
    pipeline = DocumentCompressorPipeline(transformers=[LateInteractionRerank(model=FakeEncoder(), top_n=1)])
    assert [document.id for document in pipeline.compress_documents(DOCUMENTS, QUERY)] == ["grass"]


async def test_as_retriever_reranks_in_a_chain_sync_and_async() -> None:
    retriever = LateInteractionRerank(model=FakeEncoder(), top_n=1).as_retriever(FixedRetriever())
    chain = retriever | RunnableLambda(lambda documents: documents[0].id)
    assert chain.invoke(QUERY) == "grass"
    assert await chain.ainvoke(QUERY) == "grass"
    assert chain.batch([QUERY, QUERY]) == ["grass", "grass"]
    assert all("latelens" not in document.metadata for document in DOCUMENTS)


async def test_reranking_is_a_traced_child_run() -> None:
    retriever = LateInteractionRerank(model=FakeEncoder()).as_retriever(FixedRetriever())
    for call in ("sync", "async"):
        recorder = Recorder()
        config: Any = {"callbacks": [recorder]}
        _ = retriever.invoke(QUERY, config) if call == "sync" else await retriever.ainvoke(QUERY, config)
        assert recorder.parents_of("LateInteractionRerank") == ["retriever"]
        assert len(recorder.ended) == 1


async def test_inside_a_function_of_a_chain_reranking_is_a_child_of_the_chain() -> None:
    reranker = LateInteractionRerank(model=FakeEncoder())

    def step(documents: list[Document]) -> list[Document]:
        return reranker.compress_documents(documents, QUERY)

    async def astep(documents: list[Document]) -> list[Document]:
        return await reranker.acompress_documents(documents, QUERY)

    recorder = Recorder()
    config: Any = {"callbacks": [recorder], "tags": ["mine"]}
    RunnableLambda(step).invoke(DOCUMENTS, config)
    assert recorder.parents_of("LateInteractionRerank") == ["step"]
    await RunnableLambda(astep, name="astep").ainvoke(DOCUMENTS, config)
    assert recorder.parents_of("LateInteractionRerank") == ["step", "astep"]


async def test_a_failing_rerank_ends_its_run_with_the_error() -> None:
    reranker = LateInteractionRerank(model="nobody/no-such-model")
    recorder = Recorder()
    with pytest.raises(ValueError, match="could not find"):
        reranker.compress_documents(DOCUMENTS, QUERY, callbacks=[recorder])
    with pytest.raises(ValueError, match="could not find"):
        await reranker.acompress_documents(DOCUMENTS, QUERY, callbacks=[recorder])
    assert recorder.failed == ["LateInteractionRerank"] * 2


def test_documents_survive_dumpd_and_load(offline: Encoder) -> None:
    results = LateInteractionRerank(model=offline, explain="tokens").compress_documents(DOCUMENTS, QUERY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls its loader a beta
        again = [load(dumpd(document), allowed_objects="core") for document in results]
    assert again == results


def test_evidence_survives_a_langgraph_checkpoint(offline: Encoder) -> None:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph
    from typing_extensions import TypedDict

    class State(TypedDict, total=False):
        question: str
        documents: list[Document]

    reranker = LateInteractionRerank(model=offline)
    graph = StateGraph(State)
    graph.add_node("rerank", lambda state: {"documents": reranker.compress_documents(DOCUMENTS, state["question"])})
    graph.add_edge(START, "rerank")
    graph.add_edge("rerank", END)
    app = graph.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    direct = app.invoke({"question": QUERY}, config)["documents"]
    stored = app.get_state(config).values["documents"]
    assert [read_evidence(document) for document in stored] == [read_evidence(document) for document in direct]
    assert read_evidence(stored[0])[0].text == "Elephants eat grass and bark."


def test_the_reranker_is_described_in_json() -> None:
    described = LateInteractionRerank(model=FakeEncoder("tiny"), cache=True).model_dump(mode="json")
    assert described["model"] == "tiny"
    assert described["cache"] is True


def test_importing_the_adapter_loads_no_model_library() -> None:
    import subprocess
    import sys

    code = (
        "import sys, langchain_latelens; heavy = {'torch', 'sentence_transformers', 'matplotlib', 'rich', 'langchain'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
