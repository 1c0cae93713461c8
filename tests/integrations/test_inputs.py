"""What is given once is read once; what is no sequence of chunks, or was read before, is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.schema import NodeWithScore, TextNode
from sides import LangChainSide, LlamaIndexSide

import langchain_latelens
import llama_index_latelens
from latelens import Attributor
from latelens.bridge.arguments import listed

QUERY = "What do elephants eat?"
TEXT = "Elephants eat grass."
BOTH = {"langchain": langchain_latelens.attach_citations, "llama_index": llama_index_latelens.attach_citations}


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


def chunk_for_storing(side: Any, name: str = "x") -> Any:
    chunk = side.chunk(TEXT, name)
    return chunk.node if isinstance(chunk, NodeWithScore) else chunk


def raw_rerank(side: Any, chunks: Any, reranker: Any = None) -> Any:
    reranker = reranker or side.Rerank(model=FakeEncoder())
    if isinstance(side, LangChainSide):
        return reranker.compress_documents(chunks, QUERY)
    return reranker.postprocess_nodes(chunks, query_str=QUERY)


def make(side: Any, chunks: Any, **options: Any) -> Any:
    maker = side.Retriever.from_documents if isinstance(side, LangChainSide) else side.Retriever.from_nodes
    return maker(chunks, FakeEncoder(), **options)


def test_a_generator_of_chunks_is_read_once(side: Any) -> None:
    given = [side.chunk(TEXT, "a"), side.chunk("It rained.", "b")]
    assert raw_rerank(side, (chunk for chunk in given)) == raw_rerank(side, given)
    many = make(side, (chunk_for_storing(side, name) for name in "abc"), split=True, return_parents=True)
    assert len(side.search(many, QUERY)) == 3


async def test_a_generator_of_chunks_is_read_once_off_the_event_loop(side: Any) -> None:
    given = [side.chunk(TEXT, "a"), side.chunk("It rained.", "b")]
    reranker = side.Rerank(model=FakeEncoder())
    if isinstance(side, LangChainSide):
        found = await reranker.acompress_documents((chunk for chunk in given), QUERY)
    else:
        found = await reranker.apostprocess_nodes((chunk for chunk in given), query_str=QUERY)
    assert len(found) == 2


def test_one_in_place_of_several_and_texts_in_place_of_chunks_are_refused(side: Any) -> None:
    for wrong in (TEXT, side.chunk(TEXT)):
        with pytest.raises(TypeError, match=r"must be a sequence of \w+, got one \w+: .+; put it in a list"):
            raw_rerank(side, wrong)
    with pytest.raises(TypeError, match=r"\[1\] must be a (Document|NodeWithScore), got str: 'a'; write"):
        raw_rerank(side, [side.chunk(TEXT), "a"])
    for wrong in (TEXT, chunk_for_storing(side)):
        with pytest.raises(TypeError, match="put it in a list"):
            make(side, wrong)
        with pytest.raises(TypeError, match="put it in a list"):
            list(_to_chunks(side, wrong))
    with pytest.raises(TypeError, match=r"\[0\] must be a \w+, got str: 'a'"):
        make(side, ["a"])
    with pytest.raises(TypeError, match=r"got int: 3"):
        raw_rerank(side, 3)


def _to_chunks(side: Any, given: Any) -> Any:
    module = langchain_latelens if isinstance(side, LangChainSide) else llama_index_latelens
    return module.to_chunks(given)


def test_scored_nodes_are_no_nodes_to_store() -> None:
    with pytest.raises(TypeError, match=r"nodes\[0\] must be a BaseNode, got NodeWithScore.*take .node"):
        llama_index_latelens.LateInteractionRetriever.from_nodes([LlamaIndexSide().chunk(TEXT)], FakeEncoder())  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"nodes\[0\] must be a NodeWithScore, got TextNode.*write NodeWithScore"):
        llama_index_latelens.LateInteractionRerank(model=FakeEncoder()).postprocess_nodes([TextNode(text="a")])  # type: ignore[list-item]


def test_texts_with_embeddings_or_one_text_are_refused() -> None:
    from_texts = langchain_latelens.LateInteractionRetriever.from_texts
    with pytest.raises(TypeError, match="latelens takes no embeddings: pass a late-interaction model"):
        from_texts([TEXT], DeterministicFakeEmbedding(size=8))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"texts must be a sequence of str, got one str: '.+'; put it in a list"):
        from_texts(TEXT, model=FakeEncoder())
    with pytest.raises(TypeError, match=r"texts\[0\] must be a str, got Document.*and add_documents take Documents"):
        from_texts([Document(TEXT)], model=FakeEncoder())  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"metadatas\[0\] must be a dict, got str"):
        from_texts([TEXT], ["en"], FakeEncoder())  # type: ignore[list-item]
    with pytest.raises(TypeError, match="ids must be a sequence of str, got one str: '"):
        from_texts([TEXT], model=FakeEncoder(), ids="a")
    made = from_texts((text for text in [TEXT, "It rained."]), ({} for _ in range(2)), FakeEncoder(), ids=iter("ab"))  # type: ignore[arg-type]
    assert [document.id for document in made.invoke(QUERY)] == ["a", "b"]


@pytest.mark.parametrize("attach", BOTH.values(), ids=BOTH.keys())
def test_one_source_in_place_of_several_is_refused_and_a_generator_is_read_once(attach: Any) -> None:
    attributor = Attributor(FakeEncoder())
    for wrong in (TEXT, Document(TEXT), TextNode(text=TEXT), NodeWithScore(node=TextNode(text=TEXT)), {"a": 1}, 3):
        with pytest.raises(TypeError, match="source"):
            attach("Elephants eat grass.", wrong, attributor=attributor)
    assert "grass" in str(attach(TEXT, (text for text in [TEXT]), attributor=attributor))


def test_a_text_without_sources_is_refused_not_flagged() -> None:
    with pytest.raises(ValueError, match="a text names no sources: pass sources="):
        llama_index_latelens.attach_citations("Elephants eat grass.", attributor=Attributor(FakeEncoder()))
    empty = llama_index_latelens.attach_citations(Response(TEXT, []), attributor=Attributor(FakeEncoder()))
    assert llama_index_latelens.read_attribution(empty).flagged  # type: ignore[union-attr]


def tokens() -> Iterator[str]:
    yield from ("Elephants ", "eat ", "grass.")


async def async_tokens() -> AsyncIterator[str]:
    for token in tokens():
        yield token


async def test_a_stream_that_was_read_before_is_refused() -> None:
    attributor = Attributor(FakeEncoder())
    sources = [NodeWithScore(node=TextNode(text=TEXT))]
    for read in (1, 3, 4):
        stream = StreamingResponse(tokens(), sources)  # type: ignore[arg-type]
        for _ in zip(range(read), stream.response_gen, strict=False):
            pass
        with pytest.raises(ValueError, match=r"have been read already.*attach citations before reading it"):
            llama_index_latelens.attach_citations(stream, attributor=attributor)
    ended = AsyncStreamingResponse(async_tokens(), sources)  # type: ignore[arg-type]
    assert [token async for token in ended.response_gen]
    with pytest.raises(ValueError, match="have been read already"):
        llama_index_latelens.attach_citations(ended, attributor=attributor)


async def test_a_stream_that_kept_its_text_is_cited() -> None:
    attributor = Attributor(FakeEncoder())
    sources = [NodeWithScore(node=TextNode(text=TEXT))]
    kept = StreamingResponse(tokens(), sources)  # type: ignore[arg-type]
    assert str(kept) == TEXT
    cited = llama_index_latelens.attach_citations(kept, attributor=attributor)
    assert str(cited) == TEXT
    assert llama_index_latelens.read_attribution(cited).references  # type: ignore[union-attr]
    unread = llama_index_latelens.attach_citations(
        AsyncStreamingResponse(async_tokens(), sources),  # type: ignore[arg-type]
        attributor=attributor,
    )
    assert (await unread.get_response()).response == TEXT


def test_items_are_named_by_their_place() -> None:
    assert listed("texts", iter("ab"), str) == ["a", "b"]
    with pytest.raises(TypeError, match=r"texts\[1\] must be a str or int, got float: 2.0; say more"):
        listed("texts", ["a", 2.0], (str, int), wrap="say more")
