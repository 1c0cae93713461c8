"""Whole documents from their chunks: every span is one of the document, whatever a splitter did."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens import explain, find_evidence
from latelens.bridge.parents import Parent, join, passages_of, place_of
from latelens.bridge.retrieving import Wanted, retrieve
from latelens.index.exact import ExactIndex
from latelens.index.protocol import Chunk
from latelens.index.stages.two_stage import TwoStage

ENCODER = FakeEncoder(dim=64)
WORDS = st.sampled_from(["elephants", "eat", "grass", "Größe", "🐘", "大象。", "rain.", "fell!", "\n\n", "  "])
TEXTS = st.lists(WORDS, min_size=1, max_size=30).map(" ".join)
CUTS = st.lists(
    st.tuples(st.integers(0, 150), st.integers(1, 60), st.sampled_from(["right", "wrong", "none", "respaced"])),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(TEXTS, CUTS)
def test_every_span_of_a_joined_document_is_its_text_and_the_score_its_matches(text: str, cuts: Any) -> None:
    (query,) = ENCODER.encode_queries(["what elephants eat: grass 大象"])
    parts = []
    for start, length, said in cuts:
        start %= len(text)
        piece = text[start : start + length]
        if said == "respaced":
            piece = " ".join(piece.split())
        place = {"right": start, "wrong": start + 1, "none": None, "respaced": start}[said]
        parts.append((explain(query, ENCODER.encode_documents([piece])[0]), place))
    joined, sentences = join(text, parts)
    assert joined.document.text == text
    assert math.fsum(match.similarity for match in joined.matches) == joined.score
    assert joined.score <= math.fsum(np.max([part.similarity.max(axis=1) for part, _ in parts], axis=0))
    for (begin, end), token in zip(joined.document.spans.tolist(), joined.document.tokens, strict=True):
        assert begin < 0 or text[begin:end].lower() == token
    assert all(one[1] <= other[0] for one, other in pairwise(sentences))
    for span in find_evidence(joined, sentences=sentences):
        assert text[span.start : span.end] == span.text
        assert span.start <= span.phrase_start < span.phrase_end <= span.end


def test_passages_of_a_document_cover_what_can_be_read() -> None:
    text = "# Diet\n\nThey eat grass.\n\n# Range\n\nThey live in India."
    assert passages_of("d", text) == [("d#0", 0, 23), ("d#25", 25, 53)]
    assert passages_of("d", " \n ") == []


def test_a_place_is_read_from_metadata_or_from_a_node() -> None:
    assert place_of({"parent_id": "a", "start_index": 3}) == ("a", 3)
    assert place_of({"book": 7, "start_index": 0}, "book") == ("7", 0)
    assert place_of({"_node": {"parent": "n", "start": 5}, "start_index": 3}) == ("n", 5)
    assert place_of({"start_index": -1}) == place_of({"start_index": True, "_node": "x"}) == (None, None)


def test_a_cross_encoders_order_stands() -> None:
    class Last:
        def predict(self, inputs: Any) -> Any:
            return np.array([float("rain" in text) for _, text in inputs])

    index = ExactIndex(ENCODER)
    index.add([Chunk("1", "elephants eat", {"parent_id": "a"}), Chunk("2", "rain", {"parent_id": "b"})])
    texts = {"a": "elephants eat", "b": "rain"}
    wanted = Wanted(find_parents=lambda ids: {id: Parent(id, texts[id], None) for id in ids})
    for searcher, order in ((index, ["a", "b"]), (TwoStage(index, ENCODER, cross_encoder=Last()), ["b", "a"])):
        (found,) = retrieve(searcher, ["elephants eat"], wanted)
        assert [each.parent.id for each in found if each.parent] == order
