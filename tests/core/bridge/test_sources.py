"""A chunk's name, link and place: one answer, whoever asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

import langchain_latelens
import langchain_latelens.sources
import llama_index_latelens
import llama_index_latelens.sources
from latelens.bridge.quotes import Found, source_name
from latelens.bridge.sources import link_of, name_of, start_of

TEXT = "Elephants eat grass and bark."


@pytest.mark.parametrize(
    ("metadata", "name", "link"),
    [
        ({"file_name": "zoo.pdf", "source": "s3://b/zoo.pdf"}, "zoo.pdf", "s3://b/zoo.pdf"),
        ({"file_path": "/data/zoo.pdf"}, "/data/zoo.pdf", None),
        ({"title": "Zoo", "url": "https://zoo.example/a", "source": "a.html"}, "Zoo", "https://zoo.example/a"),
        ({"url": "https://zoo.example/a"}, "https://zoo.example/a", "https://zoo.example/a"),
        ({"source": "a.html", "page_label": "iv"}, "a.html, page iv", None),
        ({"source": "a.html", "page_number": 4, "page": 3}, "a.html, page 4", None),
        ({"source": "a.html", "page": 0}, "a.html", None),
        ({"title": " ", "source": 7, "page_label": "2"}, None, None),
        ({}, None, None),
    ],
)
def test_quotes_and_citations_of_both_frameworks_give_one_name_and_one_link(
    metadata: dict[str, Any], name: str | None, link: str | None
) -> None:
    document, node = Document(TEXT, id="x", metadata=metadata), TextNode(text=TEXT, id_="x", metadata=metadata)
    (of_document,) = langchain_latelens.sources.to_sources([document])
    of_node = llama_index_latelens.sources.to_source(node)
    assert (name_of(metadata), link_of(metadata)) == (name, link)
    assert of_document == of_node
    assert (of_node.title, of_node.url) == (name, link)
    assert source_name(Found("x", TEXT, metadata)) == (name or "x")


@pytest.mark.parametrize(
    ("given", "start"),
    [
        *((value, value) for value in (0, 12)),
        *((kind(12), 12) for kind in (np.int32, np.int64, np.uint8)),
        *(
            (value, None)
            for value in (-1, True, False, np.bool_(True), 2.0, np.float64(2), "12", None, [3], np.array([3]))
        ),
    ],
)
def test_a_place_is_an_int_of_at_least_0_wherever_it_is_read(given: Any, start: int | None) -> None:
    found = start_of(given)
    assert found == start
    assert found is None or type(found) is int
    document = Document(TEXT, metadata={"start_index": given})
    end = 12 + len(TEXT) if start == 12 else len(TEXT)
    # As a store hands it back: the class's own checks make 1 of True.
    node = NodeWithScore(node=TextNode(text=TEXT).model_copy(update={"start_char_idx": given, "end_char_idx": end}))
    (ranked,) = langchain_latelens.LateInteractionRerank(model=FakeEncoder()).compress_documents([document], "grass")
    (other,) = llama_index_latelens.LateInteractionRerank(model=FakeEncoder()).postprocess_nodes([node], None, "grass")
    for metadata in (ranked.metadata, other.node.metadata):
        (span,) = metadata["latelens"]["evidence"]
        assert span.get("source_start") == (None if start is None else start + span["start"])
    (source,) = langchain_latelens.sources.to_sources([document])
    assert source.start == llama_index_latelens.sources.to_source(node).start == start


def test_a_place_that_is_missing_is_none() -> None:
    (source,) = langchain_latelens.sources.to_sources([Document(TEXT)])
    assert source.start is llama_index_latelens.sources.to_source(TextNode(text=TEXT)).start is None
