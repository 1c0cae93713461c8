"""Metadata read before a text: it counts, it is named, and evidence stays in the bare text."""

from __future__ import annotations

import math
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from sides import LangChainSide, LlamaIndexSide

from latelens import Encoder, load_encoder
from latelens.bridge.headings import headed, in_bare_text
from latelens.explanation.matches import explain

QUERY = "How much is a ticket for the Louvre?"
MUSEUMS = {"orsay": "Musée d'Orsay", "louvre": "The Louvre", "rodin": "Musée Rodin"}
TEXT = "Open from nine. A ticket is 22 euros. Closed on Mondays."


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


def with_titles(side: Any) -> dict[str, Any]:
    return {"metadata_keys": ["title"]} if isinstance(side, LangChainSide) else {"metadata_mode": MetadataMode.EMBED}


def museums(side: Any) -> list[Any]:
    return [side.chunk(TEXT, name, title=title) for name, title in MUSEUMS.items()]


def test_a_name_that_stands_in_the_title_alone_decides(side: Any, offline: Encoder) -> None:
    bare = side.rerank(side.Rerank(model=offline), museums(side), QUERY)
    assert [side.name(chunk) for chunk in bare] == list(MUSEUMS)  # equal texts, equal scores
    best = side.rerank(side.Rerank(model=offline, **with_titles(side)), museums(side), QUERY)[0]
    assert side.name(best) == "louvre"
    found = side.metadata(best)["latelens"]
    (in_title,) = found["in_metadata"]
    assert (in_title["key"], in_title["text"]) == ("title", "title: The Louvre")
    assert "Louvre" in in_title["query_words"]
    assert "Louvre" not in found["uncovered"]
    for span in side.read_evidence(best):
        assert TEXT[span.start : span.end] == span.text
        assert TEXT[span.phrase_start : span.phrase_end]
        assert "Louvre" not in span.query_words
    assert side.text(best) == TEXT


def test_every_match_still_sums_to_the_score(side: Any, offline: Encoder) -> None:
    reranker = side.Rerank(model=offline, explain="tokens", **with_titles(side))
    for chunk in side.rerank(reranker, museums(side), QUERY):
        tokens = side.metadata(chunk)["latelens"]["tokens"]
        assert math.fsum(token["similarity"] for token in tokens) == pytest.approx(side.score(chunk), abs=1e-9)
        for token in tokens:
            assert token["start"] is None or TEXT[token["start"] : token["end"]] == token["document"]


def test_without_metadata_nothing_changes(side: Any) -> None:
    chunks = [side.chunk(TEXT), side.chunk("Closed.")]
    plain = side.rerank(side.Rerank(model=FakeEncoder()), chunks, QUERY)
    assert side.rerank(side.Rerank(model=FakeEncoder(), **with_titles(side)), chunks, QUERY) == plain


def test_places_in_the_document_are_those_of_the_bare_text(side: Any) -> None:
    chunk = side.placed_at(TEXT, 100)
    side.metadata(chunk)["title"] = "The Louvre"
    (result,) = side.rerank(side.Rerank(model=FakeEncoder(), **with_titles(side)), [chunk], "A ticket")
    (span,) = side.read_evidence(result)
    assert (span.text, span.source_start) == ("A ticket is 22 euros.", 100 + TEXT.index("A ticket"))


def test_what_a_node_excludes_is_not_read() -> None:
    node = TextNode(text=TEXT, metadata={"title": "The Louvre"}, excluded_embed_metadata_keys=["title"])
    reranker = LlamaIndexSide.Rerank(model=FakeEncoder(), metadata_mode=MetadataMode.EMBED)
    (result,) = reranker.postprocess_nodes([NodeWithScore(node=node)], query_str="Louvre")
    assert "in_metadata" not in result.node.metadata["latelens"]
    reranker.metadata_mode = MetadataMode.LLM
    (result,) = reranker.postprocess_nodes([result], query_str="Louvre")
    (found,) = result.node.metadata["latelens"]["in_metadata"]
    assert (found["key"], found["query_words"]) == ("title", ["Louvre"])


def test_rows_of_metadata_have_no_place_in_the_bare_text() -> None:
    encoder = load_encoder(FakeEncoder())
    chunk = headed("Louvre opens.", [("title", "title: Louvre"), ("lang", "lang: en")])
    assert [chunk.text[start:end] for _, start, end in chunk.keys] == ["title: Louvre", "lang: en"]
    whole = explain(encoder.encode_queries(["Louvre"])[0], encoder.encode_documents([chunk.text])[0])
    bare = in_bare_text(whole, chunk)
    assert bare.score == whole.score
    places = [bare.document.text[start:end] for start, end in bare.document.spans.tolist() if start >= 0]
    assert places == ["Louvre", "opens"]
