"""Arguments of one call: each reaches whom it is for, and none is dropped in silence."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from sides import LangChainSide, LlamaIndexSide

from langchain_latelens import LateInteractionRerank, LateInteractionRetriever

TEXTS = {"grass": "Elephants eat grass and bark.", "elephants": "Elephants roam.", "rain": "It rained all night."}
QUERY = "What do elephants eat?"


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


def chunks_of(side: Any) -> list[Any]:
    return [side.chunk(text, name, owner="a" if name == "rain" else "b") for name, text in TEXTS.items()]


def ask(side: Any, reranker: Any, **asked: Any) -> list[str]:
    if isinstance(side, LangChainSide):
        found = reranker.compress_documents(chunks_of(side), QUERY, **asked)
    else:
        found = reranker.postprocess_nodes(chunks_of(side), query_str=QUERY, **asked)
    return [side.name(chunk) for chunk in found]


def find(side: Any, retriever: Any, **asked: Any) -> list[Any]:
    if isinstance(side, LangChainSide):
        return retriever.invoke(QUERY, **asked)
    names = {"k": "similarity_top_k", "filter": "filters"}
    return retriever.retrieve(QUERY, **{names.get(name, name): value for name, value in asked.items()})


def test_a_reranker_takes_its_options_for_one_call(side: Any) -> None:
    reranker = side.Rerank(model=FakeEncoder(), top_n=2)
    assert ask(side, reranker, top_n=1) == ["grass"]
    assert len(ask(side, reranker, top_n=None)) == 3
    assert ask(side, reranker, min_score=2.5) == ["grass"]
    assert len(ask(side, reranker)) == 2
    with pytest.raises(ValueError, match="top_n must be at least 1, got 0"):
        ask(side, reranker, top_n=0)
    with pytest.raises(ValueError, match="'fake' has no calibration"):
        ask(side, reranker, min_relevance=0.5)


async def test_a_reranker_takes_its_options_for_one_call_off_the_event_loop(side: Any) -> None:
    reranker = side.Rerank(model=FakeEncoder())
    if isinstance(side, LangChainSide):
        found = await reranker.acompress_documents(chunks_of(side), QUERY, top_n=1, explain="off")
    else:
        found = await reranker.apostprocess_nodes(chunks_of(side), query_str=QUERY, top_n=1, explain="off")
    assert [side.name(chunk) for chunk in found] == ["grass"]
    assert "latelens" not in side.metadata(found[0])


def test_a_call_encodes_nothing_again(side: Any) -> None:
    encoder = FakeEncoder()
    reranker = side.Rerank(model=encoder)
    for top_n in (1, 2, None):
        ask(side, reranker, top_n=top_n)
    assert len(encoder.encoded) == len(TEXTS)


def test_an_unknown_argument_of_a_rerankers_call_is_refused_with_the_known_ones(side: Any) -> None:
    with pytest.raises(TypeError, match="a call takes explain, min_relevance, min_score, top_n, got 'topn'"):
        ask(side, side.Rerank(model=FakeEncoder()), topn=1)


def test_a_retriever_takes_its_options_for_one_call(side: Any) -> None:
    retriever = side.retriever(chunks_of(side), FakeEncoder(), k=2)
    assert [side.name(chunk) for chunk in find(side, retriever, k=1)] == ["grass"]
    assert [side.name(chunk) for chunk in find(side, retriever, filter={"owner": "a"})] == ["rain"]
    assert [side.name(chunk) for chunk in find(side, retriever, min_score=2.5)] == ["grass"]
    assert "latelens" not in side.metadata(find(side, retriever, explain="off")[0])
    assert len(find(side, retriever, k=None, filter=None, explain=None)) == 2
    with pytest.raises(ValueError, match="no calibration"):
        find(side, retriever, min_relevance=0.5)
    with pytest.raises(TypeError, match=r"a call takes explain, filters?, .*got 'fliter'"):
        find(side, retriever, fliter={"owner": "a"})
    assert len(find(side, retriever)) == 2


def test_what_one_call_asks_leaves_the_next_alone_in_threads(side: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    retriever = side.retriever(chunks_of(side), FakeEncoder(), k=3)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda k: len(find(side, retriever, k=k)), [1, 2, 3] * 20))
    assert counts == [1, 2, 3] * 20


# A LangChain retriever with a reranker behind it


def store() -> InMemoryVectorStore:
    made = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    made.add_documents(chunks_of(LangChainSide()))
    return made


def owners(found: list[Document]) -> set[str]:
    return {document.metadata["owner"] for document in found}


async def test_a_filter_and_k_reach_the_base_retriever() -> None:
    retriever = LateInteractionRerank(model=FakeEncoder()).as_retriever(store().as_retriever())
    only = {"filter": lambda document: document.metadata["owner"] == "a"}
    assert owners(retriever.invoke(QUERY)) == {"a", "b"}
    assert owners(retriever.invoke(QUERY, **only)) == {"a"}
    assert owners(await retriever.ainvoke(QUERY, **only)) == {"a"}
    assert owners(retriever.bind(**only).invoke(QUERY)) == {"a"}
    assert [owners(found) for found in retriever.batch([QUERY, QUERY], **only)] == [{"a"}, {"a"}]
    assert len(retriever.invoke(QUERY, k=1)) == 1
    assert [document.id for document in retriever.invoke(QUERY, top_n=1)] == ["grass"]


def test_ours_behind_ours_takes_a_filter_too() -> None:
    base = LateInteractionRetriever.from_documents(chunks_of(LangChainSide()), FakeEncoder())
    retriever = LateInteractionRerank(model=FakeEncoder()).as_retriever(base)
    assert owners(retriever.invoke(QUERY, filter={"owner": "a"}, k=1)) == {"a"}
    with pytest.raises(TypeError, match="got 'fliter'"):
        retriever.invoke(QUERY, fliter={"owner": "a"})


class Plain(BaseRetriever):
    """Takes nothing for one call: LangChain drops what it is given."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return chunks_of(LangChainSide())


