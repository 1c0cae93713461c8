"""What LangChain asks of a retriever and a tool, beyond what both adapters promise."""

from __future__ import annotations

import asyncio
import json
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.stores import InMemoryStore
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from langchain_latelens import read_evidence
from langchain_latelens.retriever import LateInteractionRetriever
from langchain_latelens.stages import first_stage
from langchain_latelens.tool import create_evidence_tool
from latelens import TokenEmbeddings
from latelens.index.exact import ExactIndex
from latelens.index.protocol import Chunk
from latelens.index.stages.bm25 import BM25
from latelens.index.stages.two_stage import TwoStage

DOCUMENTS = [
    Document("It rained all night.", id="rain", metadata={"lang": "en", "year": 2020}),
    Document("Elephants eat grass and bark. They sleep little.", id="grass", metadata={"lang": "en", "year": 2001}),
    Document("Elefanten essen Gras.", id="gras", metadata={"lang": "de", "year": 2001}),
]
QUERY = "What do elephants eat?"


@pytest.fixture
def retriever() -> LateInteractionRetriever:
    return LateInteractionRetriever.from_documents(DOCUMENTS, FakeEncoder())


def ids(documents: Sequence[Document]) -> list[str | None]:
    return [document.id for document in documents]


class Recorder(BaseCallbackHandler):
    """Notes retriever runs with their parents, ends and errors."""

    def __init__(self) -> None:
        self.queries: dict[UUID, str] = {}
        self.names: list[str] = []
        self.parents: dict[UUID, UUID | None] = {}
        self.metadata: list[dict[str, Any]] = []
        self.tags: list[list[str]] = []
        self.ended: dict[str, list[str | None]] = {}
        self.failed: dict[str, str] = {}

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **kw: Any
    ) -> None:
        self.queries[run_id], self.parents[run_id] = query, parent_run_id
        self.names.append(kw["name"])
        self.metadata.append(kw["metadata"])
        self.tags.append(kw["tags"])

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kw: Any) -> None:
        self.ended[self.queries[run_id]] = ids(documents)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **kw: Any) -> None:
        self.failed[self.queries[run_id]] = str(error)


async def test_a_call_may_ask_otherwise(retriever: LateInteractionRetriever) -> None:
    assert ids(retriever.invoke(QUERY, k=1)) == ["grass"]
    assert ids(retriever.invoke(QUERY, filter={"lang": "de"})) == ["gras"]
    assert ids(await retriever.ainvoke(QUERY, k=1, filter={"year": {"$gt": 2010}})) == ["rain"]
    assert "tokens" in retriever.invoke(QUERY, explain="tokens")[0].metadata["latelens"]
    assert "latelens" not in (await retriever.ainvoke(QUERY, explain="off"))[0].metadata
    assert len(retriever.invoke(QUERY)) == 3


async def test_a_call_with_a_typo_or_a_wrong_value_is_refused(retriever: LateInteractionRetriever) -> None:
    with pytest.raises(TypeError, match="topk"):
        retriever.invoke(QUERY, topk=1)
    with pytest.raises(TypeError, match="topk"):
        await retriever.ainvoke(QUERY, topk=1)
    with pytest.raises(TypeError, match="topk"):
        retriever.batch([QUERY, QUERY], topk=1)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        retriever.invoke(QUERY, k=0)
    with pytest.raises(ValueError, match="unknown operator '\\$near'"):
        await retriever.ainvoke(QUERY, filter={"year": {"$near": 2000}})


def test_a_filter_of_a_call_takes_the_place_of_the_retrievers() -> None:
    retriever = LateInteractionRetriever.from_documents(DOCUMENTS, FakeEncoder(), filter={"lang": "de"})
    assert ids(retriever.invoke(QUERY)) == ["gras"]
    assert ids(retriever.invoke(QUERY, filter={"lang": "en"})) == ["grass", "rain"]


