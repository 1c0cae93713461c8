"""Pooled rows: fewer of them, each knowing the words it stands for, and evidence as exact as before."""

from __future__ import annotations

import json
import pickle
import time

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from langchain_latelens import LateInteractionRerank
from latelens import EmbeddingCache, Encoder, TokenEmbeddings, attribute, explain, find_evidence
from latelens.embeddings import PooledSpans
from latelens.encoders.token_pooling import TokenPooling, pool_rows
from latelens.index import Chunk, ExactIndex
from latelens.maxsim import maxsim, pack
from latelens.render.ledger import document_heat, ledger
from latelens.serialize import from_bytes, to_bytes

TEXT = "Elephants eat grass and bark. Lions sleep most of the day. They hunt at night!"


def rows(text: str, vectors: list[list[float]]) -> TokenEmbeddings:
    """A row a word of one letter."""
    spans = np.array([[i, i + 1] for i, letter in enumerate(text) if letter.isalpha()], dtype=np.int32)
    tokens = tuple(text[start] for start, _ in spans.tolist())
    return TokenEmbeddings(text, np.array(vectors, dtype=np.float32), tokens, spans, np.zeros(len(spans), np.uint8))


def test_the_rows_most_alike_become_their_mean_and_the_row_says_which_words_it_stands_for() -> None:
    document = rows("a b c d", [[1, 0], [0.8, 0.6], [-1, 0], [-0.8, -0.6]])
    pooled = pool_rows(document, factor=2)
    assert len(pooled) == 2
    assert [pooled.spans_of(np.array([row])).tolist() for row in range(2)] == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    middle = np.array([0.9, 0.3]) / np.hypot(0.9, 0.3)
    np.testing.assert_allclose(pooled.vectors, [middle, -middle], atol=1e-6)
    match = explain(rows("q", [[1, 0]]), pooled).matches[0]
    assert match.one_of == ((0, 1), (2, 3))
    assert match.document_span in match.one_of


def test_a_row_never_stands_for_words_of_two_sentences(offline: Encoder) -> None:
    for factor in (2, 3, 4, 50):
        (document,) = TokenPooling(offline, factor=factor).encode_documents([TEXT])
        for row in document.content_rows().tolist():
            stands_for = document.spans_of(np.array([row]))
            assert not any(TEXT[stands_for[0, 0] : stands_for[-1, 1]].count(mark) for mark in (". ", "! "))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["ox", "Elk.", "Emu!", "a", "b c"]), min_size=1, max_size=40), st.integers(1, 9))
def test_every_token_stands_behind_exactly_one_row_and_a_fixed_number_is_kept(words: list[str], most: int) -> None:
    (whole,) = FakeEncoder(dim=8).encode_documents([" ".join(words)])
    for pooled in (pool_rows(whole, factor=most), pool_rows(whole, rows=most)):
        behind = whole.spans if pooled.pooled is None else pooled.pooled.spans
        assert sorted(behind.tolist()) == sorted(whole.spans.tolist())
        assert len(pooled) <= len(whole)
    assert len(pool_rows(whole, rows=most).content_rows()) <= most


def test_factor_one_changes_nothing_and_rows_without_text_stay(offline: Encoder) -> None:
    (whole,) = offline.encode_documents([TEXT])
    assert pool_rows(whole, factor=1) is whole
    pooled = pool_rows(whole, rows=1)
    assert [token for token in pooled.tokens if token.startswith("[")] == ["[CLS]", "[SEP]"]
    np.testing.assert_array_equal(pooled.vectors[0], whole.vectors[0])


def test_evidence_is_whole_sentences_and_its_score_falls_by_the_drop(offline: Encoder) -> None:
    encoder = TokenPooling(offline, factor=3)
    (query,), (document,) = encoder.encode_queries(["What do elephants eat?"]), encoder.encode_documents([TEXT])
    best = find_evidence(explain(query, document))[0]
    assert best.text == "Elephants eat grass and bark." == TEXT[best.start : best.end]
    left = (document.spans[:, 0] < best.start) | (document.spans[:, 0] >= best.end)
    without = maxsim(query.vectors, pack([document.vectors[left]])).scores[0]
    assert explain(query, document).score - without == pytest.approx(best.drop, abs=1e-5)


