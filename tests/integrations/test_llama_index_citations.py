"""Answers of LlamaIndex with citations: from engines, streams, chats and agents, and none of it back to a model."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Iterator
from inspect import signature
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import AgentOutput, AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CitationBlock,
    CompletionResponse,
    ImageBlock,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.base.response.schema import (
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.chat_engine.types import AgentChatResponse, StreamingAgentChatResponse
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.query import QueryEndEvent, QueryStartEvent
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.prompts import PromptTemplate
from llama_index.core.query_engine import CitationQueryEngine
from llama_index.core.schema import Document, ImageNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import FunctionTool, QueryEngineTool, RetrieverTool, ToolOutput
from llama_index.core.workflow import Context

from langchain_latelens import AttachCitations, EvidenceCitationMiddleware
from langchain_latelens.citations import attach_citations as langchain_attach_citations
from latelens import Attributor, Encoder
from latelens.attribution import Attribution, Source
from latelens.text.sentences import split_sentences
from llama_index_latelens import LateInteractionRerank
from llama_index_latelens.citations import attach_citations, read_attribution, strip_citations
from llama_index_latelens.query_engine import EvidenceCitationQueryEngine
from llama_index_latelens.retriever import LateInteractionRetriever
from llama_index_latelens.sources import EvidenceCollector, to_citable_blocks, to_source
from llama_index_latelens.tool import create_evidence_tool

ANSWER = "Elephants eat grass and bark. They drink 200 litres of water. Giraffes fly to Norway."
TEXTS = {
    "food": "Herds roam. Elephants eat grass and bark.",
    "water": "They drink 200 litres of water. It is hot.",
    "rain": "It rained all night.",
}


def nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(
            node=TextNode(
                text=text, id_=name, start_char_idx=100, end_char_idx=100 + len(text), metadata={"title": name.title()}
            ),
            score=0.5,
        )
        for name, text in TEXTS.items()
    ]


def cite(response: Any, sources: Any = None, **options: Any) -> Any:
    return attach_citations(response, sources, attributor=Attributor(FakeEncoder(), **options))


def found(response: Any, sources: Any = None) -> Attribution:
    attribution = read_attribution(response, sources)
    assert attribution is not None
    return attribution


def whole() -> Attribution:
    return found(cite(Response(ANSWER, nodes())))


# Answers of query engines


def test_a_response_gets_the_sentence_that_bears_each_claim() -> None:
    attribution = whole()
    assert [claim.text for claim in attribution.claims] == [ANSWER[:29], ANSWER[30:61], ANSWER[62:]]
    assert [len(claim.citations) > 0 for claim in attribution.claims] == [True, True, False]
    first, second = (claim.citations[0] for claim in attribution.claims[:2])
    assert (first.source_id, first.title, first.cited_text) == ("food", "Food", "Elephants eat grass and bark.")
    assert (second.source_id, second.cited_text) == ("water", "They drink 200 litres of water.")
    assert attribution.claims[2].label == "no_evidence"
    for citation in attribution.citations:
        text = TEXTS[str(citation.source_id)]
        assert text[citation.source_start : citation.source_end] == citation.cited_text
        assert citation.document_start == 100 + citation.source_start


def test_the_response_is_copied_and_its_own_metadata_stays() -> None:
    response = Response(ANSWER, nodes(), {"food": {"title": "Food"}})
    before = copy.deepcopy(response)
    cited = cite(response)
    assert response == before
    assert cited.response == ANSWER
    assert cited.source_nodes == response.source_nodes
    assert cited.source_nodes is not response.source_nodes
    assert cited.metadata["food"] == {"title": "Food"}
    assert json.loads(json.dumps(cited.metadata["latelens"])) == cited.metadata["latelens"]


def test_the_node_text_is_read_without_its_metadata() -> None:
    (citation, *_) = found(cite("Elephants eat grass and bark.", nodes())).citations
    assert citation.source_start == TEXTS["food"].index("Elephants")


def test_an_empty_answer_no_nodes_and_image_nodes_are_fine() -> None:
    assert found(cite(Response("", nodes()))).claims == ()
    assert cite(Response(None, nodes())).response is None
    assert {claim.label for claim in found(cite(Response(ANSWER))).claims} == {"no_evidence"}
    image = NodeWithScore(node=ImageNode(image_path="x.png", text="", id_="picture"), score=0.9)
    assert found(cite(ANSWER, [image, *nodes()])).citations[0].source_index == 1


def test_max_citations_bounds_the_citations_of_a_claim() -> None:
    answer = "Elephants eat grass and bark and drink 200 litres of water."
    assert {citation.source_id for citation in found(cite(answer, nodes())).claims[0].citations} == {"food", "water"}
    assert len(found(cite(answer, nodes(), max_citations=1)).claims[0].citations) == 1


@pytest.mark.parametrize("wrong", [0, True, 1.5])
def test_a_wrong_max_citations_is_refused_before_anything_streams(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max_citations"):
        cite(StreamingResponse(token for token in "ab"), max_citations=wrong)


def test_what_holds_no_answer_is_refused() -> None:
    with pytest.raises(TypeError, match="got int: 3"):
        cite(3, nodes())
    with pytest.raises(ValueError, match="EvidenceCollector"):
        cite(ChatMessage(ANSWER))
    with pytest.raises(TypeError, match="got int: 7"):
        cite(ANSWER, [7])
    assert read_attribution(Response(ANSWER)) is None


# Streams


def tokens(log: list[str], answer: str = ANSWER) -> Iterator[str]:
    for token in answer.split(" "):
        log.append(token)
        yield f" {token}" if len(log) > 1 else token


async def async_tokens(log: list[str]) -> AsyncIterator[str]:
    for token in tokens(log):
        yield token


def test_a_stream_passes_tokens_on_and_a_sentence_has_its_citations_when_it_has_ended() -> None:
    log: list[str] = []
    ended: list[Any] = []
    cited = cite(StreamingResponse(tokens(log), nodes(), {"food": {}}))
    assert isinstance(cited, StreamingResponse)
    assert log == []
    for seen, _ in enumerate(cited.response_gen, start=1):
        assert len(log) == seen
        if (so_far := read_attribution(cited)) is not None:
            ended.append((so_far.answer, [claim.text for claim in so_far.claims]))
    first, second = whole().claims[:2]
    assert ended[0] == (f"{first.text} They", [first.text])
    assert ended[-1] == (f"{first.text} {second.text} Giraffes", [first.text, second.text])
    assert found(cited) == whole()
    assert str(cited) == cited.response_txt == ANSWER
    assert cited.metadata.keys() == {"food", "latelens"}
    assert found(cited.get_response()) == whole()


@pytest.mark.parametrize("reading", [str, lambda cited: cited.get_response().response])
def test_a_stream_that_the_framework_reads_ends_with_the_same_citations(reading: Any) -> None:
    cited = cite(StreamingResponse(tokens([]), nodes()))
    assert reading(cited) == ANSWER
    assert found(cited) == whole()


def test_a_stream_that_is_printed_ends_with_the_same_citations(capsys: pytest.CaptureFixture[str]) -> None:
    cited = cite(StreamingResponse(tokens([]), nodes()))
    cited.print_response_stream()
    assert capsys.readouterr().out == ANSWER
    assert found(cited) == whole()


def test_a_stream_read_in_part_can_be_finished_later() -> None:
    cited = cite(StreamingResponse(tokens([]), nodes()))
    assert next(cited.response_gen) == "Elephants"
    assert str(cited) == ANSWER
    assert found(cited) == whole()


def test_a_stream_that_was_read_before_is_cited() -> None:
    response = StreamingResponse(tokens([]), nodes())
    assert str(response) == ANSWER
    cited = cite(response)
    assert "".join(cited.response_gen) == ANSWER
    assert found(cited) == whole()


def test_a_stream_that_breaks_off_has_the_citations_of_the_sentences_that_ended() -> None:
    def broken() -> Iterator[str]:
        yield "Elephants eat grass. They dr"
        raise ConnectionError("gone")

    cited = cite(StreamingResponse(broken(), nodes()))
    with pytest.raises(ConnectionError, match="gone"):
        list(cited.response_gen)
    assert [claim.text for claim in found(cited).claims] == ["Elephants eat grass."]


async def test_an_async_stream_passes_tokens_on_and_ends_with_the_same_citations() -> None:
    log: list[str] = []
    cited = cite(AsyncStreamingResponse(async_tokens(log), nodes()))
    assert isinstance(cited, AsyncStreamingResponse)
    seen = 0
    async for _ in cited.async_response_gen():
        seen += 1
        assert len(log) == seen
    assert found(cited) == whole()
    assert (await cited.get_response()).response == ANSWER


async def test_an_async_stream_may_be_read_directly_or_whole() -> None:
    directly = cite(AsyncStreamingResponse(async_tokens([]), nodes()))
    assert "".join([token async for token in directly.response_gen]) == ANSWER
    at_once = cite(AsyncStreamingResponse(async_tokens([]), nodes()))
    assert (await at_once.get_response()).response == ANSWER
    assert found(directly) == found(at_once) == whole()


@given(
    st.lists(st.sampled_from(["Elephants ", "eat grass", ". ", "They drink", " water.", "\n- ", "👍", " 200 litres"]))
)
@settings(max_examples=40, deadline=None)
def test_wherever_tokens_are_cut_the_citations_are_those_of_the_whole(parts: list[str]) -> None:
    options: dict[str, Any] = {"attributor": Attributor(FakeEncoder(dim=64), cache=False)}
    streamed = attach_citations(StreamingResponse((part for part in parts), nodes()), **options)
    list(streamed.response_gen)
    assert found(streamed) == found(attach_citations(Response("".join(parts), nodes()), **options))


# Messages


def test_a_message_gets_blocks_with_integer_positions() -> None:
    cited = cite(ChatMessage(ANSWER, role="assistant"), nodes())
    assert cited.content == ANSWER
    blocks = [block for block in cited.blocks if isinstance(block, CitationBlock)]
    attribution = whole()
    assert found(cited, nodes()) == attribution
    assert len(blocks) == len(attribution.citations) == 2
    for block, citation in zip(blocks, attribution.citations, strict=True):
        place = block.additional_location_info
        assert all(type(value) is int for value in place.values())
        assert block.cited_content.text == citation.cited_text
        text = list(TEXTS.values())[place["source_index"]]
        assert text[place["source_start"] : place["source_end"]] == citation.cited_text
        assert cited.content[place["answer_start"] : place["answer_end"]] in [
            claim.text for claim in attribution.claims
        ]
        assert attribution.references[place["mark"] - 1].cited_text == citation.cited_text
        assert place["document_start"] == 100 + place["source_start"]
        assert (block.source, block.title) == (citation.source_id, citation.title)


def test_positions_count_from_the_whole_content_of_a_message_with_several_texts() -> None:
    parts = [
        TextBlock(text="They drink 200 litres of water."),
        ImageBlock(image=b"x"),
        TextBlock(text="They eat bark."),
    ]
    cited = cite(ChatMessage(role="assistant", blocks=parts), nodes())
    place = next(block for block in cited.blocks if isinstance(block, CitationBlock)).additional_location_info
    assert cited.content[place["answer_start"] : place["answer_end"]] == "They drink 200 litres of water."
    assert [block.block_type for block in cited.blocks[:3]] == ["text", "image", "text"]


def test_the_texts_of_the_sources_do_not_travel_with_a_message() -> None:
    cited = cite(ChatMessage(ANSWER, role="assistant"), nodes())
    assert "It is hot" not in cited.model_dump_json()
    blank = found(cited)
    assert blank.claims == whole().claims
    assert blank.sources[1].text == "They drink 200 litres of water." + " " * len(" It is hot.")
    with pytest.raises(ValueError, match="outside a text of 20 characters"):
        found(cited, list(reversed(nodes())))


def test_a_cited_message_survives_json_and_strips_to_what_it_was() -> None:
    message = ChatMessage(ANSWER, role="assistant", additional_kwargs={"refusal": None})
    theirs = CitationBlock(cited_content="x", source="s", title="t", additional_location_info={"start": 1})
    message.blocks.append(theirs)
    before = message.model_copy(deep=True)
    cited = cite(message, nodes())
    assert message == before
    again = ChatMessage.model_validate_json(cited.model_dump_json())
    assert found(again, nodes()) == whole()
    assert strip_citations([again]) == strip_citations([cited]) == [before]
    plain = ChatMessage("hello")
    assert strip_citations([plain])[0] is plain


def test_citing_again_replaces_the_citations() -> None:
    once = cite(ChatMessage(ANSWER, role="assistant"), nodes())
    assert cite(once, nodes()) == once
    assert found(cite(once, nodes()[:1]), nodes()[:1]).sources == whole().sources[:1]


def test_a_chat_response_keeps_the_record_beside_its_message() -> None:
    response = ChatResponse(
        message=ChatMessage(ANSWER, role="assistant"), raw={"id": 1}, additional_kwargs={"tokens": 7}
    )
    cited = cite(response, nodes())
    assert found(cited, nodes()) == whole()
    assert cited.additional_kwargs["tokens"] == 7
    assert cited.message.additional_kwargs == {}
    assert response.message.blocks == [TextBlock(text=ANSWER)]


def test_an_agents_output_is_copied_and_survives_json() -> None:
    output = AgentOutput(response=ChatMessage(ANSWER, role="assistant"), current_agent_name="a", more=1)
    cited = cite(output, nodes())
    assert found(cited, nodes()) == whole()
    assert cited["more"] == 1
    assert "latelens" not in output
    assert output.response.blocks == [TextBlock(text=ANSWER)]
    again = AgentOutput.model_validate_json(cited.model_dump_json())
    assert found(again, nodes()) == whole()
    assert str(again) == ANSWER


@given(st.text("ab .\n👍é大", max_size=40), st.lists(st.text("ab .\n👍é大", max_size=40), max_size=3))
@settings(max_examples=60, deadline=None)
def test_every_position_in_a_block_is_one_of_the_texts_it_names(answer: str, texts: list[str]) -> None:
    cited = attach_citations(
        ChatMessage(answer, role="assistant"), texts, attributor=Attributor(FakeEncoder(dim=64), cache=False)
    )
    for block in cited.blocks[1:]:
        place = block.additional_location_info
        quoted = texts[place["source_index"]][place["source_start"] : place["source_end"]]
        assert quoted == block.cited_content.text != ""
        assert answer[place["answer_start"] : place["answer_end"]].strip()


# Models that remember what they are sent


class Recorder:
    """Answers from a script, and keeps every message that a model is sent."""

    def __init__(self, *answers: ChatMessage) -> None:
        self.answers, self.sent = list(answers), []

    def __call__(self, messages: Any, **_: Any) -> ChatMessage:
        self.sent += [message.model_copy(deep=True) for message in messages]
        return self.answers.pop(0).model_copy(deep=True)

    def leaks(self) -> list[str]:
        return [
            message.model_dump_json()
            for message in self.sent
            if "latelens" in message.model_dump_json()
            or any(isinstance(block, CitationBlock) for block in message.blocks)
        ]


def says(text: str) -> ChatMessage:
    return ChatMessage(text, role="assistant")


def calls(name: str, /, **arguments: Any) -> ChatMessage:
    block = ToolCallBlock(tool_call_id=f"call-{name}", tool_name=name, tool_kwargs=arguments)
    return ChatMessage(role="assistant", blocks=[block])


def search_tools() -> list[Any]:
    index = VectorStoreIndex([node.node for node in nodes()[:1]], embed_model=MockEmbedding(embed_dim=8))

    def lookup(name: str) -> Any:
        """Find a node by its name."""
        return [node for node in nodes() if node.node.node_id == name]

    def weather() -> str:
        """Tell the weather."""
        return "It is hot in Norway."

    def broken() -> str:
        """Fail."""
        raise ConnectionError("no elephants eat grass and bark here")

    retriever = RetrieverTool.from_defaults(index.as_retriever(similarity_top_k=1), name="search", description="d")
    return [retriever, *(FunctionTool.from_defaults(tool) for tool in (lookup, weather, broken))]


def agent(recorder: Recorder, **options: Any) -> FunctionAgent:
    llm = MockFunctionCallingLLM(response_generator=recorder, is_chat_model=True)
    return FunctionAgent(name="keeper", description="d", tools=search_tools(), llm=llm, **options)


async def test_an_agents_output_brings_what_its_tools_found_in_this_run() -> None:
    recorder = Recorder(calls("search", input="food"), calls("lookup", name="water"), says(ANSWER))
    collector, handler = EvidenceCollector(), agent(recorder).run("What do elephants eat?")
    await collector.gather(handler.stream_events())
    output = await handler
    assert found(cite(output), collector.sources) == found(cite(output, collector.sources), collector.sources)
    assert found(cite(output), collector.sources).references
    without = AgentOutput(response=ChatMessage(ANSWER, role="assistant"), current_agent_name="a")
    with pytest.raises(ValueError, match="AgentOutput names no sources: pass sources="):
        cite(without)


async def test_sources_of_an_agent_are_gathered_over_several_steps() -> None:
    recorder = Recorder(
        calls("search", input="food"), calls("lookup", name="water"), calls("broken"), calls("weather"), says(ANSWER)
    )
    collector, handler = EvidenceCollector(), agent(recorder).run("What do elephants eat?")
    watched = [type(event).__name__ async for event in collector.watch(handler.stream_events())]
    assert watched.count("ToolCallResult") == 4
    output = await handler
    assert [node.node.node_id for node in collector.sources] == ["food", "water", "call-weather"]
    assert to_source(collector.sources[2]) == Source("It is hot in Norway.", "call-weather", "weather")
    cited = cite(output, collector.sources)
    assert isinstance(cited, AgentOutput)
    assert [claim.citations[0].source_id for claim in found(cited).claims[:2]] == ["food", "water"]
    assert str(cited) == ANSWER


async def test_gathering_waits_for_the_last_event() -> None:
    recorder = Recorder(calls("lookup", name="water"), says(ANSWER))
    collector, handler = EvidenceCollector(), agent(recorder).run("What do they drink?")
    await collector.gather(handler.stream_events())
    assert [node.node.node_id for node in collector.sources] == ["water"]


async def test_a_handoff_between_agents_is_no_evidence() -> None:
    recorder = Recorder(calls("handoff", to_agent="vet", reason="water"), calls("lookup", name="water"), says(ANSWER))
    first = agent(recorder, can_handoff_to=["vet"])
    second = agent(recorder).model_copy(update={"name": "vet"})
    workflow = AgentWorkflow(agents=[first, second], root_agent="keeper")
    collector, handler = EvidenceCollector(), workflow.run("What do they drink?")
    seen = [
        event.tool_name async for event in collector.watch(handler.stream_events()) if isinstance(event, ToolCallResult)
    ]
    assert "handoff" in seen
    assert [node.node.node_id for node in collector.sources] == ["water"]


async def test_no_citation_reaches_the_model_in_the_turns_that_follow() -> None:
    recorder = Recorder(calls("lookup", name="food"), says(ANSWER), says(ANSWER), says("Bye."), says("Bye."))
    keeper = agent(recorder)
    context, collector, history = Context(keeper), EvidenceCollector(), []
    for question in ("What do elephants eat?", "And what do they drink?"):
        handler = keeper.run(question, ctx=context)
        await collector.gather(handler.stream_events())
        cited = cite(await handler, collector.sources)
        assert found(cited).citations
        history += [ChatMessage(question), cited.response, cite(cited.response, collector.sources)]
    await keeper.run("Thanks!", chat_history=strip_citations(history))
    assert len(recorder.sent) > 10
    assert recorder.leaks() == []
    await keeper.run("Thanks!", chat_history=history)
    assert recorder.leaks(), "the recorder must see what was not stripped"


def chat_engine(recorder: Recorder) -> ContextChatEngine:
    index = VectorStoreIndex([node.node for node in nodes()[:2]], embed_model=MockEmbedding(embed_dim=8))
    llm = MockFunctionCallingLLM(response_generator=recorder, is_chat_model=True)
    return ContextChatEngine.from_defaults(index.as_retriever(similarity_top_k=2), llm=llm)


def test_a_chat_engine_answers_with_citations_and_remembers_none() -> None:
    recorder = Recorder(*[says(ANSWER)] * 3)
    engine = chat_engine(recorder)
    for question in ("What do they eat?", "What do they drink?", "Really?"):
        cited = cite(engine.chat(question))
        assert isinstance(cited, AgentChatResponse)
        assert {citation.source_id for citation in found(cited).citations} == {"food", "water"}
    assert len(engine.chat_history) == 6
    assert recorder.leaks() == []


def test_a_chat_engines_stream_is_cited_once_it_has_been_read() -> None:
    streaming = chat_engine(Recorder(says(ANSWER))).stream_chat("What do they eat?")
    assert "".join(streaming.response_gen) == ANSWER
    cited = cite(streaming)
    assert (cited.response, len(found(cited).citations)) == (ANSWER, 2)
    half_read = StreamingAgentChatResponse(unformatted_response="Elephants")
    with pytest.raises(ValueError, match="tokens of the chat engine's stream have been read already"):
        cite(half_read)


# What tools return


def result(returned: Any, content: str = "told", **options: Any) -> ToolCallResult:
    output = ToolOutput(tool_name="tool", content=content, raw_input={}, raw_output=returned, **options)
    return ToolCallResult(tool_name="tool", tool_kwargs={}, tool_id="call-1", tool_output=output, return_direct=False)


@pytest.mark.parametrize(
    "returned",
    [
        nodes()[0],
        nodes()[0].node,
        [nodes()[0]],
        (nodes()[0].node, [nodes()[0]]),
        Response(ANSWER, nodes()[:1]),
        [Response(ANSWER, nodes()[:1])],
        nodes()[0].to_dict(),
        nodes()[0].model_dump(),
        json.loads(nodes()[0].to_json()),
        nodes()[0].node.to_dict(),
        Document(text=TEXTS["food"], id_="food", metadata={"title": "Food"}).to_dict(),
        {"response": ANSWER, "source_nodes": [nodes()[0].to_dict()], "metadata": {}},
        ToolOutput(tool_name="inner", content="x", raw_input={}, raw_output=nodes()[:1]),
    ],
    ids=lambda returned: type(returned).__name__,
)
def test_nodes_are_found_in_whatever_a_tool_returns(returned: Any) -> None:
    collector = EvidenceCollector()
    collector.add(result(returned))
    assert [
        (node.node.node_id, node.text if isinstance(node.node, TextNode) else "") for node in collector.sources
    ] == [("food", TEXTS["food"])]
    assert to_source(collector.sources[0]).title == "Food"


def test_a_tool_without_nodes_counts_by_its_text_and_an_error_not_at_all() -> None:
    collector = EvidenceCollector()
    collector.add(result({"results": [1]}, content="One result."))
    collector.add(result("boom", content="boom", is_error=True))
    collector.add(result(None, content=" "))
    collector.add(ChatMessage("no event"))
    assert [to_source(node) for node in collector.sources] == [Source("One result.", "call-1", "tool")]


@pytest.mark.parametrize("returned", [[], (), Response("Empty Response"), {"response": "Nothing.", "source_nodes": []}])
def test_a_search_that_found_nothing_gives_no_source(returned: Any) -> None:
    collector = EvidenceCollector()
    collector.add(result(returned, content="Nothing was found. Other words may find more."))
    assert collector.sources == []


async def test_the_nodes_behind_our_own_tools_quotes_are_gathered() -> None:
    retriever = LateInteractionRetriever.from_nodes([node.node for node in nodes()], FakeEncoder(), similarity_top_k=2)
    tool = create_evidence_tool(retriever, "quotes", "Find quotes.")
    recorder = Recorder(calls("quotes", query="What do elephants eat? What do they drink?"), says(ANSWER))
    llm = MockFunctionCallingLLM(response_generator=recorder, is_chat_model=True)
    collector, handler = EvidenceCollector(), FunctionAgent(name="a", tools=[tool], llm=llm).run("What?")
    await collector.gather(handler.stream_events())
    assert {node.node.node_id for node in collector.sources} == {"food", "water"}
    assert len(found(cite(await handler, collector.sources)).references) == 2
    assert '[1] "' in str(recorder.sent[-1].content), "the model reads quotes, not nodes"


def test_what_two_steps_find_is_one_source() -> None:
    collector = EvidenceCollector()
    for returned in (nodes()[:2], nodes()[1:]):
        collector.add(result(returned))
    assert [node.node.node_id for node in collector.sources] == ["food", "water", "rain"]


@pytest.mark.parametrize(
    ("metadata", "title", "url"),
    [
        ({}, None, None),
        ({"title": "A", "file_name": "b.pdf", "url": "https://x.org/a"}, "A", "https://x.org/a"),
        ({"file_name": "b.pdf", "source": "https://x.org/b"}, "b.pdf", "https://x.org/b"),
        ({"source": "folder/c.txt"}, "folder/c.txt", None),
        ({"title": 3, "url": None}, None, None),
    ],
)
def test_title_and_address_come_from_the_metadata(metadata: Any, title: str | None, url: str | None) -> None:
    source = to_source(TextNode(text="x", id_="i", metadata=metadata))
    assert (source.id, source.title, source.url) == ("i", title, url)


def test_the_place_of_a_chunk_leads_to_the_whole_document() -> None:
    text = "First comes rain. " * 40 + "Elephants eat grass and bark. " + "Then comes sun. " * 40
    chunks = SentenceSplitter(chunk_size=60, chunk_overlap=0).get_nodes_from_documents([Document(text=text)])
    assert len(chunks) > 3
    (citation, *_) = found(cite("Elephants eat grass and bark.", chunks)).citations
    assert text[citation.document_start : citation.document_end] == "Elephants eat grass and bark."


# Models that cite by themselves


def test_citable_blocks_have_one_text_a_sentence_and_keep_title_and_id() -> None:
    food, water, _ = to_citable_blocks(nodes())
    assert (food.title, food.source) == ("Food", "food")
    assert [block.text for block in food.content] == ["Herds roam.", "Elephants eat grass and bark."]
    assert [block.text for block in water.content] == [TEXTS["water"][a:b] for a, b in split_sentences(TEXTS["water"])]


def test_citable_blocks_of_bare_nodes_are_called_by_their_id_and_empty_nodes_give_none() -> None:
    bare = TextNode(text="Elephants eat.", id_="n1", metadata={"lang": "en"})
    (block,) = to_citable_blocks([ImageNode(image_path="x.png", text=""), bare])
    assert (block.title, block.source) == ("n1", "n1")
    assert ChatMessage.model_validate_json(ChatMessage(role="user", blocks=[block]).model_dump_json()).blocks == [block]


# The query engine


class Scripted(MockLLM):
    """Answers with the text that it was given, token by token where asked, and keeps its prompts."""

    answer: str = ANSWER
    prompts: list[str] = []

    def complete(self, prompt: str, *args: Any, **kwargs: Any) -> CompletionResponse:
        self.prompts.append(prompt)
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt: str, *args: Any, **kwargs: Any) -> Iterator[CompletionResponse]:
        self.prompts.append(prompt)
        return (CompletionResponse(text=self.answer, delta=token) for token in tokens([], self.answer))


MARKED = "Elephants eat grass and bark.[1] They drink 200 litres of water.[2] Giraffes fly to Norway."


def inner(llm: MockLLM, **options: Any) -> Any:
    index = VectorStoreIndex([node.node for node in nodes()], embed_model=MockEmbedding(embed_dim=8))
    return index.as_query_engine(similarity_top_k=3, llm=llm, **options)


def engine(llm: MockLLM | None = None, **options: Any) -> EvidenceCitationQueryEngine:
    return EvidenceCitationQueryEngine(inner(llm or Scripted(), **options), attributor=Attributor(FakeEncoder()))


def test_an_engine_answers_with_marks_that_lead_to_spans() -> None:
    response = engine().query("What do elephants eat?")
    assert str(response) == MARKED
    attribution = found(response)
    assert attribution.answer == ANSWER
    assert [reference.cited_text for reference in attribution.references] == [
        "Elephants eat grass and bark.",
        "They drink 200 litres of water.",
    ]
    by_id = {node.node.node_id: node.node for node in response.source_nodes}
    assert by_id.keys() == TEXTS.keys()
    for reference in attribution.references:
        assert by_id[reference.source_id].text[reference.source_start : reference.source_end] == reference.cited_text
    assert by_id["food"].metadata == {"title": "Food"}


async def test_every_way_of_asking_gives_the_same_text_and_citations() -> None:
    asked = engine().query("What?")
    assert str(await engine().aquery("What?")) == str(asked) == MARKED
    streamed = engine(streaming=True).query(QueryBundle("What?"))
    assert "".join(streamed.response_gen) == ANSWER
    assert str(streamed) == streamed.get_response().response == MARKED
    awaited = await engine(streaming=True).aquery("What?")
    assert "".join([token async for token in awaited.async_response_gen()]) == ANSWER
    assert (await awaited.get_response()).response == MARKED
    assert {found(way).citations for way in (asked, streamed, awaited)} == {found(asked).citations}


def test_without_marks_the_text_stays_as_the_model_gave_it() -> None:
    response = EvidenceCitationQueryEngine(inner(Scripted()), marks=False, attributor=Attributor(FakeEncoder())).query(
        "What?"
    )
    assert str(response) == ANSWER
    assert found(response).references


async def test_an_engine_from_a_retriever_reranks_and_shows_the_model_no_evidence() -> None:
    llm = Scripted()
    index = VectorStoreIndex([node.node for node in nodes()], embed_model=MockEmbedding(embed_dim=8))
    made = EvidenceCitationQueryEngine.from_retriever(
        index.as_retriever(similarity_top_k=3),
        llm=llm,
        node_postprocessors=[LateInteractionRerank(model=FakeEncoder(), top_n=2)],
        attributor=Attributor(FakeEncoder()),
    )
    response = await made.aquery("Which elephants eat grass? Which drink water?")
    assert [node.node.node_id for node in response.source_nodes] == ["food", "water"]
    assert response.source_nodes[0].node.metadata["latelens"]["evidence"]
    assert str(response) == MARKED
    assert llm.prompts
    assert not any("latelens" in prompt or "[1]" in prompt for prompt in llm.prompts)


async def test_given_nodes_can_be_retrieved_and_synthesized_apart() -> None:
    made = engine()
    retrieved = made.retrieve(QueryBundle("What?"))
    assert {node.node.node_id for node in retrieved} == TEXTS.keys()
    assert str(made.synthesize(QueryBundle("What?"), retrieved)) == MARKED
    assert str(await made.asynthesize(QueryBundle("What?"), retrieved)) == MARKED


def test_prompts_of_the_inner_engine_are_seen_and_changed() -> None:
    llm = Scripted()
    made = engine(llm)
    name = "response_synthesizer:text_qa_template"
    assert name in made.get_prompts()
    made.update_prompts({name: PromptTemplate("Mine: {context_str} {query_str}")})
    made.query("What?")
    assert llm.prompts[0].startswith("Mine: ")


class EventRecorder(BaseEventHandler):
    """Keeps the events of queries."""

    events: list[Any] = []

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, QueryStartEvent | QueryEndEvent):
            self.events.append(event)


def test_events_and_callbacks_see_the_query_and_the_cited_response() -> None:
    root, recorder, debug = get_dispatcher(), EventRecorder(events=[]), LlamaDebugHandler(print_trace_on_end=False)
    made = inner(Scripted())
    made.callback_manager = CallbackManager([debug])
    root.add_event_handler(recorder)
    try:
        EvidenceCitationQueryEngine(made, attributor=Attributor(FakeEncoder())).query("What?")
    finally:
        root.event_handlers.remove(recorder)
    assert [type(event).__name__ for event in recorder.events] == [
        *("QueryStartEvent", "QueryStartEvent", "QueryEndEvent", "QueryEndEvent")
    ]
    assert found(recorder.events[-1].response).references
    assert len(debug.get_event_pairs(CBEventType.QUERY)) == 1


async def test_as_an_agents_tool_it_gives_the_agent_its_sources() -> None:
    tool = QueryEngineTool.from_defaults(engine(), name="ask", description="d")
    llm = MockFunctionCallingLLM(
        response_generator=Recorder(calls("ask", input="What?"), says(ANSWER)), is_chat_model=True
    )
    handler = FunctionAgent(name="a", tools=[tool], llm=llm).run("What?")
    collector = EvidenceCollector()
    await collector.gather(handler.stream_events())
    assert {node.node.node_id for node in collector.sources} == TEXTS.keys()
    assert len(found(cite(await handler, collector.sources)).references) == 2


def test_nodes_that_another_engine_cut_anew_are_cited_by_their_new_text() -> None:
    index = VectorStoreIndex([node.node for node in nodes()], embed_model=MockEmbedding(embed_dim=8))
    theirs = CitationQueryEngine.from_args(index, llm=Scripted(), similarity_top_k=3)
    response = EvidenceCitationQueryEngine(theirs, attributor=Attributor(FakeEncoder())).query("What?")
    for reference in found(response).references:
        node = response.source_nodes[reference.source_index].node
        assert node.node_id == reference.source_id
        assert node.text[reference.source_start : reference.source_end] == reference.cited_text
    assert found(response).references[0].cited_text == "Elephants eat grass and bark."


# What the user said

SAID = "The Golden Gate Bridge was painted red in 1937."
ASKED = "Was the Golden Gate Bridge red in 1937?"
BRIDGE = [NodeWithScore(node=TextNode(text="The bridge was painted red in the first year.", id_="bridge"))]


def label(response: Any) -> str:
    return found(response).claims[0].label


def asked_of(response: Any, question: Any) -> Any:
    return attach_citations(response, BRIDGE, attributor=Attributor(FakeEncoder()), question=question)


@pytest.mark.parametrize(
    "made",
    [
        lambda: SAID,
        lambda: Response(SAID),
        lambda: AgentChatResponse(SAID),
        lambda: ChatMessage(SAID, role="assistant"),
        lambda: AgentOutput(response=ChatMessage(SAID, role="assistant"), current_agent_name="a"),
    ],
)
def test_a_name_that_the_user_said_is_not_flagged(made: Any) -> None:
    assert label(asked_of(made(), None)) == label(asked_of(made(), "Was the bridge red?")) == "weak"
    assert label(asked_of(made(), ASKED)) == "corroborated"


def test_a_question_that_is_no_text_is_refused_before_anything_streams() -> None:
    with pytest.raises(TypeError, match="question must be a str or None, got int: 3"):
        asked_of(StreamingResponse(tokens([])), 3)


async def test_an_engine_takes_its_query_for_the_question() -> None:
    index, llm = VectorStoreIndex([BRIDGE[0].node], embed_model=MockEmbedding(embed_dim=8)), Scripted()
    llm.answer = SAID
    for streaming in (False, True):
        theirs = index.as_query_engine(llm=llm, streaming=streaming)
        made = EvidenceCitationQueryEngine(theirs, attributor=Attributor(FakeEncoder()))
        for query, expected in ((ASKED, "corroborated"), ("Was the bridge red?", "weak")):
            responses = [made.query(query), made.synthesize(QueryBundle(query), BRIDGE)]
            if not streaming:
                responses += [await made.aquery(query), await made.asynthesize(QueryBundle(query), BRIDGE)]
            for response in responses:
                assert SAID[:-1] in str(response)
                assert label(response) == expected


# Both frameworks alike


def test_both_frameworks_take_the_same_arguments_in_the_same_order() -> None:
    ours, theirs, engine_options = (
        [name for name, given in signature(taker).parameters.items() if given.kind is given.KEYWORD_ONLY]
        for taker in (attach_citations, langchain_attach_citations, EvidenceCitationQueryEngine)
    )
    assert ours == ["attributor", "question", "metadata_mode", "marks"]
    assert theirs == ["attributor", "question", "metadata_keys", "marks"]
    assert engine_options == ["attributor", "marks", "metadata_mode", "callback_manager"]


# The model behind it


def test_without_an_attributor_a_process_has_one_of_the_default_model() -> None:
    takers = (EvidenceCitationQueryEngine(inner(Scripted())), AttachCitations(), EvidenceCitationMiddleware())
    first, second, third = (getattr(taker, "attributor", None) or taker._attributor for taker in takers)
    assert first is second is third
    assert first.encoder.name == "lightonai/LateOn"


def test_what_is_no_attributor_is_refused() -> None:
    for wrong in ("offline/all-MiniLM-L6-v2", FakeEncoder(), 3):
        with pytest.raises(TypeError, match=r"attributor must be an Attributor, got .*latelens.Attributor\(model\)"):
            attach_citations("Elephants eat.", nodes(), attributor=wrong)
        with pytest.raises(TypeError, match="attributor must be an Attributor"):
            EvidenceCitationQueryEngine(inner(Scripted()), attributor=wrong)


def test_the_packaged_model_finds_the_sentence_that_says_the_same(offline: Encoder) -> None:
    cited = attach_citations("Elephants consume plants.", nodes(), attributor=Attributor(offline))
    assert found(cited).claims[0].citations[0].cited_text == "Elephants eat grass and bark."
