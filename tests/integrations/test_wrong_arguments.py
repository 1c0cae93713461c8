"""Every argument of every public call of both adapters, given something wrong: a result, or an error of ours.

An error is ours where latelens raises it, or pydantic for a field of a class of ours; it names what was wrong.
"""

from __future__ import annotations

import datetime
import math
import traceback
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms.mock import MockLLM
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from pydantic import ValidationError

import langchain_latelens as lc
import llama_index_latelens as li
from latelens import Attributor
from latelens.bridge.metadata import read_evidence
from latelens.index import ExactIndex

TEXT = "Elephants eat grass."
QUERY = "What do elephants eat?"
DOCUMENT, NODE = Document(TEXT, id="a"), TextNode(text=TEXT, id_="a")
SCORED = NodeWithScore(node=NODE, score=0.5)
STORE = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
VECTORS = VectorStoreIndex([NODE], embed_model=MockEmbedding(embed_dim=8))

WRONG: dict[str, Any] = {
    "None": None, "True": True, "-1": -1, "0": 0, "1.5": 1.5, "nan": math.nan, "inf": math.inf, "'x'": "x", "''": "",
    "bytes": b"x", "[]": [], "['a']": ["a"], "[3]": [3], "{}": {}, "{'a': 1}": {"a": 1}, "{3: 4}": {3: 4},
    "object": object(), "class": FakeEncoder, "Document": DOCUMENT, "node": NODE, "NodeWithScore": SCORED,
    "message": HumanMessage("hi"), "embeddings": DeterministicFakeEmbedding(size=8), "store": STORE,
    "index": VECTORS, "lambda": lambda *_: None, "complex": 1j, "surrogate": "\ud800", "set": {1},
}  # fmt: skip


def lc_retriever(**options: Any) -> lc.LateInteractionRetriever:
    return lc.LateInteractionRetriever.from_documents([DOCUMENT], FakeEncoder(), **options)


def li_retriever(**options: Any) -> li.LateInteractionRetriever:
    return li.LateInteractionRetriever.from_nodes([NODE], FakeEncoder(), **options)


def index() -> ExactIndex:
    made = ExactIndex(FakeEncoder())
    made.add(lc.to_chunks([DOCUMENT]))
    return made


# Each call makes the object and uses it, so that what is checked at first use is reached too.


def lc_rerank(**given: Any) -> Any:
    return lc.LateInteractionRerank(**{"model": FakeEncoder(), **given}).compress_documents([DOCUMENT], QUERY)


def li_rerank(**given: Any) -> Any:
    return li.LateInteractionRerank(**{"model": FakeEncoder(), **given}).postprocess_nodes([SCORED], query_str=QUERY)


def lc_compress(documents: Any = (DOCUMENT,), query: Any = QUERY, **asked: Any) -> Any:
    return lc.LateInteractionRerank(model=FakeEncoder()).compress_documents(documents, query, **asked)


def li_postprocess(nodes: Any = (SCORED,), query_str: Any = QUERY, **asked: Any) -> Any:
    return li.LateInteractionRerank(model=FakeEncoder()).postprocess_nodes(nodes, query_str=query_str, **asked)


def lc_from_documents(documents: Any = (DOCUMENT,), model: Any = None, **given: Any) -> Any:
    model = FakeEncoder() if model is None else model
    return lc.LateInteractionRetriever.from_documents(documents, model, **given).invoke(QUERY)


def lc_from_texts(texts: Any = (TEXT,), metadatas: Any = None) -> Any:
    return lc.LateInteractionRetriever.from_texts(texts, metadatas, FakeEncoder()).invoke(QUERY)


def li_from_nodes(nodes: Any = (NODE,), model: Any = None, **given: Any) -> Any:
    model = FakeEncoder() if model is None else model
    return li.LateInteractionRetriever.from_nodes(nodes, model, **given).retrieve(QUERY)


def lc_from_index(searcher: Any = None, **given: Any) -> Any:
    return lc.LateInteractionRetriever.from_index(index() if searcher is None else searcher, **given).invoke(QUERY)


def li_from_index(searcher: Any = None, **given: Any) -> Any:
    return li.LateInteractionRetriever.from_index(index() if searcher is None else searcher, **given).retrieve(QUERY)


def lc_invoke(query: Any = QUERY, **asked: Any) -> Any:
    return lc_retriever().invoke(query, **asked)