def test_sentences_that_share_a_row_come_back_as_one_piece_of_evidence(offline: Encoder) -> None:
    encoder = TokenPooling(offline, rows=2)
    (query,), (document,) = encoder.encode_queries(["What do elephants eat?"]), encoder.encode_documents([TEXT])
    texts = [span.text for span in find_evidence(explain(query, document))]
    for row in document.content_rows().tolist():
        first, *_, last = [*document.spans_of(np.array([row])).tolist()] * 2
        whole = [text for text in texts if TEXT[first[0] : first[1]] in text]
        assert all(TEXT[last[0] : last[1]] in text for text in whole)


def test_what_a_row_stands_for_survives_bytes_pickles_caches_and_indexes(offline: Encoder, tmp_path) -> None:
    encoder = TokenPooling(offline, factor=2)
    (document,) = encoder.encode_documents([TEXT])
    index = ExactIndex(encoder, tmp_path / "index")
    index.add([Chunk("a", TEXT)])
    (hit,) = ExactIndex(encoder, tmp_path / "index").search("What do elephants eat?", k=1)
    cache = EmbeddingCache(tmp_path / "cache")
    cache.encode_documents(encoder, [TEXT])
    (cached,) = EmbeddingCache(tmp_path / "cache").encode_documents(encoder, [TEXT])
    read = from_bytes(to_bytes(document), TEXT), pickle.loads(pickle.dumps(document)), cached
    for found in (*read, hit.explanation.document):
        np.testing.assert_array_equal(found.pooled.spans, document.pooled.spans)
        np.testing.assert_array_equal(found.pooled.starts, document.pooled.starts)
    assert encoder.fingerprint not in (offline.fingerprint, TokenPooling(offline, factor=3).fingerprint)
    assert pickle.loads(pickle.dumps(encoder)).fingerprint == encoder.fingerprint


def test_a_chunks_metadata_says_one_of_these_words(offline: Encoder) -> None:
    reranker = LateInteractionRerank(model=TokenPooling(offline, factor=4), explain="tokens")
    (chunk,) = reranker.compress_documents([Document(TEXT)], "Which animals hunt?")
    found = json.loads(json.dumps(chunk.metadata["latelens"]))
    several = [token for token in found["tokens"] if "one_of" in token]
    assert several
    for token in several:
        assert len(token["one_of"]) > 1
        assert token["document"] in [word["document"] for word in token["one_of"]]
        assert all(TEXT[word["start"] : word["end"]] == word["document"] for word in token["one_of"])
    assert sum(token["similarity"] for token in found["tokens"]) == pytest.approx(found["score"])


def test_the_picture_warms_every_word_that_a_row_stands_for(offline: Encoder) -> None:
    encoder = TokenPooling(offline, factor=3)
    (query,), (document,) = encoder.encode_queries(["What do elephants eat?"]), encoder.encode_documents([TEXT])
    explanation = explain(query, document)
    lines = ledger(explanation)
    heat = document_heat(explanation, lines)
    row = next(match.document_row for match in explanation.matches if match.one_of)
    behind = {tuple(span) for span in document.spans_of(np.array([row])).tolist()}
    warm = {round(float(heat.warmth()[i]), 6) for i, span in enumerate(heat.spans.tolist()) if tuple(span) in behind}
    assert len(warm) == 1
    words = {TEXT[start:end] for start, end in behind}
    line = next(line for line in lines if any(match.document_row == row for match in line.matches))
    assert words <= set(line.matched)


def test_an_answer_is_attributed_over_pooled_rows(offline: Encoder) -> None:
    found = attribute("Elephants eat grass and bark.", [TEXT], TokenPooling(offline, factor=2))
    assert found.claims[0].citations[0].cited_text == "Elephants eat grass and bark."


def test_a_long_text_without_a_sentence_is_pooled_in_linear_time() -> None:
    def seconds(n: int) -> float:
        (document,) = FakeEncoder(dim=64).encode_documents(["word " * n + "end"])
        started = time.process_time()
        pool_rows(document, factor=2)
        return time.process_time() - started

    seconds(600)
    assert seconds(8000) < 3 * seconds(4000) + 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"factor": 0}, "factor"), ({"factor": 1.5}, "factor"), ({"rows": 0}, "rows"), ({"encoder": "name"}, "encoder")],
)
def test_wrong_arguments_are_refused_by_name(offline: Encoder, arguments: dict, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        TokenPooling(**{"encoder": offline, **arguments})


def test_spans_that_do_not_belong_to_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="rise from 0 to 2"):
        PooledSpans(np.zeros((2, 2), np.int32), np.array([0, 1], np.int32))
    with pytest.raises(ValueError, match="1 of 2 texts"):
        PooledSpans.joined([PooledSpans(np.zeros((1, 2), np.int32), np.array([0, 1], np.int32)), None])
