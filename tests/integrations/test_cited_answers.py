"""What both adapters promise of a cited answer: sources as the model saw them, marks, streams and fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import AgentOutput, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, CitationBlock, CompletionResponse
from llama_index.core.base.response.schema import PydanticResponse, Response
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms.mock import MockLLM
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from pydantic import BaseModel

import langchain_latelens
import llama_index_latelens
from latelens import Attributor, Encoder
from latelens.attribution import Attribution


class LangChainAnswers:
    """The calls of LangChain's side."""

    def source(self, text: str, name: str = "x", **metadata: Any) -> Document:
        return Document(text, id=name, metadata=metadata)

    def cite(self, answer: Any, sources: Any, *, shown: Sequence[str] = (), **options: Any) -> AIMessage:
        return langchain_latelens.attach_citations(answer, sources, metadata_keys=shown, **options)

    def read(self, cited: Any, sources: Any = None) -> Attribution:
        found = langchain_latelens.read_attribution(cited, sources)
        assert found is not None
        return found

    text = staticmethod(lambda cited: str(cited.text))
    marks = staticmethod(langchain_latelens.read_checked_marks)
    cite_fields = staticmethod(langchain_latelens.cite_fields)

    def quoted(self, searches: Sequence[str], sources: Any, answer: str, **options: Any) -> AIMessage:
        """An agent's answer, after searches with the evidence tool."""
        retriever = langchain_latelens.LateInteractionRetriever.from_documents(sources, FakeEncoder(), k=1)
        tool = langchain_latelens.create_evidence_tool(retriever, "quotes", "d")
        calls = [{"name": "quotes", "args": {"query": query}, "id": query, "type": "tool_call"} for query in searches]
        messages = [HumanMessage("Tell me."), *map(tool.invoke, calls), AIMessage(answer)]
        middleware = langchain_latelens.EvidenceCitationMiddleware(**options)
        update = middleware.after_agent({"messages": messages}, None)
        assert update is not None
        cited: AIMessage = update["messages"][0]
        return cited


class LlamaIndexAnswers:
    """The calls of LlamaIndex's side."""

    def source(self, text: str, name: str = "x", **metadata: Any) -> NodeWithScore:
        return NodeWithScore(node=TextNode(text=text, id_=name, metadata=metadata))

    def cite(self, answer: Any, sources: Any, *, shown: Sequence[str] = (), **options: Any) -> ChatMessage:
        if isinstance(answer, str):
            answer = ChatMessage(answer, role="assistant")
        for found in sources:
            keys = [key for key in found.node.metadata if key not in shown]
            found.node.excluded_llm_metadata_keys = keys
        return llama_index_latelens.attach_citations(answer, sources, **options)

    def read(self, cited: Any, sources: Any = None) -> Attribution:
        found = llama_index_latelens.read_attribution(cited, sources)
        assert found is not None
        return found

    text = staticmethod(lambda cited: cited.content)
    marks = staticmethod(llama_index_latelens.read_checked_marks)
    cite_fields = staticmethod(llama_index_latelens.cite_fields)

    def quoted(self, searches: Sequence[str], sources: Any, answer: str, **options: Any) -> ChatMessage:
        """An agent's answer, after searches with the evidence tool."""
        retriever = llama_index_latelens.LateInteractionRetriever.from_nodes(
            [found.node for found in sources], FakeEncoder(), similarity_top_k=1
        )
        tool = llama_index_latelens.create_evidence_tool(retriever, "quotes", "d")
        collector = llama_index_latelens.EvidenceCollector()
        for query in searches:
            called: Any = {"tool_name": "quotes", "tool_kwargs": {}, "tool_id": query, "return_direct": False}
            collector.add(ToolCallResult(**called, tool_output=tool(query)))
        message = ChatMessage(answer, role="assistant")
        return llama_index_latelens.attach_citations(message, collector, **options)