def li_retrieve(query: Any = QUERY, **asked: Any) -> Any:
    return li_retriever().retrieve(query, **asked)


def lc_add(documents: Any = (DOCUMENT,), ids: Any = None, show_progress: Any = False) -> Any:
    return lc_retriever().add_documents(documents, ids=ids, show_progress=show_progress)


def li_add(nodes: Any = (NODE,), show_progress: Any = False) -> Any:
    return li_retriever().add_nodes(nodes, show_progress=show_progress)


def lc_tool(
    retriever: Any = None, name: Any = "search", description: Any = "Finds.", numbers: Any = None, **more: Any
) -> Any:
    base = lc_retriever() if retriever is None else retriever
    made = lc.create_evidence_tool(base, name, description, numbers=numbers, **more)
    return made.invoke({"query": QUERY})


def li_tool(
    retriever: Any = None, name: Any = "search", description: Any = "Finds.", numbers: Any = None, **more: Any
) -> Any:
    base = li_retriever() if retriever is None else retriever
    return li.create_evidence_tool(base, name, description, numbers=numbers, **more)(QUERY)


def lc_attach(message: Any = TEXT, sources: Any = (DOCUMENT,), attributor: Any = None, question: Any = None) -> Any:
    return lc.attach_citations(message, sources, attributor=attributor or Attributor(FakeEncoder()), question=question)


def li_attach(response: Any = TEXT, sources: Any = (SCORED,), attributor: Any = None, question: Any = None) -> Any:
    return li.attach_citations(response, sources, attributor=attributor or Attributor(FakeEncoder()), question=question)


def attributor_of(**given: Any) -> Any:
    return Attributor(**{"model": FakeEncoder(), **given})(TEXT, [TEXT])


def lc_chain(**given: Any) -> Any:
    chain = lc.AttachCitations(**{"attributor": Attributor(FakeEncoder()), **given})
    return chain.invoke({"answer": TEXT, "context": [DOCUMENT]})


def lc_middleware(**given: Any) -> Any:
    made = lc.EvidenceCitationMiddleware(**{"attributor": Attributor(FakeEncoder()), **given})
    return made.after_agent({"messages": [HumanMessage("?"), AIMessage(TEXT)]}, None)


def li_engine(query_engine: Any = None, **given: Any) -> Any:
    engine = VECTORS.as_query_engine(llm=MockLLM()) if query_engine is None else query_engine
    return li.EvidenceCitationQueryEngine(engine, **{"attributor": Attributor(FakeEncoder()), **given}).query(QUERY)


def lc_as_retriever(base_retriever: Any = None) -> Any:
    base = lc_retriever() if base_retriever is None else base_retriever
    return lc.LateInteractionRerank(model=FakeEncoder()).as_retriever(base)


def lc_store(searched: Any = None, **given: Any) -> lc.LateInteractionVectorStore:
    return lc.LateInteractionVectorStore(index() if searched is None else searched, **given)


def li_store(searched: Any = None, **given: Any) -> li.LateInteractionVectorStore:
    made = ExactIndex(FakeEncoder())
    made.add(li.to_chunks([NODE]))
    return li.LateInteractionVectorStore(made if searched is None else searched, **given)


def lc_found(query: Any = QUERY, k: Any = 1, **asked: Any) -> Any:
    return lc_store().similarity_search(query, k, **asked)


def lc_store_of(texts: Any = (TEXT,), embedding: Any = None, metadatas: Any = None, **given: Any) -> Any:
    model = FakeEncoder() if embedding is None else embedding
    return lc.LateInteractionVectorStore.from_texts(texts, model, metadatas, **given).similarity_search(QUERY)


def li_query(query_str: Any = QUERY, similarity_top_k: Any = 1, filters: Any = None, **asked: Any) -> Any:
    return li_store().query(VectorStoreQuery(None, similarity_top_k, query_str=query_str, filters=filters), **asked)


def lc_embed(model: Any = None, texts: Any = (TEXT,), text: Any = TEXT, **given: Any) -> Any:
    made = lc.LateInteractionEmbeddings(FakeEncoder() if model is None else model, **given)
    return made.embed_documents(texts), made.embed_query(text)