def test_score_threshold_is_min_score() -> None:
    everything = LateInteractionRetriever.from_documents(DOCUMENTS, FakeEncoder()).invoke(QUERY)
    bound = everything[0].metadata["relevance_score"]
    kept = LateInteractionRetriever.from_documents(DOCUMENTS, FakeEncoder(), score_threshold=bound).invoke(QUERY)
    assert ids(kept) == ["grass"]
    with pytest.raises(ValueError, match="min_score and score_threshold are one thing"):
        LateInteractionRetriever.from_documents(DOCUMENTS, FakeEncoder(), score_threshold=1.0, min_score=2.0)


def test_texts_with_metadata_and_ids() -> None:
    texts = [document.page_content for document in DOCUMENTS]
    made = LateInteractionRetriever.from_texts(texts, [{"n": i} for i in range(3)], FakeEncoder(), ids=["a", "b", "c"])
    (best,) = made.invoke(QUERY, k=1)
    assert (best.id, best.metadata["n"], best.page_content) == ("b", 1, texts[1])
    unnamed = LateInteractionRetriever.from_texts([*texts, texts[1]], model=FakeEncoder())
    assert len(unnamed.invoke(QUERY)) == 3  # one text, one id
    with pytest.raises(ValueError, match="metadatas must be as many as the texts, got 1 for 3"):
        LateInteractionRetriever.from_texts(texts, [{}], FakeEncoder())
    with pytest.raises(ValueError, match="ids must be as many as the documents, got 1 for 3"):
        LateInteractionRetriever.from_texts(texts, model=FakeEncoder(), ids=["a"])


async def test_documents_are_added_and_deleted_off_the_event_loop(retriever: LateInteractionRetriever) -> None:
    added = await retriever.aadd_documents([Document("What do elephants eat? Hay.")], ids=["hay"])
    assert added == ["hay"]
    assert ids(retriever.invoke(QUERY, k=1)) == ["hay"]
    assert await retriever.adelete(["hay", "rain"]) == 2
    assert ids(retriever.invoke(QUERY)) == ["grass", "gras"]
    with pytest.raises(TypeError, match=r"ids must be a sequence of str, got one str: '.+'; put it in a list"):
        retriever.delete("grass")


