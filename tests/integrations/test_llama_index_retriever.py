"""What LlamaIndex asks of a retriever and a tool, beyond what both adapters promise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.schema import (
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.tools import RetrieverTool
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from latelens.index.exact import ExactIndex
from latelens.index.filters import matches, parse_filter
from latelens.index.protocol import Chunk
from latelens.index.stages.two_stage import TwoStage
from llama_index_latelens import read_evidence
from llama_index_latelens.filters import from_filter, to_filter
from llama_index_latelens.nodes import chunk_of, node_of
from llama_index_latelens.retriever import LateInteractionRetriever
from llama_index_latelens.stages import first_stage
from llama_index_latelens.tool import clean_query, create_evidence_tool

NODES = [
    TextNode(text="It rained all night.", id_="rain", metadata={"lang": "en", "year": 2020}),
    TextNode(
        text="Elephants eat grass and bark. They sleep little.", id_="grass", metadata={"lang": "en", "year": 2001}
    ),
    TextNode(text="Elefanten essen Gras.", id_="gras", metadata={"lang": "de", "year": 2001}),
]
QUERY = "What do elephants eat?"


@pytest.fixture
def retriever() -> LateInteractionRetriever:
    return LateInteractionRetriever.from_nodes(NODES, FakeEncoder())


@pytest.fixture(autouse=True)
def no_network() -> Any:
    Settings.llm, Settings.embed_model = MockLLM(), MockEmbedding(embed_dim=8)
    yield
    Settings._llm = Settings._embed_model = None


def ids(found: Sequence[NodeWithScore]) -> list[str]:
    return [scored.node.node_id for scored in found]


SPLIT = TextNode(
    text="abc",
    id_="part",
    metadata={"page": 1, "start_index": 9},
    start_char_idx=3,
    end_char_idx=6,
    excluded_llm_metadata_keys=["page"],
    text_template="{content}",
    relationships={
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"page": 1}, hash="h"),
        NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c")],
    },
)


@pytest.mark.parametrize(
    "node",
    [
        TextNode(text="abc"),
        SPLIT,
        Document(text="abc", id_="d", metadata={"a": [1, None]}),
        Document(text="", id_="empty"),
        IndexNode(text="q", index_id="i", id_="k"),
        ImageNode(text="t", image_url="http://y", id_="image"),
        Node(text_resource=MediaResource(text="abc", mimetype="text/x"), image_resource=MediaResource(url="http://x")),
    ],
    ids=lambda node: node.class_name(),
)
def test_a_node_comes_back_as_it_was_stored(node: Any) -> None:
    chunk = chunk_of(node)
    again = node_of(Chunk(chunk.id, chunk.text, json.loads(chunk.metadata_json())))
    assert type(again) is type(node)
    assert again == node
    assert len(chunk.metadata_json()) < 700


def test_vectors_and_our_metadata_are_not_stored(retriever: LateInteractionRetriever) -> None:
    (found, *_) = retriever.retrieve(QUERY)
    found.node.embedding = [0.5] * 8
    chunk = chunk_of(found.node)
    assert node_of(chunk) == NODES[1]


def test_a_chunk_that_was_no_node_becomes_a_text_node_with_its_place() -> None:
    node = node_of(Chunk("c", "abc", {"parent_id": "book", "start_index": 7, "page": 1}))
    assert isinstance(node, TextNode)
    assert (node.ref_doc_id, node.start_char_idx, node.end_char_idx, node.metadata["page"]) == ("book", 7, 10, 1)


def test_results_keep_relationships_and_show_no_prompt_our_metadata(retriever: LateInteractionRetriever) -> None:
    retriever.add_nodes([SPLIT.model_copy(update={"text": QUERY, "end_char_idx": 3 + len(QUERY)})])
    found = retriever.retrieve(QUERY)[0].node
    assert (found.ref_doc_id, found.excluded_llm_metadata_keys) == ("book", ["page", "latelens"])
    assert found.metadata["latelens"]["evidence"][0]["source_start"] == 3
    for mode in (MetadataMode.LLM, MetadataMode.EMBED, MetadataMode.NONE):
        assert "latelens" not in found.get_content(mode)


def test_it_is_a_retriever_and_takes_query_bundles(retriever: LateInteractionRetriever) -> None:
    assert isinstance(retriever, BaseRetriever)
    assert ids(retriever.retrieve(QueryBundle(QUERY))) == ["grass", "gras", "rain"]
    retriever.similarity_top_k = 1  # as with VectorIndexRetriever
    assert ids(retriever.retrieve(QUERY)) == ["grass"]


class Events(BaseEventHandler):
    seen: list[Any] = []

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.seen.append(event)


async def test_events_are_fired_once() -> None:
    debug, events = LlamaDebugHandler(print_trace_on_end=False), Events(seen=[])
    manager = CallbackManager([debug])
    retriever = LateInteractionRetriever.from_nodes(NODES, FakeEncoder(), callback_manager=manager)
    get_dispatcher().add_event_handler(events)
    try:
        found = retriever.retrieve(QUERY)
        await retriever.aretrieve(QUERY)
    finally:
        get_dispatcher().event_handlers.remove(events)
    fired = [event for event in events.seen if isinstance(event, RetrievalStartEvent | RetrievalEndEvent)]
    assert [type(event) for event in fired] == [RetrievalStartEvent, RetrievalEndEvent] * 2
    assert fired[1].nodes == found
    assert len(debug.get_event_pairs(CBEventType.RETRIEVE)) == 2


async def test_it_works_in_a_query_engine_and_nothing_leaks(retriever: LateInteractionRetriever) -> None:
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    for response in (engine.query(QUERY), await engine.aquery(QUERY)):
        assert read_evidence(response.source_nodes[0])[0].text == "Elephants eat grass and bark."
        assert "Elephants eat grass and bark." in str(response)  # the mock gives back its prompt
        assert "latelens" not in str(response)


def test_it_works_in_a_citation_query_engine(retriever: LateInteractionRetriever) -> None:
    response = CitationQueryEngine(retriever=retriever, llm=MockLLM()).query(QUERY)
    assert "latelens" not in str(response)
    assert response.source_nodes


async def test_it_works_in_fusion(retriever: LateInteractionRetriever) -> None:
    other = LateInteractionRetriever.from_nodes(NODES[:2], FakeEncoder(), explain="off")
    fusion = QueryFusionRetriever([retriever, other], num_queries=1, similarity_top_k=2, llm=MockLLM(), use_async=False)
    assert ids(fusion.retrieve(QUERY))[0] == "grass"
    assert ids(await fusion.aretrieve(QUERY))[0] == "grass"


def test_an_index_node_leads_to_its_object() -> None:
    inner = LateInteractionRetriever.from_nodes(NODES, FakeEncoder())
    door = IndexNode(text="All about what elephants eat", index_id="elephants", obj=inner)
    outer = LateInteractionRetriever.from_nodes([door], FakeEncoder())
    assert ids(outer.retrieve(QUERY))[0] == "grass"


@pytest.mark.parametrize("mode", ["evidence", "tokens"])
def test_a_node_that_an_index_node_leads_to_carries_the_evidence(tmp_path: Path, mode: Any) -> None:
    small = "Elephants eat grass."
    whole = TextNode(text=f"On food. {small} They rest.", id_="whole", metadata={"page": 3})
    other = TextNode(text="Nothing of the kind.", id_="other")
    doors = [
        IndexNode(text=small, index_id="whole", id_="door", obj=whole),
        IndexNode(text="What do elephants eat at night", index_id="other", id_="summary", obj=other),
    ]
    first = LateInteractionRetriever.from_nodes(doors, FakeEncoder(), path=tmp_path / "index", explain=mode)
    again = LateInteractionRetriever.from_index(ExactIndex(FakeEncoder(), tmp_path / "index"), explain=mode)
    found = first.retrieve(QUERY)
    assert again.retrieve(QUERY) == found
    by_id = {each.node_id: each for each in found}
    (span,) = read_evidence(by_id["whole"])
    assert whole.text[span.start : span.end] == span.text == small
    said = by_id["whole"].metadata["latelens"]
    assert by_id["whole"].metadata["page"] == 3
    assert (said["found_by"]["id"], said["found_by"]["text"]) == ("door", small)
    assert all(
        whole.text[token["start"] : token["end"]] == token["document"]
        for token in said.get("tokens", [])
        if token["start"] is not None
    )
    assert read_evidence(by_id["other"]) == []
    assert by_id["other"].metadata["latelens"]["found_by"]["evidence"][0]["text"] == "What do elephants eat at night"
    assert "tokens" not in by_id["other"].metadata["latelens"]
    assert whole.metadata == {"page": 3}
    assert first.object_map["whole"] is whole
    off = LateInteractionRetriever.from_index(again.searcher, explain="off").retrieve(QUERY)
    assert {each.node_id: each.node for each in off} == {"whole": whole, "other": other}


def test_an_object_that_no_index_keeps_is_asked_for_again(tmp_path: Path) -> None:
    inner = LateInteractionRetriever.from_nodes(NODES, FakeEncoder())
    door = IndexNode(text="All about what elephants eat", index_id="elephants", id_="door", obj=inner)
    first = LateInteractionRetriever.from_nodes([door], FakeEncoder(), path=tmp_path / "index")
    assert ids(first.retrieve(QUERY))[0] == "grass"
    index = ExactIndex(FakeEncoder(), tmp_path / "index")
    again = LateInteractionRetriever.from_index(index)
    with pytest.raises(
        ValueError, match=r"'door' led to a LateInteractionRetriever.*object_map=\{'elephants': \.\.\.\}"
    ):
        again.retrieve(QUERY)
    given = LateInteractionRetriever.from_index(index, object_map={"elephants": inner})
    assert ids(given.retrieve(QUERY))[0] == "grass"


def one(key: str, value: Any, operator: str = "==") -> MetadataFilter:
    return MetadataFilter(key=key, value=value, operator=FilterOperator(operator))


FOUND = {"s": "b", "n": 3, "list": ["x", "y"], "empty": [], "blank": "", "none": None, "zero": 0, "no": False}


@pytest.mark.parametrize(
    ("part", "holds"),
    [
        (one("s", "b"), True),
        (one("s", "c"), False),
        (one("n", 3), True),
        (one("n", 3, "!="), False),
        (one("missing", 3, "!="), True),
        (one("n", 2, ">"), True),
        (one("n", 3, ">"), False),
        (one("n", 3, ">="), True),
        (one("n", 3, "<"), False),
        (one("n", 3.5, "<="), True),
        (one("s", ["a", "b"], "in"), True),
        (one("s", ["a"], "in"), False),
        (one("s", ["a"], "nin"), True),
        (one("missing", ["a"], "nin"), True),
        (one("list", ["z", "y"], "any"), True),
        (one("list", ["z"], "any"), False),
        (one("list", ["x", "y"], "all"), True),
        (one("list", ["x", "z"], "all"), False),
        (one("list", "x", "contains"), True),
        (one("list", "z", "contains"), False),
        *((one(key, None, "is_empty"), True) for key in ("missing", "none", "empty", "blank")),
        *((one(key, None, "is_empty"), False) for key in ("s", "n", "list", "zero", "no")),
    ],
)
def test_every_operator_means_what_it_says(part: MetadataFilter, holds: bool) -> None:
    said = to_filter(MetadataFilters(filters=[part]))
    assert said is not None
    assert matches(parse_filter(said), FOUND) is holds
    opposite = to_filter(MetadataFilters(filters=[part], condition=FilterCondition.NOT))
    assert opposite is not None
    assert matches(parse_filter(opposite), FOUND) is not holds


def test_conditions_nest() -> None:
    inner = MetadataFilters(filters=[one("s", "z"), one("n", 3)], condition=FilterCondition.OR)
    both = MetadataFilters(filters=[inner, one("zero", 0)])
    neither = MetadataFilters(filters=[inner, one("zero", 1)], condition=FilterCondition.NOT)
    nothing = MetadataFilters(filters=[MetadataFilters(filters=[]), one("n", 3)])
    for filters, holds in ((both, True), (neither, False), (nothing, True)):
        said = to_filter(filters)
        assert said is not None
        assert matches(parse_filter(said), FOUND) is holds
    assert to_filter(None) is to_filter(MetadataFilters(filters=[])) is None
    assert to_filter({"n": 3}) == {"n": 3}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (one("s", 1, "text_match"), "'text_match' on 's' takes a str, got 1"),
        (one("s", "b", "in"), "'in' on 's' takes a list of values, got 'b'"),
        (one("s", ["b"]), "'==' on 's' takes one value"),
    ],
)
def test_filters_that_cannot_be_read_are_refused(part: MetadataFilter, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LateInteractionRetriever.from_nodes(NODES, FakeEncoder(), filters=MetadataFilters(filters=[part]))
    with pytest.raises(TypeError, match="filters must be MetadataFilters or a dict, got list"):
        to_filter([part])  # type: ignore[arg-type]


def test_filters_decide_what_is_found() -> None:
    filters = MetadataFilters(filters=[one("year", 2001), one("lang", ["de", "fr"], "in")])
    assert ids(LateInteractionRetriever.from_nodes(NODES, FakeEncoder(), filters=filters).retrieve(QUERY)) == ["gras"]


def test_our_filters_are_said_in_theirs_where_they_can_be() -> None:
    for filter in ({"n": 3}, {"n": {"$gte": 2, "$lt": 4}, "s": {"$in": ["a", "b"]}}, {"$or": [{"n": 1}, {"s": "b"}]}):
        theirs = from_filter(filter)
        assert theirs is not None
        again = to_filter(theirs)
        assert again is not None
        assert matches(parse_filter(again), FOUND) is True
    for unsayable in (
        {"$not": {"n": 3}},
        {"no": False},
        {"n": {"$exists": True}},
        {"$or": [{"n": 1}, {"$not": {"n": 1}}]},
        {},
    ):
        assert from_filter(unsayable) is None


async def test_a_vector_index_or_any_retriever_may_come_first() -> None:
    nodes = [node.model_copy(update={"relationships": {}}) for node in NODES]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=8))
    for source in (index, index.as_retriever(similarity_top_k=3)):
        retriever = LateInteractionRetriever.from_index(TwoStage(first_stage(source, name="dense"), FakeEncoder()))
        for found in (retriever.retrieve(QUERY), await retriever.aretrieve(QUERY)):
            assert ids(found) == ["grass", "gras", "rain"]
            assert found[0].node.metadata["latelens"]["stages"] == {"dense": pytest.approx(1.0)}
    narrow = TwoStage(first_stage(index), FakeEncoder(), candidates=1)  # one candidate: the filter was passed on
    retriever = LateInteractionRetriever.from_index(narrow, similarity_top_k=1, filters={"lang": "de"})
    assert ids(retriever.retrieve(QUERY)) == ids(await retriever.aretrieve(QUERY)) == ["gras"]
    with pytest.raises(TypeError, match="expected a LlamaIndex retriever or VectorStoreIndex, got list"):
        first_stage([])  # type: ignore[arg-type]


def test_whole_documents_from_a_document_store() -> None:
    text = " ".join(f"Part {i} begins. Elephants eat plants of kind {i}. They rest." for i in range(40))
    book = Document(text=text, id_="book", metadata={"title": "Book"})
    parts = SentenceSplitter(chunk_size=60, chunk_overlap=10).get_nodes_from_documents([book])
    store = SimpleDocumentStore()
    store.add_documents([book])
    index = ExactIndex(FakeEncoder())
    LateInteractionRetriever.from_index(index).add_nodes(parts)
    (found,) = LateInteractionRetriever.from_index(index, parents=store).retrieve("Who eats plants of kind 7?")
    spans = read_evidence(found)
    assert (found.node.node_id, found.node.get_content(), found.node.metadata["title"]) == ("book", text, "Book")
    assert spans[0].text == "Elephants eat plants of kind 7."
    assert all(text[span.start : span.end] == span.text for span in spans)
    stored = store.get_document("book")
    assert stored is not None
    assert "latelens" not in stored.metadata


def test_new_parents_go_into_the_store() -> None:
    store = SimpleDocumentStore()
    retriever = LateInteractionRetriever.from_index(ExactIndex(FakeEncoder()), split=True, parents=store)
    retriever.add_nodes([Document(text="One. Two.", id_="n")])
    assert ids(retriever.retrieve("two")) == ["n"]
    assert store.document_exists("n")


async def test_nodes_are_added_and_deleted_off_the_event_loop(retriever: LateInteractionRetriever) -> None:
    assert await retriever.aadd_nodes([TextNode(text=QUERY, id_="new")]) == ["new"]
    assert ids(retriever.retrieve(QUERY))[0] == "new"
    assert await retriever.adelete_nodes(["new", "rain"]) == 2
    assert ids(await retriever.aretrieve(QUERY)) == ["grass", "gras"]


def scripted(messages: Sequence[ChatMessage], **kwargs: Any) -> ChatMessage:
    last = messages[-1]
    if last.role == MessageRole.TOOL:
        return ChatMessage(role="assistant", content=f"They say: {last.content}")
    call = ToolCallBlock(tool_name="find_evidence", tool_kwargs={"query": QUERY}, tool_call_id="1")
    return ChatMessage(role="assistant", blocks=[call])


async def test_a_function_agent_calls_the_tool_and_its_events_carry_the_evidence(
    retriever: LateInteractionRetriever,
) -> None:
    tool = create_evidence_tool(retriever, "find_evidence", "Finds evidence.")
    agent = FunctionAgent(tools=[tool], llm=MockFunctionCallingLLM(response_generator=scripted))
    handler = agent.run("What is their food?")
    results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    answer = await handler
    assert '[1] "Elephants eat grass and bark." (grass)' in str(answer)
    (result,) = results
    assert result.tool_output.raw_input == {"query": QUERY}
    assert read_evidence(result.tool_output.raw_output[0])[0].text == "Elephants eat grass and bark."


async def test_the_tool_undoes_what_the_framework_does_to_queries(retriever: LateInteractionRetriever) -> None:
    asked: list[str] = []

    class Listening(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            asked.append(query_bundle.query_str)
            return []

    noisy = RetrieverTool.from_defaults(Listening())
    noisy("capital of france")
    noisy(input="capital of france")
    assert [clean_query(query) for query in asked] == ["capital of france"] * 2
    assert asked != ["capital of france"] * 2  # so the noise is still there to undo

    tool = create_evidence_tool(Listening(), "find_evidence", "Finds evidence.")
    asked.clear()
    for arguments in ({"input": "input is missing "}, {"query": "\ninput is input is missing\n"}):
        assert tool(**arguments).raw_input == {"query": "input is missing"}
        assert (await tool.acall(**arguments)).raw_output == []
    assert asked == ["input is missing"] * 4
    for wrong in ({}, {"query": " "}, {"query": "a", "input": "b"}, {"query": 7}):
        with pytest.raises(ValueError, match="the tool takes one query, a text, got"):
            tool(**wrong)


def test_the_schema_asks_for_a_query_only(retriever: LateInteractionRetriever) -> None:
    tool = create_evidence_tool(retriever, "find_evidence", "Finds evidence.")
    function = tool.metadata.to_openai_tool()["function"]
    assert (function["name"], function["description"]) == ("find_evidence", "Finds evidence.")
    assert list(function["parameters"]["properties"]) == function["parameters"]["required"] == ["query"]