def li_embed(model: Any = None, texts: Any = (TEXT,), text: Any = TEXT, **given: Any) -> Any:
    made = li.LateInteractionEmbeddings(FakeEncoder() if model is None else model, **given)
    return made.get_text_embedding_batch(texts), made.get_query_embedding(text)


LOAD = ["batch_size", "device", "backend", "speed", "engine", "dtype", "calibration"]
RERANK = ["top_n", "explain", "min_score", "min_relevance", "cache", "show_progress"]
KEEP = ["k", "explain", "min_score", "min_relevance", "filter"]
FROM = ["path", "split", "return_parents", "show_progress", *LOAD]
LI = {"k": "similarity_top_k", "filter": "filters"}


def named(names: list[str]) -> list[str]:
    return [LI.get(name, name) for name in names]


CALLS: list[tuple[Callable[..., Any], list[str]]] = [
    (lc_rerank, ["model", *RERANK, *LOAD, "folders", "metadata_keys"]),
    (li_rerank, ["model", *RERANK, *LOAD, "folders", "metadata_mode"]),
    (lc_compress, ["documents", "query", *RERANK[:4]]),
    (li_postprocess, ["nodes", "query_str", *RERANK[:4]]),
    (lc_from_documents, ["documents", "model", *FROM, *KEEP]),
    (li_from_nodes, ["nodes", "model", *FROM, *named(KEEP)]),
    (lc_from_texts, ["texts", "metadatas"]),
    (lc_from_index, ["searcher", "split", "parents", "parent_key", *KEEP]),
    (li_from_index, ["searcher", "split", "parents", "parent_key", *named(KEEP)]),
    (lc_invoke, ["query", *KEEP]),
    (li_retrieve, ["query", *named(KEEP)]),
    (lc_add, ["documents", "ids", "show_progress"]),
    (li_add, ["nodes", "show_progress"]),
    (lambda ids: lc_retriever().delete(ids), ["ids"]),
    (lambda node_ids: li_retriever().delete_nodes(node_ids), ["node_ids"]),
    (lambda document: lc_retriever().explain(QUERY, document), ["document"]),
    (lambda document: li_retriever().explain(QUERY, document), ["document"]),
    (lambda document: lc.LateInteractionRerank(model=FakeEncoder()).explain(QUERY, document), ["document"]),
    (lambda document: li.LateInteractionRerank(model=FakeEncoder()).explain(QUERY, document), ["document"]),
    (lc_as_retriever, ["base_retriever"]),
    (lc_tool, ["retriever", "name", "description", "numbers", "max_images", "folders"]),
    (li_tool, ["retriever", "name", "description", "numbers", "max_images", "folders"]),
    (lc_attach, ["message", "sources", "attributor", "question"]),
    (li_attach, ["response", "sources", "attributor", "question"]),
    (attributor_of, ["model", "max_citations", "verifier", "cache", *LOAD]),
    (lc_chain, ["attributor", "answer_key", "sources_key", "question_key"]),
    (lc_middleware, ["attributor", "sources_key"]),
    (li_engine, ["query_engine", "attributor", "marks"]),
    (lc_store, ["searched", "explain", "min_score", "min_relevance"]),
    (li_store, ["searched", "explain", "min_score", "min_relevance"]),
    (lambda **given: lc_store().add_documents(**{"documents": [DOCUMENT], **given}),
     ["documents", "ids", "batch_size", "show_progress"]),
    (lambda **given: li_store().add(**{"nodes": [NODE], **given}), ["nodes", "show_progress"]),
    (lambda **given: lc_store().add_texts(**{"texts": [TEXT], **given}), ["texts", "metadatas", "ids"]),
    (lambda ids: lc_store().delete(ids), ["ids"]),
    (lambda ref_doc_id: li_store().delete(ref_doc_id), ["ref_doc_id"]),
    (lambda **given: li_store().delete_nodes(**given), ["node_ids", "filters"]),
    (lambda ids: lc_store().get_by_ids(ids), ["ids"]),
    (lambda **given: li_store().get_nodes(**given), ["node_ids", "filters"]),
    (lc_found, ["query", "k", "filter", "explain", "min_score", "min_relevance"]),
    (li_query, ["query_str", "similarity_top_k", "filters", "filter", "explain", "min_score", "min_relevance"]),
    (lc_store_of, ["texts", "embedding", "metadatas", "ids", "path", "batch_size", "device", "explain"]),
    (lc_embed, ["model", "texts", "text", "batch_size", "device"]),
    (li_embed, ["model", "text", "batch_size", "device"]),
    (lambda source: lc.first_stage(source), ["source"]),
    (lambda source: li.first_stage(source), ["source"]),
    (lambda documents: list(lc.to_chunks(documents)), ["documents"]),
    (lambda nodes: list(li.to_chunks(nodes)), ["nodes"]),
    (lambda documents: lc.strip_evidence(documents), ["documents"]),
    (lambda nodes: li.strip_evidence(nodes), ["nodes"]),
    (lambda messages: lc.strip_citations(messages), ["messages"]),
    (lambda messages: li.strip_citations(messages), ["messages"]),
    (lambda message: lc.read_attribution(message), ["message"]),
    (lambda response: li.read_attribution(response), ["response"]),
    (lambda source: read_evidence(source), ["source"]),
    (lambda nodes: li.to_citable_blocks(nodes), ["nodes"]),
    (lambda event: li.EvidenceCollector().add(event), ["event"]),
]  # fmt: skip
CASES = [(call, name) for call, names in CALLS for name in names]


