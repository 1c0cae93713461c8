"""Streams whose sentences are cited as they end, in both frameworks; at the end stands what the whole would have."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tools import tool
from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse, ToolCallBlock
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from llama_index.core.query_engine import CitationQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool

from langchain_latelens import AttachCitations, EvidenceCitationMiddleware
from langchain_latelens import read_attribution as read_message
from latelens import Attributor, Encoder
from llama_index_latelens import (
    EvidenceCitationQueryEngine,
    EvidenceCollector,
    attach_citations,
    read_attribution,
    read_checked_marks,
)

GRASS, WATER = "Elephants eat grass and bark.", "They drink 200 litres of water."
ANSWER = f"{GRASS} {WATER} Giraffes fly to Norway."
DOCUMENTS = [Document(f"Herds roam. {GRASS}", id="food"), Document(f"{WATER} It is hot.", id="water")]
NODES = [NodeWithScore(node=TextNode(text=document.page_content, id_=document.id)) for document in DOCUMENTS]


@pytest.fixture(scope="session")
def attributor(offline: Encoder) -> Attributor:
    return Attributor(offline)


def cited_texts(message: Any) -> list[str]:
    return [
        annotation["cited_text"]
        for block in message.content
        if isinstance(block, dict)
        for annotation in block.get("annotations", [])
    ]


def stream_of(attach: AttachCitations, chunks: Any) -> tuple[list[Any], Any]:
    pieces = list(attach.transform(iter(chunks)))
    total = pieces[0]
    for piece in pieces[1:]:
        total = total + piece
    return [piece["answer"] for piece in pieces if "answer" in piece], total["answer"]


def without_index(message: Any) -> list[Any]:
    return [{key: value for key, value in block.items() if key != "index"} for block in message.content]


# LangChain


def test_a_chains_sentence_has_its_citations_when_it_has_ended(attributor: Attributor) -> None:
    attach = AttachCitations(attributor=attributor)
    chunks = [{"context": DOCUMENTS}, *({"answer": f"{word} "} for word in ANSWER.split(" "))]
    pieces, total = stream_of(attach, chunks)
    written, seen = "", []
    for piece in pieces:
        written += str(piece.text)
        seen += [(written, text) for text in cited_texts(piece)]
    assert seen == [(f"{GRASS} They ", GRASS), (f"{GRASS} {WATER} Giraffes ", WATER)]
    whole = attach.invoke({"context": DOCUMENTS, "answer": f"{ANSWER} "})["answer"]
    assert cited_texts(total) == cited_texts(whole)
    assert [block["text"] for block in total.content] == [block["text"] for block in whole.content]
    assert read_message(total, DOCUMENTS) == read_message(whole, DOCUMENTS)


PARTS = [
    "Elephants ",
    "eat grass",
    ". ",
    "They drink",
    " water.",
    "\n- ",
    "\n===\n",
    "\n\n",
    " | ",
    "\n|",
    "200 litres",
]


@given(st.lists(st.sampled_from(PARTS)))
@settings(max_examples=60, deadline=None)
def test_wherever_a_chains_tokens_are_cut_the_citations_are_those_of_the_whole(parts: list[str]) -> None:
    attach = AttachCitations(attributor=Attributor(FakeEncoder(dim=64), cache=False))
    _, total = stream_of(attach, [{"context": DOCUMENTS}, *({"answer": part} for part in ["", *parts])])
    whole = attach.invoke({"context": DOCUMENTS, "answer": "".join(parts)})["answer"]
    assert read_message(total, DOCUMENTS) == read_message(whole, DOCUMENTS)
    if "withdrawn" not in total.response_metadata["latelens"] and cited_texts(whole):
        assert without_index(total) == whole.content


def test_citations_of_a_sentence_that_becomes_a_heading_do_not_count(attributor: Attributor) -> None:
    attach = AttachCitations(attributor=attributor)
    parts = [f"{GRASS} They drink", f"\n===\n{WATER}"]
    _, total = stream_of(attach, [{"context": DOCUMENTS}, *({"answer": part} for part in parts)])
    assert cited_texts(total) == [GRASS, WATER]
    (claim,) = read_message(total, DOCUMENTS).claims
    assert claim.text == claim.citations[0].cited_text == WATER
    assert read_message(total) == read_message(total)


def test_sources_that_come_late_or_in_pieces_are_waited_for(attributor: Attributor) -> None:
    attach = AttachCitations(attributor=attributor)
    whole = attach.invoke({"context": DOCUMENTS, "answer": ANSWER})["answer"]
    words = [{"answer": f"{GRASS} They"}, {"answer": ANSWER[len(GRASS) + 5 :]}]
    for chunks in (
        [*words, {"context": DOCUMENTS}],
        [words[0], {"context": DOCUMENTS}, words[1]],
        [{"context": DOCUMENTS[:1]}, words[0], {"context": DOCUMENTS[1:]}, words[1]],
    ):
        _, total = stream_of(attach, chunks)
        assert read_message(total, DOCUMENTS) == read_message(whole, DOCUMENTS)


class Tokens(GenericFakeChatModel):
    """LangChain's fake model, which streams word by word; it takes and calls tools."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        if isinstance(messages[-1], ToolMessage):
            yield from super()._stream(messages, *args, **kwargs)
            return
        for call in next(self.messages).tool_calls:
            piece = {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": 0}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))


async def test_a_graphs_messages_bring_citations_while_the_answer_streams(attributor: Attributor) -> None:
    from langchain.agents import create_agent

    @tool(response_format="content_and_artifact")
    def animals(query: str) -> tuple[str, list[Document]]:
        """Finds out about animals."""
        return query, DOCUMENTS

    call = AIMessage("", tool_calls=[{"name": "animals", "args": {"query": "x"}, "id": "0"}])
    asked: Any = {"messages": [HumanMessage("What do elephants eat?")]}

    def app(**options: Any) -> Any:
        middleware = EvidenceCitationMiddleware(attributor=attributor, **options)
        return create_agent(Tokens(messages=iter([call, AIMessage(ANSWER)])), tools=[animals], middleware=[middleware])

    streams = [
        list(app(while_streaming=True).stream(asked, stream_mode=["messages", "values"])),
        [piece async for piece in app(while_streaming=True).astream(asked, stream_mode=["messages", "values"])],
    ]
    for stream in streams:
        pieces = [given[0] for mode, given in stream if mode == "messages" and isinstance(given[0], AIMessageChunk)]
        written, seen = "", []
        for piece in pieces:
            written += str(piece.text)
            seen += [(written, text, piece.id) for text in cited_texts(piece)]
        final = [given for mode, given in stream if mode == "values"][-1]["messages"][-1]
        assert [text for _, text, _ in seen] == cited_texts(final) == [GRASS, WATER]
        assert seen[0][0].startswith(GRASS)
        assert len(seen[0][0]) < len(GRASS) + 8
        assert {name for _, _, name in seen} == {final.id}
        for piece in pieces:
            for block in piece.content if isinstance(piece.content, list) else ():
                for note in block.get("annotations", ()):
                    assert ANSWER[note["start_index"] : note["end_index"]] in (GRASS, WATER)
        assert read_message(final) == read_message(app().invoke(asked)["messages"][-1])
    plain = [piece for piece, _ in app().stream(asked, stream_mode="messages")]
    assert not any(cited_texts(piece) for piece in plain)


# LlamaIndex


class Scripted(MockLLM):
    """Answers with the text that it was given, word by word where asked."""

    answer: str = ANSWER

    def complete(self, prompt: str, *args: Any, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt: str, *args: Any, **kwargs: Any) -> Iterator[CompletionResponse]:
        return (CompletionResponse(text=self.answer, delta=f"{word} ") for word in self.answer.split(" "))

    async def astream_complete(self, prompt: str, *args: Any, **kwargs: Any) -> AsyncIterator[CompletionResponse]:
        async def words() -> AsyncIterator[CompletionResponse]:
            for response in self.stream_complete(prompt):
                yield response

        return words()


def scripted(answer: str) -> Scripted:
    llm = Scripted()
    llm.answer = answer
    return llm


def index() -> VectorStoreIndex:
    return VectorStoreIndex([found.node for found in NODES], embed_model=MockEmbedding(embed_dim=8))


def ended(response: Any) -> list[str]:
    found = read_attribution(response)
    return [] if found is None else [claim.text for claim in found.claims]


async def test_a_chat_engines_stream_is_cited_while_it_is_read(attributor: Attributor) -> None:
    engine = ContextChatEngine.from_defaults(index().as_retriever(similarity_top_k=2), llm=Scripted())
    cited = attach_citations(engine.stream_chat("What do they eat?"), attributor=attributor)
    assert isinstance(cited, StreamingResponse)
    seen = [ended(cited) for _ in cited.response_gen]
    assert [GRASS] in seen
    assert [GRASS, WATER] in seen
    whole = attach_citations(engine.chat("What do they eat?"), attributor=attributor)
    claims = [(claim.text, claim.citations) for claim in read_attribution(whole).claims]
    assert [(claim.text, claim.citations) for claim in read_attribution(cited).claims] == claims
    awaited = attach_citations(await engine.astream_chat("What do they eat?"), attributor=attributor)
    assert isinstance(awaited, AsyncStreamingResponse)
    seen = [ended(awaited) async for _ in awaited.async_response_gen()]
    assert [GRASS] in seen
    assert [(claim.text, claim.citations) for claim in read_attribution(awaited).claims] == claims


@pytest.mark.parametrize("streaming", [False, True])
def test_marks_that_an_engine_asks_its_model_for_are_checked(attributor: Attributor, streaming: bool) -> None:
    answer = f"{GRASS[:-1]} [2]. {WATER[:-1]} [2]."
    llm = scripted(answer)
    theirs = CitationQueryEngine.from_args(index(), llm=llm, similarity_top_k=2, streaming=streaming)
    order = [node.node.ref_doc_id or node.text for node in theirs.retrieve(NODES[0].text)]
    right = [next(i for i, text in enumerate(order, 1) if part in text) for part in (GRASS, WATER)]
    engine = EvidenceCitationQueryEngine(theirs, marks="move", attributor=attributor)
    response = engine.query("What do elephants eat?")
    assert str(response).strip() == f"{GRASS[:-1]} [{right[0]}]. {WATER[:-1]} [{right[1]}]."
    assert sorted(each.verdict for each in read_checked_marks(response)) == ["backed", "elsewhere"]
    ours = EvidenceCitationQueryEngine(theirs, attributor=attributor).query("What do elephants eat?")
    assert str(ours).strip() == f"{GRASS}[1] {WATER}[2]"


SAID, ASKED = "The Golden Gate Bridge was painted red in 1937.", "Was the Golden Gate Bridge red in 1937?"
BRIDGE = TextNode(text="The bridge was painted red in the first year.", id_="bridge")


async def test_the_question_is_known_where_the_framework_knows_it(attributor: Attributor) -> None:
    found = VectorStoreIndex([BRIDGE], embed_model=MockEmbedding(embed_dim=8))
    engine = ContextChatEngine.from_defaults(found.as_retriever(), llm=scripted(SAID))
    for asked, expected in ((ASKED, "corroborated"), ("Was the bridge red?", "weak")):
        answers = [engine.chat(asked), engine.stream_chat(asked)]
        cited = [attach_citations(answer, attributor=attributor) for answer in answers]
        list(cited[1].response_gen)
        assert [read_attribution(answer).claims[0].label for answer in cited] == [expected] * 2
        explicit = attach_citations(engine.chat(asked), question=ASKED, attributor=attributor)
        assert read_attribution(explicit).claims[0].label == "corroborated"


async def test_a_collector_knows_what_an_agent_was_asked(attributor: Attributor) -> None:
    def look() -> Any:
        """Look."""
        return BRIDGE

    call = ToolCallBlock(tool_call_id="1", tool_name="look", tool_kwargs={})
    script = [ChatMessage(role="assistant", blocks=[call]), ChatMessage(SAID, role="assistant")]
    llm = MockFunctionCallingLLM(response_generator=lambda *_, **__: script.pop(0), is_chat_model=True)
    keeper = FunctionAgent(name="a", tools=[FunctionTool.from_defaults(look)], llm=llm)
    collector, handler = EvidenceCollector(), keeper.run(ASKED)
    await collector.gather(handler.stream_events())
    output = await handler
    assert collector.question == ASKED
    labels = [
        read_attribution(attach_citations(output, sources, attributor=attributor)).claims[0].label
        for sources in (collector, collector.sources)
    ]
    assert labels == ["corroborated", "weak"]
