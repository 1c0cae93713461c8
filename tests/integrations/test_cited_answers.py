"""What both adapters promise of a cited answer: sources as the model saw them, marks, streams and fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, CitationBlock
from llama_index.core.base.response.schema import Response
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

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