def is_ours(error: BaseException) -> bool:
    if isinstance(error, ValidationError):
        return error.title in (
            "LateInteractionRerank",
            "LateInteractionRetriever",
            "RerankedRetriever",
            "AttachCitations",
            "LateInteractionEmbeddings",
        )
    last = traceback.extract_tb(error.__traceback__)[-1]
    packages = ("latelens", "langchain_latelens", "llama_index_latelens")
    raised = (last.line or "").startswith("raise ")  # not what an operation of ours happened to raise
    return (
        raised
        and isinstance(error, TypeError | ValueError | NotImplementedError)
        and any(f"/{name}/" in last.filename for name in packages)
    )


def outcomes(call: Callable[..., Any], name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """What went wrong in a way that is not ours, by value."""
    bad = {}
    for shown, value in values.items():
        try:
            call(**{name: value})
        except Exception as error:
            if not is_ours(error):
                frame = traceback.extract_tb(error.__traceback__)[-1]
                bad[shown] = f"{type(error).__name__}: {error!s:.100} ({frame.filename[-40:]}:{frame.lineno})"
    return bad


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("call", "name"),
    CASES,
    ids=[f"{getattr(call, '__name__', 'call')}-{i}-{name}" for i, (call, name) in enumerate(CASES)],
)
def test_a_wrong_argument_gives_a_result_or_an_error_of_ours(
    call: Callable[..., Any], name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a path that is accepted makes a folder
    assert outcomes(call, name, WRONG) == {}


def test_metadata_that_is_no_json_is_named_by_its_key() -> None:
    when = {"title": "Zoo", "when": datetime.date(2026, 11, 1), "id": uuid.uuid4()}
    with pytest.raises(ValueError, match=r"the metadata under 'when', 'id' is no JSON .*str\(value\)"):
        lc.LateInteractionRetriever.from_documents([Document(TEXT, metadata=when)], FakeEncoder())
    with pytest.raises(ValueError, match=r"the metadata under 'n' is no JSON"):
        li.LateInteractionRetriever.from_nodes([TextNode(text=TEXT, metadata={"n": np.float32(1)})], FakeEncoder())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lc.create_evidence_tool("x", "a", "b"), r"must be a Runnable, got str: 'x'; .*as_retriever\(\)"),
        (lambda: li.create_evidence_tool("x", "a", "b"), r"must be a BaseRetriever, got str: 'x'; .*as_retriever"),
        (lambda: li.EvidenceCitationQueryEngine(VECTORS), r"got VectorStoreIndex: .*index.as_query_engine\(\)"),
        (lambda: lc_rerank(batch_size="x"), "batch_size"),
        (lambda: lc_from_index(parent_key=3), "parent_key"),
        (lambda: li_from_index(parent_key=3), "parent_key must be a str, got int: 3"),
        (lambda: lc_from_documents(split="yes"), "split must be True or False, got str: 'yes'"),
        (lambda: li_from_nodes(split="yes"), "split must be True or False, got str: 'yes'"),
        (lambda: lc_from_documents(path="x" * 300), "path must name a folder, got 'xxx.*File name too long"),
    ],
)  # fmt: skip
def test_an_error_names_the_value_and_the_next_step(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()