class Counting(FakeEncoder):
    """Notes how many queries come at once; refuses one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        if "refused" in texts:
            raise ValueError("this query is refused")
        self.batches.append(len(texts))
        return super().encode_queries(texts)


QUERIES = [QUERY, "Did it rain?", "Gras"]


async def test_a_batch_encodes_all_queries_at_once_and_each_is_a_run() -> None:
    encoder = Counting()
    retriever = LateInteractionRetriever.from_documents(DOCUMENTS, encoder, tags=["mine"], metadata={"team": "t"})
    each = [ids(retriever.invoke(query, k=2)) for query in QUERIES]
    for call in ("sync", "async"):
        encoder.batches.clear()
        recorder = Recorder()
        config: Any = {"callbacks": [recorder], "tags": ["yours"], "run_name": "named", "metadata": {"user": "u"}}
        if call == "sync":
            found = retriever.batch(QUERIES, config, k=2)
        else:
            found = await retriever.abatch(QUERIES, config, k=2)
        assert [ids(documents) for documents in found] == each
        assert encoder.batches == [3]
        assert recorder.ended == dict(zip(QUERIES, each, strict=True))
        assert recorder.names == ["named"] * 3
        assert all(set(tags) == {"mine", "yours"} for tags in recorder.tags)
        assert all(found["team"] == "t" and found["user"] == "u" for found in recorder.metadata)
    assert retriever.batch([]) == await retriever.abatch([]) == []


async def test_a_batch_takes_a_config_for_each_query_and_bounds_what_is_encoded_at_once() -> None:
    encoder = Counting()
    retriever = LateInteractionRetriever.from_documents(DOCUMENTS, encoder)
    recorders = [Recorder() for _ in QUERIES]
    configs: Any = [{"callbacks": [recorder], "max_concurrency": 2} for recorder in recorders]
    retriever.batch(QUERIES, configs)
    assert [list(recorder.ended) for recorder in recorders] == [[query] for query in QUERIES]
    await retriever.abatch(QUERIES, {"max_concurrency": 1})
    assert encoder.batches == [2, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="same length"):
        retriever.batch(QUERIES, configs[:1])


async def test_a_failing_batch_ends_every_run_with_the_error() -> None:
    retriever = LateInteractionRetriever.from_documents(DOCUMENTS, Counting())
    recorder = Recorder()
    with pytest.raises(ValueError, match="this query is refused"):
        retriever.batch([QUERY, "refused"], {"callbacks": [recorder]})
    with pytest.raises(ValueError, match="this query is refused"):
        await retriever.abatch([QUERY, "refused"], {"callbacks": [recorder]})
    assert recorder.failed == dict.fromkeys([QUERY, "refused"], "this query is refused")
    assert recorder.ended == {}


async def test_with_return_exceptions_only_the_query_at_fault_fails() -> None:
    retriever = LateInteractionRetriever.from_documents(DOCUMENTS, Counting(), k=1)
    for call in ("sync", "async"):
        recorder = Recorder()
        config: Any = {"callbacks": [recorder]}
        if call == "sync":
            found: list[Any] = retriever.batch([QUERY, "refused"], config, return_exceptions=True)
        else:
            found = await retriever.abatch([QUERY, "refused"], config, return_exceptions=True)
        assert ids(found[0]) == ["grass"]
        assert isinstance(found[1], ValueError)
        assert recorder.ended == {QUERY: ["grass"]}
        assert recorder.failed == {"refused": "this query is refused"}


async def test_a_batch_in_a_chain_is_one_batch() -> None:
    encoder = Counting()
    chain = LateInteractionRetriever.from_documents(DOCUMENTS, encoder, k=1) | RunnableLambda(ids)
    assert chain.batch(QUERIES) == await chain.abatch(QUERIES)
    assert encoder.batches == [3, 3]


def test_runs_say_what_searched(retriever: LateInteractionRetriever) -> None:
    recorder = Recorder()
    retriever.invoke(QUERY, config={"callbacks": [recorder]})
    said = {key: value for key, value in recorder.metadata[0].items() if key.startswith("ls_")}
    assert said == {
        "ls_retriever_name": "latelens",
        "ls_vector_store_provider": "ExactIndex",
        "ls_embedding_provider": "latelens",
        "ls_embedding_model": "fake",
    }


class Shared(BaseRetriever):
    """Returns the same shared objects, without ids and with values that are no JSON."""

    k: int = 10

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [
            Document(document.page_content, metadata={"relevance_score": np.float32(i), "when": Path("p")})
            for i, document in enumerate(DOCUMENTS)
        ]


async def test_any_retriever_may_come_first_and_is_a_traced_child() -> None:
    stages = TwoStage(first_stage(Shared()), FakeEncoder())
    retriever = LateInteractionRetriever.from_index(stages, k=2)
    for call in ("sync", "async"):
        recorder = Recorder()
        config: Any = {"callbacks": [recorder]}
        found = retriever.invoke(QUERY, config) if call == "sync" else await retriever.ainvoke(QUERY, config)
        assert found[0].page_content == DOCUMENTS[1].page_content
        assert found[0].id
        assert found[0].metadata["when"] == "p"
        assert found[0].metadata["latelens"]["stages"] == {"Shared": 1.0}
        assert found[0].metadata["latelens"]["retrieval_score"] == 1.0
        outer, inner = recorder.parents
        assert (recorder.parents[inner], recorder.parents[outer]) == (outer, None)


async def test_any_vector_store_may_come_first_with_its_scores_and_filters() -> None:
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))
    store.add_documents(DOCUMENTS)
    for source in (store, store.as_retriever()):
        stages = TwoStage(first_stage(source, name="dense"), FakeEncoder(), candidates=1)
        retriever = LateInteractionRetriever.from_index(stages, k=1, filter={"lang": "de"})
        for found in (retriever.invoke(QUERY), await retriever.ainvoke(QUERY)):
            assert ids(found) == ["gras"]  # one candidate: the filter was passed on
    everything = LateInteractionRetriever.from_index(TwoStage(first_stage(store), FakeEncoder())).invoke(QUERY)
    scores = {document.id: score for document, score in store.similarity_search_with_score(QUERY, k=3)}
    for document in everything:
        assert document.metadata["latelens"]["stages"] == {"InMemoryVectorStore": pytest.approx(scores[document.id])}


class Plain(VectorStore):
    """A store without scores, whose filter is a keyword of its own."""

    def similarity_search(self, query: str, k: int = 4, where: Any = None, **kwargs: Any) -> list[Document]:
        return [document for document in DOCUMENTS if where is None or document.metadata["lang"] == where["lang"]][:k]

    @classmethod
    def from_texts(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


async def test_a_store_without_scores_and_with_a_filter_of_its_own() -> None:
    stages = TwoStage(first_stage(Plain(), pass_filter=lambda filter: {"where": filter}), FakeEncoder(), candidates=1)
    for hits in (stages.search(QUERY, 1, filter={"lang": "de"}), await stages.asearch(QUERY, 1, filter={"lang": "de"})):
        assert [(hit.chunk.id, dict(hit.stages)) for hit in hits] == [("gras", {})]


def test_what_is_no_source_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a LangChain retriever or vector store, got list"):
        first_stage([])  # type: ignore[arg-type]


def test_three_stages_keep_their_scores(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder
    from tiny_models import save_backbone

    save_backbone(tmp_path / "model", "wordpiece")
    reader = CrossEncoder(str(tmp_path / "model"), num_labels=1)
    chunks = [Chunk(document.id or "", document.page_content) for document in DOCUMENTS]
    stages = TwoStage(BM25(chunks), FakeEncoder(), cross_encoder=reader)
    (found,) = LateInteractionRetriever.from_index(stages).invoke("grass")
    assert list(found.metadata["latelens"]["stages"]) == ["bm25", "cross_encoder"]
    assert found.metadata["relevance_score"] == found.metadata["latelens"]["score"]
    assert json.loads(json.dumps(found.metadata)) == found.metadata


def test_whole_documents_from_a_langchain_store() -> None:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    text = "".join(f"Part {i}. Elephants eat plants of kind {i}. They rest.\n\n" for i in range(30))
    whole = Document(text, id="book", metadata={"title": "Book"})
    splitter = RecursiveCharacterTextSplitter(chunk_size=120, chunk_overlap=30, add_start_index=True)
    parts = splitter.split_documents([whole])
    for part in parts:
        part.metadata["doc_id"] = "book"  # as ParentDocumentRetriever does
    store = InMemoryStore()
    store.mset([("book", whole)])
    index = ExactIndex(FakeEncoder())
    LateInteractionRetriever.from_index(index).add_documents(parts)
    retriever = LateInteractionRetriever.from_index(index, parents=store, parent_key="doc_id")
    (found,) = retriever.invoke("What is eaten of kind 7 and of kind 23?")
    assert (found.id, found.page_content, found.metadata["title"]) == ("book", text, "Book")
    spans = read_evidence(found)
    assert "Elephants eat plants of kind 7." in {span.text for span in spans}
    assert any("23" in span.text for span in spans)
    assert all(text[span.start : span.end] == span.text for span in spans)


def test_new_parents_go_into_the_store() -> None:
    store = InMemoryStore()
    retriever = LateInteractionRetriever.from_index(ExactIndex(FakeEncoder()), split=True, parents=store)
    retriever.add_documents([Document("One. Two.", id="n")])
    assert ids(retriever.invoke("two")) == ["n"]
    assert store.mget(["n"])[0] is not None


def test_documents_survive_dumpd_and_load(retriever: LateInteractionRetriever) -> None:
    results = retriever.invoke(QUERY, explain="tokens")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls its loader a beta
        assert [load(dumpd(document), allowed_objects="core") for document in results] == results


def test_the_retriever_is_described_in_json(retriever: LateInteractionRetriever) -> None:
    described = retriever.model_dump(mode="json")
    assert described["searcher"] == {"kind": "ExactIndex", "model": "fake"}
    assert json.loads(json.dumps(described)) == described


class Scripted(BaseChatModel):
    """Calls the tool for each question, then quotes what it read."""

    name: str = "scripted"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            reply = AIMessage(f"They say: {last.content}")
        else:
            call = {"name": "find_evidence", "args": {"query": str(last.content)}, "id": f"call {len(messages)}"}
            reply = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=reply)])

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    @property
    def _llm_type(self) -> str:
        return "scripted"


def agent_of(retriever: Any, saver: Any) -> Any:
    from langchain.agents import create_agent

    return create_agent(Scripted(), [create_evidence_tool(retriever, "find_evidence", "Finds.")], checkpointer=saver)


async def test_an_agent_calls_the_tool_is_checkpointed_and_resumed_with_its_evidence(
    retriever: LateInteractionRetriever,
) -> None:
    pytest.importorskip("langchain.agents")
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "1"}}
    agent = agent_of(retriever, saver)
    answer = agent.invoke({"messages": [HumanMessage(QUERY)]}, config)["messages"][-1]
    assert '[1] "Elephants eat grass and bark." (grass)' in answer.text

    resumed = agent_of(retriever, saver)  # another process would begin like this
    state = await resumed.ainvoke({"messages": [HumanMessage("Did it rain at night?")]}, config)
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"] * 2
    stored = resumed.get_state(config).values["messages"]
    serde = JsonPlusSerializer()
    for messages in (stored, serde.loads_typed(serde.dumps_typed(stored))):
        first, second = (message.artifact for message in messages if isinstance(message, ToolMessage))
        assert read_evidence(first[0])[0].text == "Elephants eat grass and bark."
        assert read_evidence(second[0])[0].text == "It rained all night."


async def test_the_search_of_a_tool_is_traced_under_it(retriever: LateInteractionRetriever) -> None:
    class Tools(Recorder):
        tools: list[UUID]

        def on_tool_start(self, *args: Any, run_id: UUID, **kw: Any) -> None:
            self.tools = [*getattr(self, "tools", []), run_id]

    tool = create_evidence_tool(retriever, "find_evidence", "Finds.")
    for call in ("sync", "async"):
        recorder = Tools()
        config: Any = {"callbacks": [recorder]}
        arguments = {"query": QUERY}
        _ = tool.invoke(arguments, config) if call == "sync" else await tool.ainvoke(arguments, config)
        assert list(recorder.parents.values()) == recorder.tools


async def test_the_tool_takes_any_retriever_that_was_reranked() -> None:
    from langchain_latelens import LateInteractionRerank

    reranked = LateInteractionRerank(model=FakeEncoder(), top_n=1).as_retriever(Shared())
    tool = create_evidence_tool(reranked, "find_evidence", "Finds.")
    assert (await tool.ainvoke({"query": "elephants eat"})).startswith('[1] "Elephants eat grass and bark." (')


def test_the_schema_asks_for_a_query_only(retriever: LateInteractionRetriever) -> None:
    tool = create_evidence_tool(retriever, "find_evidence", "Finds evidence.")
    assert list(tool.args) == ["query"]
    assert (tool.name, tool.description) == ("find_evidence", "Finds evidence.")
    message = tool.invoke({"name": tool.name, "args": {"query": QUERY}, "id": "1", "type": "tool_call"})
    assert ids(message.artifact) == ["grass", "gras", "rain"]


async def test_the_event_loop_beats_while_documents_are_found() -> None:
    class Slow(FakeEncoder):
        def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
            threading.Event().wait(0.2)
            return super().encode_queries(texts)

    retriever = LateInteractionRetriever.from_documents(DOCUMENTS, Slow())
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    pulse = asyncio.create_task(heartbeat())
    await retriever.ainvoke(QUERY)
    await retriever.abatch([QUERY])
    pulse.cancel()
    assert beats >= 8