class WithK(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any, k: int = 3) -> list[Document]:
        return chunks_of(LangChainSide())[:k]


@pytest.mark.parametrize("base", [Plain(), Plain().bind(), Plain().configurable_fields(tags=ConfigurableField(id="t"))])
def test_what_a_base_retriever_would_drop_is_refused(base: Any) -> None:
    retriever = LateInteractionRerank(model=FakeEncoder()).as_retriever(base)
    with pytest.raises(TypeError, match="a call takes explain, min_relevance, min_score, top_n, got 'filter'"):
        retriever.invoke(QUERY, filter={"owner": "a"})


def test_what_a_retriever_behind_a_compression_retriever_would_drop_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_classic.retrievers import ContextualCompressionRetriever
    reranker = LateInteractionRerank(model=FakeEncoder())
    only = {"filter": lambda document: document.metadata["owner"] == "a"}
    for base, taken in ((store().as_retriever(), True), (Plain(), False)):
        between = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=base)
        for retriever in (reranker.as_retriever(between), reranker.as_retriever(reranker.as_retriever(base))):
            if taken:
                assert owners(retriever.invoke(QUERY, **only)) == {"a"}
            else:
                with pytest.raises(TypeError, match="got 'filter'"):
                    retriever.invoke(QUERY, **only)


def test_what_a_base_retriever_names_is_passed_on() -> None:
    retriever = LateInteractionRerank(model=FakeEncoder()).as_retriever(WithK())
    assert len(retriever.invoke(QUERY, k=2)) == 2
    with pytest.raises(TypeError, match="a call takes explain, k, min_relevance, min_score, top_n, got 'filter'"):
        retriever.invoke(QUERY, filter={})
    function = LateInteractionRerank(model=FakeEncoder()).as_retriever(RunnableLambda(lambda _: []))
    assert function.invoke(QUERY) == []


def test_fields_can_be_configured_for_a_call() -> None:
    reranker = LateInteractionRerank(model=FakeEncoder(), top_n=3)
    for retriever in (
        reranker.as_retriever(Plain()).configurable_fields(top_n=ConfigurableField(id="most")),
        LateInteractionRetriever.from_documents(chunks_of(LangChainSide()), FakeEncoder(), k=3).configurable_fields(
            k=ConfigurableField(id="most")
        ),
    ):
        assert len(retriever.invoke(QUERY)) == 3
        assert len(retriever.invoke(QUERY, {"configurable": {"most": 1}})) == 1
        assert len(retriever.with_config(configurable={"most": 2}).invoke(QUERY)) == 2
    with pytest.raises(ValueError, match="top_n must be at least 1, got 0"):
        reranker.as_retriever(Plain()).configurable_fields(top_n=ConfigurableField(id="most")).invoke(
            QUERY, {"configurable": {"most": 0}}
        )


def test_what_is_no_retriever_is_refused_with_the_way_to_make_one() -> None:
    with pytest.raises((TypeError, ValueError), match=r"InMemoryVectorStore.*store.as_retriever\(\)"):
        LateInteractionRerank(model=FakeEncoder()).as_retriever(store())  # type: ignore[arg-type]