@pytest.fixture(params=[LangChainAnswers(), LlamaIndexAnswers()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session")
def attributor(offline: Encoder) -> Attributor:
    return Attributor(offline)


# Sources as the model saw them

NOTES = "The notes describe how a machine could compute numbers."
WROTE = "The author is Ada Lovelace. Interest rates rose sharply in spring."


def test_metadata_that_the_model_saw_is_cited_under_its_key(side: Any, attributor: Attributor) -> None:
    sources = [side.source(NOTES, "n", author="Ada Lovelace", year=1843, note="seen by nobody")]
    cited = side.cite(WROTE, sources, shown=["author", "year"], attributor=attributor)
    for given in (None, sources):
        attribution = side.read(cited, given)
        (citation,) = attribution.claims[0].citations
        assert (citation.key, citation.cited_text, citation.source_id) == ("author", "Ada Lovelace", "n")
        assert attribution.quoted_from(citation) == "Ada Lovelace"
    assert side.read(cited, sources).sources[0].shown == {"author": "Ada Lovelace", "year": "1843"}
    hidden = side.cite(WROTE, sources, attributor=attributor)
    assert {citation.key for citation in side.read(hidden, sources).citations} <= {None}
    assert side.read(hidden).claims[0].label != "corroborated"


def test_the_nearest_sentence_of_a_claim_without_evidence_comes_back(side: Any, attributor: Attributor) -> None:
    sources = [side.source("It rained. Loans cost more than a year ago.", "bank"), side.source(NOTES, "n")]
    cited = side.cite("Interest rates in spring were told by whales.", sources, attributor=attributor)
    (claim,) = side.read(cited).claims
    (again,) = side.read(cited, sources).claims
    assert claim.label == "no_evidence"
    assert claim.nearest == again.nearest is not None
    assert claim.nearest.cited_text in (NOTES, "It rained.", "Loans cost more than a year ago.")


def test_one_key_in_place_of_several_and_an_unknown_mode_are_refused(attributor: Attributor) -> None:
    documents, nodes = [Document(NOTES)], [TextNode(text=NOTES)]
    with pytest.raises(TypeError, match="metadata_keys must be a sequence of str, got one str"):
        langchain_latelens.attach_citations(WROTE, documents, metadata_keys="title", attributor=attributor)
    for taker in (langchain_latelens.AttachCitations, langchain_latelens.EvidenceCitationMiddleware):
        with pytest.raises((TypeError, ValueError), match="metadata_keys"):
            taker(metadata_keys="title", attributor=attributor)
    with pytest.raises(ValueError, match="'some' is not a valid MetadataMode"):
        llama_index_latelens.attach_citations(WROTE, nodes, metadata_mode="some", attributor=attributor)


def test_a_chain_and_an_agent_cite_what_their_prompt_showed(attributor: Attributor) -> None:
    documents = [Document(NOTES, id="n", metadata={"author": "Ada Lovelace"})]
    options: Any = {"metadata_keys": ["author"], "attributor": attributor}
    attach = langchain_latelens.AttachCitations(**options)
    whole = attach.invoke({"answer": WROTE, "context": documents})["answer"]
    *pieces, last = (chunk["answer"] for chunk in attach.stream({"answer": WROTE, "context": documents}))
    streamed = sum(pieces[1:], pieces[0]) + last
    middleware = langchain_latelens.EvidenceCitationMiddleware(**options)
    update = middleware.after_agent({"messages": [ToolMessage("", tool_call_id="1", artifact=documents), whole]}, None)
    for message in (whole, streamed, update["messages"][0] if update else None):
        assert [citation.key for citation in LangChainAnswers().read(message).citations] == ["author"]
        (annotation,) = message.content_blocks[0]["annotations"]
        assert annotation["extras"]["key"] == "author"


def test_a_node_shows_what_its_mode_shows_and_nothing_that_a_model_wrote(attributor: Attributor) -> None:
    node = TextNode(text=NOTES, id_="n", metadata={"author": "Ada Lovelace", "document_title": "The author is Ada."})
    cited = llama_index_latelens.attach_citations(Response(WROTE, [NodeWithScore(node=node)]), attributor=attributor)
    attribution = LlamaIndexAnswers().read(cited)
    assert attribution.sources[0].shown == {"author": "Ada Lovelace"}
    assert LlamaIndexAnswers().read(cited, [node.to_dict()]) == attribution
    bare = llama_index_latelens.attach_citations(cited, metadata_mode=MetadataMode.NONE, attributor=attributor)
    assert LlamaIndexAnswers().read(bare).sources[0].shown == {}
    message = llama_index_latelens.attach_citations(ChatMessage(WROTE), [node], attributor=attributor)
    (block,) = (block for block in message.blocks if isinstance(block, CitationBlock))
    assert (block.title, block.cited_content.text) == ("n (author)", "Ada Lovelace")


# Marks that a model wrote

GRASS, SONG = "Elephants eat grass and bark.", "Whales sing under water."
MARKED = "Elephants eat grass and bark [2]. Whales sing under water [2]."


def animals(side: Any) -> list[Any]:
    return [side.source(f"It rained. {GRASS}", "grass"), side.source(SONG, "song")]


@pytest.mark.parametrize(
    ("handling", "text"),
    [
        ("keep", MARKED),
        ("move", "Elephants eat grass and bark [1]. Whales sing under water [2]."),
        ("flag", "Elephants eat grass and bark [2?]. Whales sing under water [2]."),
        ("strip", f"{GRASS} {SONG}"),
    ],
)
def test_marks_of_a_model_are_checked_and_handled(side: Any, attributor: Attributor, handling: Any, text: str) -> None:
    sources = animals(side)
    cited = side.cite(MARKED, sources, marks=handling, attributor=attributor)
    assert side.text(cited) == text
    assert [(each.number, each.verdict, each.better) for each in side.marks(cited)] == [
        (2, "elsewhere", 1),
        (2, "backed", 2),
    ]
    attribution = side.read(cited, sources)
    assert attribution.answer == text
    assert [claim.text for claim in attribution.claims] == [f"{part}." for part in text.rstrip(".").split(". ")]
    assert [citation.source_id for citation in attribution.citations] == ["grass", "song"]
    assert side.marks(side.cite(MARKED, sources, attributor=attributor)) == ()
    again = side.cite(text, sources, marks="keep", attributor=attributor)
    assert [each.number for each in side.marks(again)] == {"move": [1, 2], "strip": []}.get(handling, [2, 2])


def test_marks_are_read_against_the_tools_quotes_whose_numbers_go_on(side: Any, attributor: Attributor) -> None:
    answer = "Whales sing under water [2]. Elephants eat grass and bark [2]. Elephants fly [7]."
    options: Any = {"marks": "move", "attributor": attributor}
    cited = side.quoted(["What do elephants eat?", "Do whales sing under water?"], animals(side), answer, **options)
    assert side.text(cited) == "Whales sing under water [2]. Elephants eat grass and bark [1]. Elephants fly."
    assert [(each.number, each.verdict) for each in side.marks(cited)] == [
        (2, "backed"), (2, "elsewhere"), (7, "unknown"),
    ]  # fmt: skip
    assert {citation.source_id for citation in side.read(cited).citations} == {"grass", "song"}


def test_an_unknown_way_to_handle_marks_is_refused(side: Any, attributor: Attributor) -> None:
    takers: list[Any] = [
        lambda **options: side.cite(MARKED, animals(side), **options),
        langchain_latelens.AttachCitations,
        langchain_latelens.EvidenceCitationMiddleware,
    ]
    for taker in takers:
        with pytest.raises(ValueError, match="marks must be None, 'keep', 'move', 'flag' or 'strip', got 'drop'"):
            taker(marks="drop", attributor=attributor)


def test_rewritten_marks_leave_what_stands_around_them_in_place(attributor: Attributor) -> None:
    theirs = {"type": "citation", "start_index": 34, "end_index": 62, "cited_text": "x"}
    content: list[Any] = [
        {"type": "text", "text": MARKED, "annotations": [theirs]},
        {"type": "tool_call", "name": "f", "args": {}, "id": "1"},
        {"type": "text", "text": "Whales sing under water [1]."},
    ]
    message = AIMessage(content, response_metadata={"output_version": "v1"})
    cited = LangChainAnswers().cite(message, animals(LangChainAnswers()), marks="strip", attributor=attributor)
    first, call, last = cited.content_blocks
    assert (first["text"], call["type"], last["text"]) == (f"{GRASS} {SONG}", "tool_call", SONG)
    note = first["annotations"][0]
    assert first["text"][note["start_index"] : note["end_index"]] == SONG
    for block in (first, last):
        for ours in block["annotations"]:
            assert block["text"][ours["start_index"] : ours["end_index"]] in (GRASS, SONG)
    assert [each.claim for each in langchain_latelens.read_checked_marks(cited)] == [0, 1, 2]
    assert langchain_latelens.strip_citations([cited])[0] == message
    plain = LangChainAnswers().cite(MARKED, animals(LangChainAnswers()), marks="move", attributor=attributor)
    assert langchain_latelens.strip_citations([plain])[0].content == MARKED
    uncited = LangChainAnswers().cite("Nothing [1].", [], marks="move", attributor=attributor)
    assert (uncited.content, langchain_latelens.strip_citations([uncited])[0].content) == ("Nothing.", "Nothing [1].")


def test_a_stream_whose_marks_may_change_comes_once(attributor: Attributor) -> None:
    documents = animals(LangChainAnswers())
    attach = langchain_latelens.AttachCitations(marks="move", attributor=attributor)
    pieces = [{"context": documents}, {"answer": MARKED[:20]}, {"answer": MARKED[20:]}]
    first, *others = [chunk for chunk in attach.transform(iter(pieces)) if chunk]
    assert first == {"context": documents}
    assert others == [{"answer": attach.invoke({"context": documents, "answer": MARKED})["answer"]}]
    kept = langchain_latelens.AttachCitations(marks="keep", attributor=attributor)
    total = sum_of(kept.transform(iter(pieces)))["answer"]
    assert langchain_latelens.read_checked_marks(total) == langchain_latelens.read_checked_marks(others[0]["answer"])
    assert total.text == MARKED


# Fields of structured answers


class Author(BaseModel):
    name: str
    born: int = 1815


class Work(BaseModel):
    title: str
    author: Author
    remarks: list[str] = []


WORK = Work(title="Notes", author=Author(name="Ada Lovelace"), remarks=["", "It describes a machine.", "It sold well."])
BOOK = "Ada Lovelace wrote the notes. The book describes how a machine could compute."


@pytest.mark.parametrize("made", [lambda: WORK, WORK.model_dump, lambda: {"title": "Notes", **WORK.model_dump()}])
def test_each_text_field_is_attributed_under_its_path(side: Any, attributor: Attributor, made: Any) -> None:
    found = side.cite_fields(made(), [side.source(BOOK, "book")], attributor=attributor)
    assert list(found) == ["title", "author.name", "remarks[1]", "remarks[2]"]
    assert found["remarks[1]"].answer == "It describes a machine."
    assert found["author.name"].citations[0].cited_text == "Ada Lovelace wrote the notes."
    assert found["remarks[1]"].citations[0].cited_text == "The book describes how a machine could compute."
    assert [claim.label for claim in found["remarks[2]"].claims] == ["no_evidence"]
    with pytest.raises(TypeError, match="fields are of a Pydantic object, a dataclass or a dict, got str: 'Notes'"):
        side.cite_fields("Notes", [side.source(BOOK)], attributor=attributor)


def by_path(found: Any) -> dict[str, Any]:
    return {path: attribution.claims for path, attribution in found.items()}


def test_a_chain_keeps_the_citations_of_fields_beside_them(attributor: Attributor) -> None:
    documents = [Document(BOOK, id="book", metadata={"title": "Notes"})]
    attach = langchain_latelens.AttachCitations(attributor=attributor, metadata_keys=["title"])
    expected = langchain_latelens.cite_fields(WORK, documents, attributor=attributor, metadata_keys=["title"])
    for answer in (WORK, WORK.model_dump()):
        given = {"context": documents, "answer": answer}
        outputs = [attach.invoke(given), sum_of(attach.stream(given))]
        for output in outputs:
            assert output["answer"] == answer
            written = json.loads(json.dumps(output["answer_citations"]))
            assert langchain_latelens.read_fields(written, documents) == expected
            assert by_path(langchain_latelens.read_fields(written)) == by_path(expected)
    assert expected["title"].citations[0].key == "title"


async def test_an_agents_structured_response_is_attributed(attributor: Attributor) -> None:
    call = {"name": "Work", "args": WORK.model_dump(), "id": "1"}
    search = {"name": "books", "args": {"query": "x"}, "id": "0"}
    middleware = langchain_latelens.EvidenceCitationMiddleware(attributor=attributor)
    for asked in ("invoke", "ainvoke"):
        app = agent([AIMessage("", tool_calls=[search]), AIMessage("", tool_calls=[call])], middleware, Work)
        given: Any = {"messages": [HumanMessage("Who wrote it?")]}
        state = app.invoke(given) if asked == "invoke" else await app.ainvoke(given)
        assert state["structured_response"] == WORK
        found = langchain_latelens.read_fields(state["structured_response_citations"])
        assert found["author.name"].citations[0].source_id == "book"


def agent(script: list[AIMessage], middleware: Any, response_format: Any = None) -> Any:
    from langchain.agents import create_agent
    from langchain.agents.structured_output import ToolStrategy

    @tool(response_format="content_and_artifact")
    def books(query: str) -> tuple[str, list[Document]]:
        """Finds books."""
        return query, [Document(BOOK, id="book")]

    strategy = None if response_format is None else ToolStrategy(response_format)
    model = Tokens(messages=iter(script))
    return create_agent(model, tools=[books], middleware=[middleware], response_format=strategy)


class Tokens(GenericFakeChatModel):
    """LangChain's fake model, which streams word by word; it takes tools."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


class Json(MockLLM):
    """Answers with an object."""

    def complete(self, prompt: str, *args: Any, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=WORK.model_dump_json())


async def test_an_engine_with_output_cls_is_attributed_by_fields(attributor: Attributor) -> None:
    index = VectorStoreIndex([TextNode(text=BOOK, id_="book")], embed_model=MockEmbedding(embed_dim=8))
    inner = index.as_query_engine(llm=Json(), output_cls=Work)
    engine = llama_index_latelens.EvidenceCitationQueryEngine(inner, attributor=attributor)
    for response in (engine.query("Who?"), await engine.aquery("Who?")):
        assert isinstance(response, PydanticResponse)
        assert response.response == WORK
        found = llama_index_latelens.read_fields(response)
        assert found["author.name"].citations[0].source_id == "book"
        assert by_path(found) == by_path(llama_index_latelens.read_fields(response, response.source_nodes))
        assert llama_index_latelens.read_attribution(response) is None
    streaming = index.as_query_engine(llm=Json(), output_cls=Work, streaming=True)
    with pytest.raises(ValueError, match="an engine with output_cls that streams cannot be cited"):
        llama_index_latelens.EvidenceCitationQueryEngine(streaming, attributor=attributor)


def test_an_agents_output_has_its_text_and_its_fields_attributed(attributor: Attributor) -> None:
    text = ChatMessage("Ada Lovelace wrote the notes.", role="assistant")
    output = AgentOutput(response=text, current_agent_name="a", structured_response=WORK.model_dump())
    cited = llama_index_latelens.attach_citations(output, [TextNode(text=BOOK, id_="book")], attributor=attributor)
    cited = AgentOutput.model_validate_json(cited.model_dump_json())
    assert LlamaIndexAnswers().read(cited).claims[0].label == "corroborated"
    assert llama_index_latelens.read_fields(cited)["author.name"].citations[0].source_id == "book"


def sum_of(chunks: Any) -> Any:
    total, *others = chunks
    for chunk in others:
        total = total + chunk
    return total
