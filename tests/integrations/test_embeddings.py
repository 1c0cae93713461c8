"""`LateInteractionEmbeddings` in both frameworks: the same vectors, of questions and of documents."""

from __future__ import annotations

from typing import Any

import pytest
from fake_encoder import FakeEncoder

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_latelens import LateInteractionVectorStore
from langchain_latelens.embeddings import LateInteractionEmbeddings as ForLangChain
from latelens import Calibration, TokenEmbeddings
from latelens.single_vector import LeastSquares, Muvera
from llama_index_latelens.embeddings import LateInteractionEmbeddings as ForLlamaIndex


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


def test_the_model_loads_at_first_use() -> None:
    assert ForLlamaIndex("no/such-model").model_name == "no/such-model"
    with pytest.raises(Exception, match="no/such-model"):
        ForLangChain("no/such-model").embed_query("a")


def test_the_method_is_told_apart_and_checked() -> None:
    one, other = ForLangChain(FakeEncoder(dim=32), method=Muvera(bits=2)), ForLlamaIndex(FakeEncoder(dim=32))
    assert len(one.embed_query("a")) == 20 * 2**2 * 16 + 1
    assert other.to_dict()["method_name"] == "MeanOfRows()"
    for made in (ForLangChain, ForLlamaIndex):
        with pytest.raises(TypeError, match=r"method must be a method of latelens\.single_vector, got str: 'mean'"):
            made(FakeEncoder(), method="mean")
    fitted = LeastSquares.fit(FakeEncoder(dim=32), [f"one{i} two{i} three{i}" for i in range(20)], dim=40)
    stranger = FakeEncoder("other")
    for embed in (
        ForLangChain(stranger, method=fitted).embed_query,
        ForLlamaIndex(stranger, method=fitted).get_text_embedding,
    ):
        with pytest.raises(ValueError, match=r"fitted for 'fake'.*the encoder is 'other'"):
            embed("a")


@pytest.mark.parametrize("embeddings", [ForLangChain, ForLlamaIndex])
def test_the_options_of_a_model_reach_it_and_wrong_ones_are_refused(embeddings: Any) -> None:
    with pytest.raises(ValueError, match="speed must be 'exact' or 'fast', got 'quick'"):
        embeddings("offline/all-MiniLM-L6-v2", speed="quick")
    made = Calibration("m", strength=1.0, length=0.0, intercept=0.0, fitted_on="by hand")
    options = {"batch_size": 4, "device": "cpu", "dtype": "bfloat16", "calibration": made}
    assert embeddings("some/model", **options)._made.encoder._options.items() >= options.items()


def test_a_store_made_of_texts_takes_the_options_of_its_model() -> None:
    with pytest.raises(ValueError, match="engine must be 'auto', 'torch', 'onnx' or 'openvino', got 'tpu'"):
        LateInteractionVectorStore.from_texts(["a"], "offline/all-MiniLM-L6-v2", engine="tpu")
    made = Calibration("fake", strength=1.0, length=0.0, intercept=0.0, fitted_on="by hand")
    store = LateInteractionVectorStore.from_texts(
        ["Elephants eat grass.", "Trains stop here."], "offline/all-MiniLM-L6-v2", dtype="bfloat16", calibration=made
    )
    assert store.index.encoder.calibration == made
    assert "bfloat16" in str(store.index.encoder.loaded().route)
