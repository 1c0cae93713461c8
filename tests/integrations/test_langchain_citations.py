"""Citations on LangChain's messages: standard, exact, and never sent to a model."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import create_retriever_tool, tool

from langchain_latelens.chain import AttachCitations
from langchain_latelens.citations import attach_citations, read_attribution, strip_citations
from langchain_latelens.middleware import EvidenceCitationMiddleware
from langchain_latelens.sources import conversation_sources, to_sources
from latelens import Attributor, Encoder
from latelens.attribution import Source, attribute

DOCUMENTS = [
    Document("It rained all night in the valley.", id="rain"),
    Document(
        "Elephants eat grass and bark. They sleep little.",
        id="grass",
        metadata={"title": "Animals", "source": "https://zoo.example/animals", "start_index": 100},
    ),
]
ANSWER = "Elephants eat grass and bark. Whales sing beautifully underwater."
GRASS = "Elephants eat grass and bark."


def cite(message: AIMessage | str, sources: Any = DOCUMENTS, **options: Any) -> AIMessage:
    return attach_citations(message, sources, attributor=Attributor(FakeEncoder(), **options))


def ours(message: BaseMessage) -> list[dict[str, Any]]:
    return [
        annotation
        for block in message.content
        if isinstance(block, dict)
        for annotation in block.get("annotations", [])
        if "latelens" in annotation.get("extras", {})
    ]


class FixedRetriever(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return DOCUMENTS


class ScriptedModel(BaseChatModel):
    """Says what it is told, in tokens where it is streamed, and keeps what it was sent."""

    script: list[Any]
    received: list[list[BaseMessage]] = []

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> ScriptedModel:
        return self

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        self.received.append(messages)
        answer = self.script[(len(self.received) - 1) % len(self.script)]
        return AIMessage(content=answer) if isinstance(answer, str) else answer.model_copy()

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])


class StreamingModel(ScriptedModel):
    """Streams chunks of its own making."""

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._next(messages)
        text = str(answer.text)
        for call in answer.tool_calls:
            piece = {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": 0}
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))
        for start in range(0, len(text), 7):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text[start : start + 7]))
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="", usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
            )
        )


# --- attach_citations


def test_a_citation_is_standard_and_exact() -> None:
    message = cite(ANSWER)
    assert message.text == ANSWER
    (block,) = message.content_blocks
    (citation,) = block["annotations"]
    assert set(citation) <= {"type", "id", "url", "title", "start_index", "end_index", "cited_text", "extras"}
    assert citation["type"] == "citation"
    assert ANSWER[citation["start_index"] : citation["end_index"]] == GRASS
    assert (citation["title"], citation["url"]) == ("Animals", "https://zoo.example/animals")
    extras = citation["extras"]
    source = DOCUMENTS[extras["source_index"]]
    assert source.id == extras["source_id"] == "grass"
    assert source.page_content[extras["source_start"] : extras["source_end"]] == citation["cited_text"] == GRASS
    assert (extras["document_start"], extras["document_end"]) == (100, 129)
    assert extras["label"] == "corroborated"
    assert 0.9 < extras["score"] <= 1
    assert message.response_metadata["output_version"] == "v1"


def test_ids_tool_calls_usage_and_metadata_are_kept_and_the_input_is_not_mutated() -> None:
    before = AIMessage(
        content=ANSWER,
        id="7",
        name="bot",
        tool_calls=[{"name": "search", "args": {"q": "x"}, "id": "call"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model_name": "m", "finish_reason": "stop"},
        additional_kwargs={"reasoning_content": "Hm."},
    )
    copy = before.model_copy(deep=True)
    documents = [document.model_copy(deep=True) for document in DOCUMENTS]
    after = cite(before)
    assert before == copy
    assert documents == DOCUMENTS
    for field in ("id", "name", "tool_calls", "usage_metadata", "additional_kwargs"):
        assert getattr(after, field) == getattr(before, field)
    assert after.response_metadata.items() >= before.response_metadata.items()
    assert [block["type"] for block in after.content_blocks] == ["reasoning", "text", "tool_call"]
    assert strip_citations([after]) == [before]


def test_the_whole_attribution_comes_back_from_the_message() -> None:
    message = cite(ANSWER)
    expected = attribute(ANSWER, to_sources(DOCUMENTS), FakeEncoder())
    assert read_attribution(message, DOCUMENTS) == expected
    assert [claim.text for claim in expected.flagged] == ["Whales sing beautifully underwater."]
    alone = read_attribution(message)
    assert alone is not None
    assert alone.claims == expected.claims
    source = alone.sources[1]
    assert (len(source.text), source.id, source.start) == (len(DOCUMENTS[1].page_content), "grass", 100)
    assert source.text[: len(GRASS)] == GRASS
    assert source.text[len(GRASS) :].strip() == ""


def test_what_a_message_carries_is_small() -> None:
    message = cite(ANSWER, [*DOCUMENTS, Document("x " * 2_000)])
    assert len(json.dumps(message.response_metadata)) < 800
    assert len(json.dumps(ours(message))) < 800


def test_a_message_that_was_never_cited_has_no_attribution() -> None:
    assert read_attribution(AIMessage(ANSWER)) is None


def test_a_message_whose_text_or_sources_are_others_is_refused() -> None:
    message = cite(ANSWER)
    changed = message.model_copy(update={"content": [{**message.content[0], "text": ANSWER + "!"}]})
    with pytest.raises(ValueError, match="changed since it was cited"):
        read_attribution(changed)
    with pytest.raises(ValueError, match="cites source 1 of 1"):
        read_attribution(message, DOCUMENTS[:1])
    metadata = {**message.response_metadata, "latelens": {"version": 9}}
    with pytest.raises(ValueError, match="version 9 and this latelens reads version 1"):
        read_attribution(message.model_copy(update={"response_metadata": metadata}))


def test_a_message_cited_twice_is_cited_anew() -> None:
    once = cite(AIMessage(content=ANSWER, id="1"))
    assert cite(once) == once
    elsewhere = cite(once, [Document("Whales sing underwater, beautifully.", id="whale")])
    assert {citation["extras"]["source_id"] for citation in ours(elsewhere)} == {"whale"}
    assert strip_citations([elsewhere]) == [AIMessage(content=ANSWER, id="1")]


def test_a_text_and_the_same_text_in_a_block_are_cited_alike() -> None:
    block = AIMessage(content=[{"type": "text", "text": ANSWER}], response_metadata={"output_version": "v1"})
    assert cite(block).content == cite(AIMessage(ANSWER)).content == cite(ANSWER).content
    assert strip_citations([cite(block)]) == [block]


def test_a_chat_model_that_changes_what_it_is_sent_changes_nothing_of_ours() -> None:
    content = [{"type": "text", "text": GRASS, "cache_control": {"type": "ephemeral"}}]
    cited = cite(AIMessage(content=content))
    (sent,) = strip_citations([cited])
    sent.content[0]["cache_control"].clear()
    sent.content.pop()
    assert strip_citations([cited]) == [AIMessage(content=content)]
    assert content == [{"type": "text", "text": GRASS, "cache_control": {"type": "ephemeral"}}]


def test_a_providers_own_citations_stay_beside_ours() -> None:
    own = {"type": "citation", "cited_text": "grass", "start_index": 0, "end_index": 3}
    before = AIMessage(
        content=[{"type": "text", "text": ANSWER, "annotations": [own]}], response_metadata={"output_version": "v1"}
    )
    after = cite(before)
    assert after.content[0]["annotations"][0] == own
    assert len(after.content[0]["annotations"]) == 2
    assert strip_citations([after]) == [before]


def test_a_providers_own_blocks_become_standard_and_come_back_as_they_were() -> None:
    content: list[Any] = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "Elephants eat "},
        {
            "type": "text",
            "text": "grass and bark.",
            "citations": [
                {
                    "type": "char_location",
                    "cited_text": "grass",
                    "document_index": 0,
                    "document_title": "Zoo",
                    "start_char_index": 0,
                    "end_char_index": 5,
                }
            ],
        },
        {"type": "tool_use", "id": "call", "name": "search", "input": {"q": "Elephants eat grass."}},
        {"type": "text", "text": "Elephants eat bark"},
    ]
    before = AIMessage(
        content=content,
        tool_calls=[{"name": "search", "args": {"q": "Elephants eat grass."}, "id": "call"}],
        response_metadata={"model_provider": "anthropic"},
    )
    copy = before.model_copy(deep=True)
    after = cite(before)
    assert before == copy
    blocks = after.content_blocks
    assert [block["type"] for block in blocks] == ["reasoning", "text", "text", "tool_call", "text"]
    assert blocks[2]["annotations"][0]["cited_text"] == "grass"  # the provider's own
    # One claim stands in two blocks and is cited in both, each for its part; the text after the call is another.
    places = [
        (number, c["start_index"], c["end_index"], c["extras"]["claim"])
        for number, block in enumerate(blocks)
        for c in block.get("annotations", [])
        if "latelens" in c.get("extras", {})
    ]
    assert places == [(1, 0, 14, 0), (2, 0, 15, 0), (4, 0, 18, 1)]
    found = read_attribution(after, DOCUMENTS)
    assert found is not None
    assert found.answer == after.text == "Elephants eat grass and bark.Elephants eat bark"
    assert [claim.text for claim in found.claims] == [GRASS, "Elephants eat bark"]
    assert [len(claim.citations) for claim in found.claims] == [1, 1]
    assert strip_citations([after]) == [before]


def test_stripping_never_brings_back_a_text_that_somebody_removed() -> None:
    secret = AIMessage(content=[{"type": "text", "text": GRASS}, {"type": "odd", "x": 1}])
    cited = cite(secret)
    redacted = [{**block, "text": "[redacted]"} if block["type"] == "text" else block for block in cited.content]
    (stripped,) = strip_citations([cited.model_copy(update={"content": redacted})])
    assert stripped.text == "[redacted]"
    assert "grass" not in str(stripped)
    (as_text,) = strip_citations([cite(GRASS).model_copy(update={"content": "[redacted]"})])
    assert as_text == AIMessage("[redacted]")


def test_an_annotation_that_somebody_added_later_stays() -> None:
    later = {"type": "non_standard_annotation", "value": {"checked": True}}
    message = cite(GRASS)
    block = {**message.content[0], "annotations": [*message.content[0]["annotations"], later]}
    (stripped,) = strip_citations([message.model_copy(update={"content": [block]})])
    assert stripped.content == [{"type": "text", "text": GRASS, "annotations": [later]}]
    assert stripped.response_metadata == {"output_version": "v1"}


def test_citations_without_our_record_are_stripped_too() -> None:
    message = cite(ANSWER).model_copy(update={"response_metadata": {"output_version": "v1"}})
    (stripped,) = strip_citations([message])
    assert stripped.content == [{"type": "text", "text": ANSWER}]
    assert stripped.response_metadata == {"output_version": "v1"}


def test_messages_without_our_citations_are_passed_on_as_they_are() -> None:
    history = [HumanMessage("What?"), AIMessage(ANSWER), ToolMessage("x", tool_call_id="1")]
    assert all(after is before for after, before in zip(strip_citations(history), history, strict=True))


def test_an_empty_answer_and_no_sources_are_no_error() -> None:
    empty = cite(AIMessage(""))
    assert empty.text == ""
    found = read_attribution(empty)
    assert found is not None
    assert found.claims == ()
    assert strip_citations([empty]) == [AIMessage("")]
    unfounded = cite(ANSWER, [])
    assert ours(unfounded) == []
    labels = read_attribution(unfounded)
    assert labels is not None
    assert {claim.label for claim in labels.claims} == {"no_evidence"}
    assert strip_citations([unfounded]) == [AIMessage(ANSWER)]


def test_a_message_with_tool_calls_only_is_left_without_citations() -> None:
    call = AIMessage("", tool_calls=[{"name": "search", "args": {}, "id": "1"}])
    assert cite(call).tool_calls == call.tool_calls
    assert strip_citations([cite(call)]) == [call]


def test_an_answer_without_citations_keeps_its_content_as_it_was() -> None:
    text = cite(AIMessage("Whales sing.", id="1"))
    assert (text.content, text.id, text.response_metadata.get("output_version")) == ("Whales sing.", "1", None)
    blocks: Any = [{"type": "text", "text": "Whales sing.", "cache_control": {"type": "ephemeral"}}]
    assert cite(AIMessage(blocks)).content == blocks
    for message in (text, cite(AIMessage(blocks))):
        found = read_attribution(message, DOCUMENTS)
        assert found is not None
        assert [claim.label for claim in found.claims] == ["no_evidence"]
        (stripped,) = strip_citations([message])
        assert stripped.content == message.content
        assert stripped.response_metadata == {}


def test_a_chunk_becomes_a_message() -> None:
    assert type(cite(AIMessageChunk(content=ANSWER))) is AIMessage


def test_a_verifiers_labels_reach_the_citations() -> None:
    def judge(claim: str, evidence: Sequence[str]) -> float:
        return 0.9

    message = cite(ANSWER, verifier=judge)
    assert ours(message)[0]["extras"]["label"] == "supported"
    found = read_attribution(message, DOCUMENTS)
    assert found is not None
    assert (found.verifier, found.claims[0].support) == ("judge", 0.9)
    attach = AttachCitations(attributor=Attributor(FakeEncoder(), verifier=judge))
    assert attach.invoke({"answer": ANSWER, "context": DOCUMENTS})["answer"] == message
    assert attach.model_dump(mode="json")["attributor"]["verifier"] == "judge"


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="an AIMessage or a text, got HumanMessage"):
        cite(HumanMessage(ANSWER))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="put it in a list"):
        cite(ANSWER, "one text")
    with pytest.raises(TypeError, match="put it in a list"):
        cite(ANSWER, DOCUMENTS[0].model_dump())
    with pytest.raises(TypeError, match=r"a source must be a Document.*got int: 3"):
        cite(ANSWER, [3])
    with pytest.raises(ValueError, match="max_citations must be at least 1, got 0"):
        cite(ANSWER, max_citations=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        cite(ANSWER, batch_size=0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab. é漢🐘\u0301\n"), max_size=4),
    st.lists(st.text(alphabet="ab. é漢🐘\u0301\n"), max_size=3),
)
def test_every_citation_is_where_it_says_whatever_the_blocks(texts: list[str], sources: list[str]) -> None:
    before = AIMessage(content=[{"type": "text", "text": text} for text in texts])
    after = cite(before, sources)
    assert after.text == before.text
    found = read_attribution(after, sources)  # checks each claim and each cited span
    assert found is not None
    for block in after.content_blocks:
        for annotation in block.get("annotations", []):
            claim = found.claims[annotation["extras"]["claim"]]
            part = block["text"][annotation["start_index"] : annotation["end_index"]]
            assert part
            assert part in claim.text
    assert strip_citations([after]) == [before]


# --- sources


def test_sources_are_read_from_all_that_holds_documents() -> None:
    as_dicts = [document.model_dump() for document in DOCUMENTS]
    message = ToolMessage("text", tool_call_id="1", artifact=as_dicts)
    expected = to_sources(DOCUMENTS)
    assert expected[1] == Source(
        DOCUMENTS[1].page_content, "grass", "Animals", "https://zoo.example/animals", start=100
    )
    assert to_sources(as_dicts) == to_sources([message]) == to_sources(message.artifact) == expected
    assert to_sources([[message.artifact], expected[0], "a text"]) == [*expected, expected[0], Source("a text")]


def test_a_tool_without_documents_is_its_text_and_a_failed_one_is_nothing() -> None:
    plain = ToolMessage("12 degrees", tool_call_id="1", name="weather", artifact={"raw": 12})
    assert to_sources([plain]) == [Source("12 degrees", id="1", title="weather")]
    failed = ToolMessage("Error: no such city", tool_call_id="1", status="error")
    nothing_found = ToolMessage("nothing found", tool_call_id="1", artifact=[])
    assert to_sources([failed, nothing_found]) == []


def test_odd_metadata_is_not_taken_for_names_and_places() -> None:
    document = Document("x", metadata={"title": 3, "source": "a.txt", "start_index": True})
    assert to_sources([document]) == [Source("x", title="a.txt")]


def test_this_turns_sources_come_first_and_the_same_source_comes_once() -> None:
    def found(*documents: Document) -> ToolMessage:
        return ToolMessage("", tool_call_id="1", artifact=list(documents))

    old, new, both = (Document(text) for text in ("old", "new", "both"))
    messages = [HumanMessage("1"), found(old, both), AIMessage("a"), HumanMessage("2"), found(both, new)]
    assert [source.text for source in conversation_sources(messages, [Document("given")])] == [
        "both",
        "new",
        "given",
        "old",
    ]


# --- serialisation


def test_a_cited_message_survives_json() -> None:
    message = cite(AIMessage(content=ANSWER, id="1"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # langchain-core calls its loader a beta
        again = load(json.loads(json.dumps(dumpd(message))), allowed_objects="core")
    assert again == message
    assert read_attribution(again, DOCUMENTS) == read_attribution(message, DOCUMENTS)
    assert strip_citations([AIMessage.model_validate_json(message.model_dump_json())])[0].content == ANSWER


# --- chains

PROMPT = ChatPromptTemplate.from_messages([MessagesPlaceholder("history", optional=True), ("human", "{question}")])


def rag(model: Any, *, attach: Any = None, parser: Any = None) -> Any:
    answer = PROMPT | strip_citations | model
    retrieve = RunnableLambda(lambda given: given["question"]) | FixedRetriever()
    chain = RunnablePassthrough.assign(context=retrieve) | RunnablePassthrough.assign(
        answer=answer if parser is None else answer | parser
    )
    return chain | (attach or AttachCitations(attributor=Attributor(FakeEncoder())))


async def test_a_chain_is_cited_sync_async_and_in_batches() -> None:
    chain = rag(ScriptedModel(script=[ANSWER]))
    given = {"question": "What do elephants eat?"}
    result = chain.invoke(given)
    assert set(result) == {"question", "context", "answer"}
    assert result["context"] == DOCUMENTS
    assert ours(result["answer"])[0]["cited_text"] == GRASS
    expected = result["answer"].content
    assert (await chain.ainvoke(given))["answer"].content == expected
    assert [r["answer"].content for r in chain.batch([given, given])] == [expected] * 2
    assert [r["answer"].content for r in await chain.abatch([given, given])] == [expected] * 2


def without_index(message: BaseMessage) -> list[Any]:
    return [{key: value for key, value in block.items() if key != "index"} for block in message.content]


def summed(chunks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk  # as LangChain's own tracers and parsers add them
    return total


@pytest.mark.parametrize("parser", [None, StrOutputParser()])
@pytest.mark.parametrize("model_class", [ScriptedModel, StreamingModel])
async def test_streaming_and_not_streaming_give_the_same_citations(model_class: Any, parser: Any) -> None:
    given = {"question": "What do elephants eat?"}
    whole = rag(ScriptedModel(script=[ANSWER]), parser=parser).invoke(given)["answer"]
    chain = rag(model_class(script=[ANSWER]), parser=parser)
    for chunks in (list(chain.stream(given)), [chunk async for chunk in chain.astream(given)]):
        total = summed(chunks)
        assert total["context"] == DOCUMENTS
        pieces = [chunk["answer"] for chunk in chunks if "answer" in chunk]
        if len(pieces) > 1:
            assert [piece.chunk_position for piece in pieces] == [None] * (len(pieces) - 1) + ["last"]
        message = total["answer"]
        assert without_index(message) == whole.content
        assert message.content_blocks == message.content
        assert all("index" not in annotation for annotation in ours(message))
        assert message.response_metadata["latelens"] == whole.response_metadata["latelens"]
        assert read_attribution(message, DOCUMENTS) == read_attribution(whole, DOCUMENTS)
        assert strip_citations([message])[0].content == ANSWER
        assert "output_version" not in strip_citations([message])[0].response_metadata
    if model_class is StreamingModel and parser is None:
        assert message.usage_metadata["total_tokens"] == 7


def test_a_streaming_model_with_blocks_reasoning_and_tool_calls_gives_the_same_citations() -> None:
    def piece(**fields: Any) -> AIMessageChunk:
        return AIMessageChunk(id="run-1", response_metadata={"model_provider": "anthropic"}, **fields)

    chunks = [
        piece(content=[{"type": "thinking", "thinking": "Hm", "index": 0}]),
        piece(content=[{"type": "thinking", "thinking": ".", "signature": "s", "index": 0}]),
        piece(content=[{"type": "text", "text": "Elephants eat gr", "index": 1}]),
        piece(content=[{"type": "text", "text": "ass and bark.", "index": 1}]),
        piece(
            content=[{"type": "tool_use", "id": "call", "name": "search", "input": {}, "index": 2}],
            tool_call_chunks=[{"name": "search", "args": "", "id": "call", "index": 2}],
        ),
        piece(
            content=[{"type": "input_json_delta", "partial_json": '{"q": 1}', "index": 2}],
            tool_call_chunks=[{"name": None, "args": '{"q": 1}', "id": None, "index": 2}],
        ),
        piece(content=[{"type": "text", "text": "Elephants eat bark.", "index": 3}]),
        piece(content=[], chunk_position="last"),
    ]
    attach = AttachCitations(attributor=Attributor(FakeEncoder()))
    stream: Iterator[Any] = iter([{"context": DOCUMENTS}, *({"answer": chunk} for chunk in chunks)])
    message = summed(list(attach.transform(stream)))["answer"]
    raw = chunks[0] + chunks[1:]
    whole = attach.invoke({"context": DOCUMENTS, "answer": raw})["answer"]
    assert [block["type"] for block in message.content] == ["reasoning", "text", "tool_call", "text"]
    assert ours(message) == ours(whole)
    assert len(ours(message)) == 2
    assert read_attribution(message, DOCUMENTS) == read_attribution(whole, DOCUMENTS)
    assert (
        message.tool_calls
        == whole.tool_calls
        == [{"name": "search", "args": {"q": 1}, "id": "call", "type": "tool_call"}]
    )
    assert strip_citations([message])[0].content == strip_citations([whole])[0].content == raw.content


def test_a_stream_with_reasoning_beside_its_text_gives_the_same_citations() -> None:
    chunks = [
        AIMessageChunk(content="", additional_kwargs={"reasoning_content": "H"}),
        AIMessageChunk(content="", additional_kwargs={"reasoning_content": "m."}),
        *(AIMessageChunk(content=token) for token in ("Elephants eat ", "grass and bark.")),
    ]
    attach = AttachCitations(attributor=Attributor(FakeEncoder()))
    message = summed(list(attach.transform(iter([{"context": DOCUMENTS}, *({"answer": chunk} for chunk in chunks)]))))
    whole = attach.invoke({"context": DOCUMENTS, "answer": chunks[0] + chunks[1:]})
    assert without_index(message["answer"]) == whole["answer"].content
    assert [block["type"] for block in whole["answer"].content] == ["reasoning", "text"]
    assert ours(whole["answer"])


def test_a_stream_that_is_cited_twice_is_cited_anew() -> None:
    given = {"question": "What do elephants eat?"}
    attach = AttachCitations(attributor=Attributor(FakeEncoder()))
    twice = rag(StreamingModel(script=[ANSWER])) | attach
    total = summed(list(twice.stream(given)))["answer"]
    whole = twice.invoke(given)["answer"]
    assert without_index(total) == whole.content
    assert total.response_metadata["latelens"] == whole.response_metadata["latelens"]
    assert strip_citations([total])[0].content == strip_citations([whole])[0].content == ANSWER


def test_tokens_come_as_they_are_made_and_citations_when_their_sentence_has_ended() -> None:
    seen: list[str] = []

    class Slow(StreamingModel):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            for chunk in super()._stream(*args, **kwargs):
                seen.append("made")
                yield chunk

    for chunk in rag(Slow(script=[ANSWER])).stream({"question": "What?"}):
        if "answer" in chunk:
            seen.append("cited" if ours(chunk["answer"]) else "passed")
    assert seen[:4] == ["made", "passed", "made", "passed"]
    assert seen.count("cited") == 1
    before = len(GRASS) // 7 + 1  # tokens of seven characters, of which the last begins the next sentence
    assert seen.index("cited") == 2 * before
    assert seen[-1] == "passed"


async def test_an_empty_stream_and_an_answer_made_at_once_are_cited_too() -> None:
    attach = AttachCitations(attributor=Attributor(FakeEncoder()))
    given = {"context": DOCUMENTS, "answer": AIMessage(ANSWER)}
    (chunk, last) = attach.stream(given)
    assert chunk == {"context": DOCUMENTS}
    assert last == {"answer": attach.invoke(given)["answer"]}
    assert [chunk async for chunk in attach.astream(given)] == [chunk, last]
    empty = summed(list(attach.stream({"context": [], "answer": ""})))["answer"]
    assert empty.text == ""
    assert attach.invoke({"context": [], "answer": ""})["answer"].content == ""


async def test_a_chain_that_makes_answer_and_context_side_by_side_is_cited() -> None:
    model = StreamingModel(script=[ANSWER])
    sides = {"answer": PROMPT | model, "context": RunnableLambda(lambda given: given["question"]) | FixedRetriever()}
    chain = sides | AttachCitations(attributor=Attributor(FakeEncoder()))
    total = summed([chunk async for chunk in chain.astream({"question": "What?"})])
    assert without_index(total["answer"]) == cite(ANSWER).content


async def test_the_event_loop_is_free_while_citations_are_found() -> None:
    threads: list[threading.Thread] = []

    class Watched(FakeEncoder):
        def encode_documents(self, texts: Any, *, show_progress: bool = False) -> Any:
            threads.append(threading.current_thread())
            return super().encode_documents(texts, show_progress=show_progress)

    attach = AttachCitations(attributor=Attributor(Watched(), cache=False))
    given = {"context": DOCUMENTS, "answer": ANSWER}
    await attach.ainvoke(given)
    invoked = len(threads)
    _ = [chunk async for chunk in attach.astream(given)]
    streamed = len(threads)
    middleware = EvidenceCitationMiddleware(attributor=Attributor(Watched(), cache=False))
    found = ToolMessage("", tool_call_id="1", artifact=DOCUMENTS)
    await middleware.aafter_agent({"messages": [HumanMessage("?"), found, AIMessage(ANSWER)]}, None)
    assert 0 < invoked < streamed < len(threads)
    assert threading.main_thread() not in threads


def test_keys_can_be_named_and_a_missing_one_is_explained() -> None:
    attach = AttachCitations(answer_key="output", sources_key="documents", attributor=Attributor(FakeEncoder()))
    assert ours(attach.invoke({"output": ANSWER, "documents": DOCUMENTS})["output"])
    with pytest.raises(ValueError, match=r"no 'documents', only \['output'\]: keep the retrieved documents"):
        attach.invoke({"output": ANSWER})
    with pytest.raises(ValueError, match=r"no 'output', only \['answer'\]: name its key with answer_key"):
        attach.invoke({"answer": ANSWER})
    with pytest.raises(ValueError, match="no 'documents'"):
        list(attach.stream({"output": ANSWER}))
    with pytest.raises(ValueError, match="no 'output'"):
        list(attach.stream({"documents": []}))
    for call in (attach.invoke, lambda given: list(attach.stream(given))):
        with pytest.raises(TypeError, match="a dict with 'output' and 'documents', got AIMessage"):
            call(AIMessage(ANSWER))  # type: ignore[arg-type,operator]
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        AttachCitations(top_n=3)  # type: ignore[call-arg]
    for taker in (AttachCitations, EvidenceCitationMiddleware):
        with pytest.raises((TypeError, ValueError), match=r"attributor must be an Attributor, got str: 'x'; write"):
            taker(attributor="x")


def test_messages_bring_their_sources_themselves() -> None:
    attach = AttachCitations(answer_key="messages", attributor=Attributor(FakeEncoder()))
    found = ToolMessage("", tool_call_id="1", artifact=DOCUMENTS)
    messages = [HumanMessage("What?"), found, AIMessage(ANSWER)]
    after = attach.invoke({"messages": messages})["messages"]
    assert after[:2] == messages[:2]
    assert ours(after[2])[0]["cited_text"] == GRASS
    assert list(attach.stream({"messages": messages})) == [{"messages": after}]
    with pytest.raises(TypeError, match="the last message under 'messages' is no AIMessage but HumanMessage"):
        attach.invoke({"messages": messages[:1]})


def test_the_runnable_is_described_in_json() -> None:
    described = AttachCitations(attributor=Attributor(FakeEncoder("tiny"), cache=False)).model_dump(mode="json")
    assert described["attributor"] == {"model": "tiny", "max_citations": 3, "verifier": None, "cache": False}


async def test_no_citation_is_sent_back_to_a_model_by_a_chain() -> None:
    model = ScriptedModel(script=[ANSWER])
    chain = rag(model)
    history: list[BaseMessage] = []
    for turn in range(3):
        given = {"question": f"Question {turn}", "history": history}
        answer = (chain.invoke(given) if turn % 2 else await chain.ainvoke(given))["answer"]
        assert ours(answer)
        history += [HumanMessage(given["question"]), answer]
    assert len(model.received) == 3
    check_nothing_of_ours(model)
    assert [message.content for message in model.received[-1]][1::2] == [ANSWER] * 2


def check_nothing_of_ours(model: ScriptedModel) -> None:
    """No model was ever sent a citation, a label, or content in another form than it wrote it."""
    for messages in model.received:
        for message in messages:
            if isinstance(message, AIMessage):
                assert isinstance(message.content, str)
                assert "annotations" not in json.dumps(dumpd(message))
                assert "latelens" not in message.response_metadata
                assert "output_version" not in message.response_metadata


# --- agents

CALL = AIMessage("", tool_calls=[{"name": "animals", "args": {"query": "elephants"}, "id": "call_1"}])


def agent(model: Any, *, tools: Any = None, middleware: Any = None, **options: Any) -> Any:
    from langchain.agents import create_agent

    tool = create_retriever_tool(
        FixedRetriever(), "animals", "Finds out about animals.", response_format="content_and_artifact"
    )
    cited = middleware or EvidenceCitationMiddleware(attributor=Attributor(FakeEncoder()))
    return create_agent(model, tools=tools or [tool], middleware=[cited], **options)


async def test_an_agents_answer_is_cited_sync_and_async() -> None:
    for call in ("invoke", "ainvoke"):
        app = agent(ScriptedModel(script=[CALL, AIMessage(ANSWER, id="answer")]))
        given: Any = {"messages": [HumanMessage("What do elephants eat?")]}
        messages = (app.invoke(given) if call == "invoke" else await app.ainvoke(given))["messages"]
        assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
        assert messages[-1].id == "answer"
        assert ours(messages[-1])[0]["extras"]["source_id"] == "grass"
        assert ours(messages[1]) == []
        assert messages[1].content == ""


async def test_no_citation_is_sent_back_to_a_model_by_an_agent_with_a_memory() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    model = ScriptedModel(script=[CALL, ANSWER])
    app = agent(model, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for turn in range(4):
        given: Any = {"messages": [HumanMessage(f"Question {turn}")]}
        _ = app.invoke(given, config) if turn % 2 else await app.ainvoke(given, config)
    assert len(model.received) == 8
    check_nothing_of_ours(model)
    messages = app.get_state(config).values["messages"]
    answers = [message for message in messages if isinstance(message, AIMessage) and not message.tool_calls]
    assert [len(ours(message)) for message in answers] == [1] * 4
    assert len({message.id for message in answers}) == 4


def test_an_agent_resumes_from_a_checkpoint_and_cites_what_an_earlier_turn_found() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "1"}}
    first = agent(ScriptedModel(script=[CALL, "Let me see."]), checkpointer=saver)
    first.invoke({"messages": [HumanMessage("Look elephants up.")]}, config)
    resumed = agent(ScriptedModel(script=[ANSWER]), checkpointer=saver)
    stored = resumed.get_state(config).values["messages"][2].artifact
    assert isinstance(stored[0], dict)  # a checkpoint keeps Documents as dicts
    messages = resumed.invoke({"messages": [HumanMessage("What do they eat?")]}, config)["messages"]
    assert ours(messages[-1])[0]["extras"]["source_id"] == "grass"
    kept = resumed.get_state(config).values["messages"]
    assert read_attribution(kept[-1], conversation_sources(kept)) == read_attribution(
        messages[-1], conversation_sources(messages)
    )


def test_an_agent_stops_before_its_tools_and_goes_on_from_the_checkpoint() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    model = ScriptedModel(script=[CALL, ANSWER])
    app = agent(model, checkpointer=InMemorySaver(), interrupt_before=["tools"])
    config: Any = {"configurable": {"thread_id": "1"}}
    stopped = app.invoke({"messages": [HumanMessage("What do elephants eat?")]}, config)
    assert ours(stopped["messages"][-1]) == []
    assert len(ours(app.invoke(None, config)["messages"][-1])) == 1


def test_the_cited_message_comes_with_the_updates_of_a_stream() -> None:
    app = agent(ScriptedModel(script=[CALL, ANSWER]))
    updates = list(app.stream({"messages": [HumanMessage("What?")]}, stream_mode="updates"))
    (last,) = updates[-1].values()
    assert ours(last["messages"][0])[0]["cited_text"] == GRASS


def test_a_stream_of_messages_gives_the_answer_once() -> None:
    app = agent(StreamingModel(script=[CALL, ANSWER]))
    pieces = [
        message
        for message, _ in app.stream({"messages": [HumanMessage("What?")]}, stream_mode="messages")
        if isinstance(message, AIMessage)
    ]
    assert "".join(str(piece.text) for piece in pieces) == ANSWER
    assert not any(ours(piece) for piece in pieces)


def test_a_model_that_summarizes_the_history_reads_no_citations() -> None:
    from langchain.agents import create_agent
    from langchain.agents.middleware import SummarizationMiddleware
    from langgraph.checkpoint.memory import InMemorySaver

    model, summarizer = ScriptedModel(script=[CALL, ANSWER]), ScriptedModel(script=["They talked about animals."])
    citing = EvidenceCitationMiddleware(attributor=Attributor(FakeEncoder()))
    summarizing = SummarizationMiddleware(summarizer, trigger=("messages", 5), keep=("messages", 1))
    tools = [create_retriever_tool(FixedRetriever(), "animals", "x", response_format="content_and_artifact")]
    app = create_agent(model, tools=tools, middleware=[citing, summarizing], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    for turn in range(3):
        answer = app.invoke({"messages": [HumanMessage(f"Question {turn}")]}, config)["messages"][-1]
        assert ours(answer)
    assert summarizer.received
    sent = str(summarizer.received)
    assert "Elephants eat grass" in sent
    assert "cited_text" not in sent
    assert "source_index" not in sent
    check_nothing_of_ours(model)


def test_tools_without_documents_and_documents_in_the_state_count_too() -> None:
    from langchain.agents import AgentState
    from langchain.agents.middleware import AgentMiddleware

    @tool
    def animals(query: str) -> str:
        """Finds out about animals."""
        return "Whales sing underwater, beautifully."

    class State(AgentState):
        context: list[Document]

    class Retrieve(AgentMiddleware[State]):
        state_schema = State

        def before_model(self, state: Any, runtime: Any) -> dict[str, Any]:
            return {"context": DOCUMENTS}

    from langchain.agents import create_agent

    citing = EvidenceCitationMiddleware(sources_key="context", attributor=Attributor(FakeEncoder()))
    app = create_agent(ScriptedModel(script=[CALL, ANSWER]), tools=[animals], middleware=[Retrieve(), citing])
    answer = app.invoke({"messages": [HumanMessage("What?")]})["messages"][-1]
    assert [citation["extras"]["source_id"] for citation in ours(answer)] == ["grass", "call_1"]
    assert ours(answer)[1]["title"] == "animals"


def test_an_answer_without_text_and_a_structured_response_without_fields_are_left_alone() -> None:
    middleware = EvidenceCitationMiddleware(attributor=Attributor(FakeEncoder()))
    answered = [HumanMessage("?"), AIMessage(ANSWER)]
    assert middleware.after_agent({"messages": [HumanMessage("?"), AIMessage(" ")]}, None) is None
    assert middleware.after_agent({"messages": [HumanMessage("?"), CALL]}, None) is None
    assert middleware.after_agent({"messages": []}, None) is None
    assert middleware.after_agent({"messages": answered, "structured_response": ["a"]}, None) is None
    assert middleware.after_agent({"messages": answered}, None) is not None


# --- what the user said

SAID = "The Golden Gate Bridge was painted red in 1937."
ASKED = "Was the Golden Gate Bridge red in 1937?"
BRIDGE = [Document("The bridge was painted red in the first year.", id="bridge")]


def label(message: AIMessage) -> str:
    attribution = read_attribution(message)
    assert attribution is not None
    return attribution.claims[0].label


@pytest.mark.parametrize("message", [SAID, AIMessage(SAID), AIMessage([{"type": "text", "text": SAID}])])
def test_a_name_that_the_user_said_is_not_flagged(message: Any) -> None:
    attributor = Attributor(FakeEncoder())
    assert label(attach_citations(message, BRIDGE, attributor=attributor)) == "weak"
    assert label(attach_citations(message, BRIDGE, attributor=attributor, question="Was the bridge red?")) == "weak"
    assert label(attach_citations(message, BRIDGE, attributor=attributor, question=ASKED)) == "corroborated"
    with pytest.raises(TypeError, match="question must be a str or None, got int: 3"):
        attach_citations(message, BRIDGE, attributor=attributor, question=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "weak"),
        ({"topic": ASKED}, "weak"),
        ({"question": ASKED}, "corroborated"),
        ({"input": ASKED}, "corroborated"),
        ({"query": ASKED}, "corroborated"),
        ({"question": "Was the bridge red?", "input": ASKED}, "weak"),
        ({"question": {"text": ASKED}}, "weak"),
    ],
)
def test_a_chain_finds_the_question_under_its_usual_names(given: Any, expected: str) -> None:
    attach = AttachCitations(attributor=Attributor(FakeEncoder()))
    whole = {"answer": SAID, "context": BRIDGE, **given}
    assert label(attach.invoke(whole)["answer"]) == expected
    pieces = [{"context": BRIDGE}, given, {"answer": SAID[:9]}, {"answer": SAID[9:]}]
    assert label(summed(list(attach.transform(iter(pieces))))["answer"]) == expected


def test_a_question_that_a_model_writes_anew_is_read_whole() -> None:
    attach = AttachCitations(attributor=Attributor(FakeEncoder()))
    pieces = [{"question": ASKED[:20]}, {"question": ASKED[20:]}, {"context": BRIDGE}, {"answer": SAID}]
    assert label(summed(list(attach.transform(iter(pieces))))["answer"]) == "corroborated"


def test_the_key_of_the_question_can_be_named() -> None:
    attach = AttachCitations(question_key="topic", attributor=Attributor(FakeEncoder()))
    given = {"answer": SAID, "context": BRIDGE}
    assert label(attach.invoke({**given, "topic": ASKED})["answer"]) == "corroborated"
    assert label(attach.invoke({**given, "topic": "The bridge?", "question": ASKED})["answer"]) == "weak"
    for call in (attach.invoke, lambda given: list(attach.stream(given))):
        with pytest.raises(ValueError, match=r"no 'topic', only \['answer', 'context'\]: name the question's key"):
            call(given)
        with pytest.raises(TypeError, match="question must be a str or None, got int: 3"):
            call({**given, "topic": 3})


def test_an_answer_is_never_taken_for_the_question() -> None:
    attach = AttachCitations(answer_key="input", attributor=Attributor(FakeEncoder()))
    assert label(attach.invoke({"input": SAID, "context": BRIDGE})["input"]) == "weak"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([HumanMessage(ASKED)], "corroborated"),
        ([HumanMessage(ASKED), AIMessage("Which?"), HumanMessage("The red one.")], "weak"),
        ([HumanMessage(ASKED, additional_kwargs={"lc_source": "summarization"})], "weak"),
        ([], "weak"),
    ],
)
def test_the_question_of_a_conversation_is_the_last_human_message(asked: Any, expected: str) -> None:
    attributor = Attributor(FakeEncoder())
    messages = [*asked, ToolMessage("", tool_call_id="1", artifact=BRIDGE), AIMessage(SAID)]
    update = EvidenceCitationMiddleware(attributor=attributor).after_agent({"messages": messages}, None)
    assert update is not None
    assert label(update["messages"][0]) == expected
    attach = AttachCitations(answer_key="messages", attributor=attributor)
    assert label(attach.invoke({"messages": messages})["messages"][-1]) == expected


# --- the real model, and what is not installed


def test_meaning_counts_with_the_offline_model(offline: Encoder) -> None:
    message = attach_citations("Elephants consume grass.", DOCUMENTS, attributor=Attributor(offline))
    assert ours(message)[0]["cited_text"] == GRASS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chain = rag(
            GenericFakeChatModel(messages=iter(["Elephants consume grass."])),
            attach=AttachCitations(attributor=Attributor(offline)),
        )
        total = summed(list(chain.stream({"question": "What do elephants eat?"})))["answer"]
    assert ours(total) == ours(message)


def test_a_model_given_by_name_is_loaded_once(offline: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Any] = []

    def counted(*arguments: Any, **options: Any) -> Encoder:
        loads.append(arguments)
        return offline

    monkeypatch.setattr("latelens.encoders.lazy.load", counted)
    name = "a model that no other test loads"
    attributor = Attributor(name)
    assert attach_citations(ANSWER, DOCUMENTS, attributor=attributor) == attach_citations(
        ANSWER, DOCUMENTS, attributor=attributor
    )
    assert len(loads) == 1


WITHOUT_LANGCHAIN = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("langchain", "langgraph"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import langchain_latelens
import langchain_latelens.citations, langchain_latelens.chain
try:
    import langchain_latelens.middleware
except ImportError as error:
    print(error)
"""


def test_only_the_middleware_needs_langchain() -> None:
    out = subprocess.run([sys.executable, "-c", WITHOUT_LANGCHAIN], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "EvidenceCitationMiddleware needs langchain: run `pip install 'langchain>=1,<2'`"
