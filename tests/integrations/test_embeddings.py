"""One vector a text, in both frameworks: what it is, and a database of theirs as the first of two stages."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode

import langchain_latelens
import llama_index_latelens
from langchain_latelens.documents import to_chunks
from langchain_latelens.embeddings import LateInteractionEmbeddings as ForLangChain
from latelens import TokenEmbeddings
from latelens.bridge.embedding import mean_of_rows
from latelens.index import ExactIndex, TwoStage
from llama_index_latelens.embeddings import LateInteractionEmbeddings as ForLlamaIndex

TEXTS = {
    "diet": "Elephants eat grass, leaves and bark. A grown bull needs 150 kg a day.",
    "herd": "Herds are led by the oldest female. Bulls leave the herd when they are grown.",
    "rails": "Trains kill dozens of elephants a year where tracks cross forests.",
    "milk": "Calves drink milk for two years. They stay close to their mothers.",
    "flood": "The river floods each summer. Farmers then move to higher ground.",
    "ivory": "Ivory was traded for centuries. The trade was banned in 1989.",
}
DOCUMENTS = [Document(text, id=id) for id, text in TEXTS.items()]
QUERY = "When was selling tusks forbidden?"


def rows_of(vectors: list[list[float]]) -> TokenEmbeddings:
    count = len(vectors)
    spans = np.full((count, 2), -1, dtype=np.int32)
    return TokenEmbeddings("x", np.array(vectors, dtype=np.float32), ("x",) * count, spans, np.ones(count, np.uint8))


def test_the_vector_is_the_mean_of_the_rows_at_unit_length() -> None:
    assert mean_of_rows(rows_of([[1, 0], [0, 1]])) == pytest.approx([math.sqrt(0.5)] * 2)
    assert mean_of_rows(rows_of([[1, 0], [1, 0], [0, 1]])) == pytest.approx([2 / math.sqrt(5), 1 / math.sqrt(5)])
    assert mean_of_rows(rows_of([[1, 0], [-1, 0]])) == [0.0, 0.0]


async def test_both_frameworks_get_the_same_vectors() -> None:
    encoder = FakeEncoder(dim=32)
    one, other = ForLangChain(encoder), ForLlamaIndex(encoder)
    assert one.embed_documents(["a b", "c"]) == other.get_text_embedding_batch(["a b", "c"])
    assert one.embed_query("a b") == other.get_query_embedding("a b") == await other.aget_query_embedding("a b")
    assert await one.aembed_query("a b") == one.embed_query("a b")
    assert one.embed_documents([]) == other.get_text_embedding_batch([]) == []
    assert one.embed_documents(["a"])[0] == await other.aget_text_embedding("a")


def test_questions_and_documents_are_encoded_differently() -> None:
    class Marked(FakeEncoder):
        def encode_queries(self, texts: Any) -> list[TokenEmbeddings]:
            return super().encode_queries([f"query {text}" for text in texts])

    one, other = ForLangChain(Marked(dim=32)), ForLlamaIndex(Marked(dim=32))
    assert one.embed_query("a") == one.embed_documents(["query a"])[0] != one.embed_documents(["a"])[0]
    assert other.get_query_embedding("a") == other.get_text_embedding("query a") != other.get_text_embedding("a")


def test_their_databases_find_and_two_stages_score_exactly(offline: Any) -> None:
    index = ExactIndex(offline)
    index.add(to_chunks(DOCUMENTS))
    expected = [(hit.chunk.id, hit.score) for hit in index.search(QUERY, 3)]
    assert expected[0][0] == "ivory"
    database = InMemoryVectorStore(ForLangChain(offline))
    database.add_documents(DOCUMENTS)
    nodes = [TextNode(id_=id, text=text) for id, text in TEXTS.items()]
    dense = VectorStoreIndex(nodes, embed_model=ForLlamaIndex(offline))
    for first in (langchain_latelens.first_stage(database), llama_index_latelens.first_stage(dense)):
        stages = TwoStage(first, offline, candidates=6, rows=index)
        hits = stages.search(QUERY, 3)
        assert [hit.chunk.id for hit in hits] == [id for id, _ in expected]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-4)
        assert [hit.chunk.id for hit in TwoStage(first, offline, candidates=2).search(QUERY, 1)] == ["ivory"]


def test_the_model_loads_at_first_use() -> None:
    assert ForLlamaIndex("no/such-model").model_name == "no/such-model"
    with pytest.raises(Exception, match="no/such-model"):
        ForLangChain("no/such-model").embed_query("a")
