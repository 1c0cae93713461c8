"""What both adapters promise, asked of each: same arguments, same order, same behaviour."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import math
import re
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from sides import LangChainSide, LlamaIndexSide

from latelens import Encoder, TokenEmbeddings
from latelens.encoders.cache import EmbeddingCache

TEXTS = {
    "rain": "It rained all night. The river rose.",
    "grass": "Herds wander far. Elephants eat grass and bark. They sleep little.",
    "trains": "Elephants cross the railway. Trains brake late.",
    "empty": "",
}
QUERY = "What do elephants eat?"


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


def chunks_of(side: Any, **metadata: Any) -> list[Any]:
    return [side.chunk(text, name, score=0.5, **metadata) for name, text in TEXTS.items()]


def test_both_take_the_same_arguments_in_the_same_order() -> None:
    signatures = [
        [(name, field.default) for name, field in side.Rerank.model_fields.items() if name != "callback_manager"]
        for side in (LangChainSide, LlamaIndexSide)
    ]
    assert [signature.pop()[0] for signature in signatures] == ["metadata_keys", "metadata_mode"]
    assert signatures[0] == signatures[1]
    assert [name for name, _ in signatures[0]] == [
        "model", "top_n", "explain_mode", "min_score", "min_relevance",
        "cache", "batch_size", "device", "backend", "speed", "engine", "dtype", "calibration", "show_progress",
        "folders",
    ]  # fmt: skip


def test_the_best_chunk_comes_first_with_its_id_and_its_evidence(side: Any) -> None:
    best, *_ = side.rerank(side.Rerank(model=FakeEncoder()), chunks_of(side), QUERY)
    assert side.name(best) == "grass"
    evidence = side.read_evidence(best)
    assert [span.text for span in evidence] == ["Elephants eat grass and bark."]
    assert evidence[0].query_words[-2:] == ("elephants", "eat")
    text = side.text(best)
    assert all(text[span.start : span.end] == span.text for span in evidence)


def test_the_offline_model_finds_the_answer_without_shared_words(side: Any, offline: Encoder) -> None:
    query = "What is the diet of the largest land animal?"
    best, *_ = side.rerank(side.Rerank(model=offline), chunks_of(side), query)
    assert side.name(best) == "grass"
    assert side.read_evidence(best)[0].text == "Elephants eat grass and bark."


def test_inputs_stay_as_they_were(side: Any) -> None:
    chunks = chunks_of(side, source={"page": [1, 2]})
    before = copy.deepcopy(chunks)
    results = side.rerank(side.Rerank(model=FakeEncoder()), chunks, QUERY)
    assert chunks == before
    assert all(a is not b for a in results for b in chunks)
    assert all(side.metadata(chunk)["source"] == {"page": [1, 2]} for chunk in results)


def test_a_second_pass_gives_the_same_result(side: Any) -> None:
    reranker = side.Rerank(model=FakeEncoder())
    once = side.rerank(reranker, chunks_of(side), QUERY)
    twice = side.rerank(reranker, once, QUERY)
    assert twice == once


def test_the_retrieval_score_is_kept(side: Any) -> None:
    results = side.rerank(side.Rerank(model=FakeEncoder()), chunks_of(side), QUERY)
    assert [side.metadata(chunk)["latelens"]["retrieval_score"] for chunk in results] == [0.5] * 4


def test_stale_keys_are_overwritten_not_merged(side: Any) -> None:
    stale = {"version": 1, "evidence": [], "score": 99.0, "left_over": True, "retrieval_score": 0.25}
    chunk = side.chunk(TEXTS["grass"], score=99.0, latelens=stale)
    (result,) = side.rerank(side.Rerank(model=FakeEncoder()), [chunk], QUERY)
    found = side.metadata(result)["latelens"]
    assert "left_over" not in found
    assert found["score"] == side.score(result) < 10
    assert found["retrieval_score"] == 0.25


def test_metadata_is_small_finite_json_of_builtin_types(side: Any, offline: Encoder) -> None:
    sentence = "The committee of the harbour signed {} letters about rope, tar and sails on day {} of the trial. "
    answers = "Elephants eat bark. ", "Lions hunt zebras at night. ", "Whales sing songs under water. "
    text = "".join(answer + "".join(sentence.format(100 + i, i) for i in range(7)) for answer in answers)  # 512 tokens
    query = "What do elephants eat, when do lions hunt zebras and where do whales sing songs?"
    (result,) = side.rerank(side.Rerank(model=offline), [side.chunk(text)], query)
    found = side.metadata(result)["latelens"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert len(json.dumps(found).encode()) < 2048
    assert {item["text"] for item in found["evidence"]} == {answer.strip() for answer in answers}
    assert type(side.score(result)) is float


def test_relevance_and_uncovered_words_travel_and_a_threshold_on_relevance_filters(side: Any, offline: Encoder) -> None:
    question = "What do elephants eat in Norway?"
    texts = ["In Africa elephants eat grass, leaves and bark.", "The committee signed a letter about rope."]
    chunks = [side.chunk(text) for text in texts]
    first, second = side.rerank(side.Rerank(model=offline), chunks, question)
    found = [side.metadata(chunk)["latelens"] for chunk in (first, second)]
    assert 1 > found[0]["relevance"] > found[1]["relevance"] > 0
    assert found[0]["uncovered"] == ["Norway"]
    assert {"elephants", "eat", "Norway"} <= set(found[1]["uncovered"])
    line = (found[0]["relevance"] + found[1]["relevance"]) / 2
    assert len(side.rerank(side.Rerank(model=offline, min_relevance=line), chunks, question)) == 1
    with pytest.raises(ValueError, match="min_relevance must be between 0 and 1 or None, got 2"):
        side.Rerank(model=offline, min_relevance=2)
    with pytest.raises(ValueError, match="'fake' has no calibration"):
        side.rerank(side.Rerank(model=FakeEncoder(), min_relevance=0.5), chunks, question)


def test_tokens_sum_to_the_score(side: Any, offline: Encoder) -> None:
    (result,) = side.rerank(side.Rerank(model=offline, explain="tokens"), [side.chunk(TEXTS["grass"])], QUERY)
    tokens = side.metadata(result)["latelens"]["tokens"]
    assert math.fsum(token["similarity"] for token in tokens) == pytest.approx(side.score(result), abs=1e-9)
    assert {token["kind"] for token in tokens} == {"content", "special"}
    text = side.text(result)
    for token in tokens:
        if token["start"] is not None:
            assert text[token["start"] : token["end"]] == token["document"]
        if token["query_start"] is not None:
            assert QUERY[token["query_start"] : token["query_end"]] == token["query"]


def test_off_leaves_nothing_but_the_score(side: Any) -> None:
    off = side.rerank(side.Rerank(model=FakeEncoder(), explain="off"), chunks_of(side), QUERY)
    full = side.rerank(side.Rerank(model=FakeEncoder()), chunks_of(side), QUERY)
    assert all("latelens" not in side.metadata(chunk) for chunk in off)
    assert [side.score(chunk) for chunk in off] == [side.score(chunk) for chunk in full]
    assert side.read_evidence(off[0]) == []


def test_explain_gives_every_match_on_demand(side: Any) -> None:
    reranker = side.Rerank(model=FakeEncoder(), explain="off")
    chunk = side.chunk(TEXTS["grass"])
    explanation = reranker.explain(QUERY, chunk)
    assert explanation.score == side.score(side.rerank(reranker, [chunk], QUERY)[0])
    assert sum(match.similarity for match in explanation.matches) == explanation.score
    assert reranker.explain(QUERY, TEXTS["grass"]).score == explanation.score


def test_nothing_in_gives_nothing_out(side: Any) -> None:
    assert side.rerank(side.Rerank(model=FakeEncoder()), [], QUERY) == []


def test_duplicates_are_kept_apart_in_input_order(side: Any) -> None:
    chunks = [side.chunk(TEXTS["grass"], name) for name in ("first", "second", "third")]
    encoder = FakeEncoder()
    results = side.rerank(side.Rerank(model=encoder), chunks, QUERY)
    assert [side.name(chunk) for chunk in results] == ["first", "second", "third"]
    assert encoder.encoded == [TEXTS["grass"]]


def test_fewer_chunks_than_top_n_and_none_for_all(side: Any) -> None:
    assert len(side.rerank(side.Rerank(model=FakeEncoder(), top_n=50), chunks_of(side), QUERY)) == 4
    assert len(side.rerank(side.Rerank(model=FakeEncoder(), top_n=2), chunks_of(side), QUERY)) == 2
    many = [side.chunk(f"Chunk {i}.") for i in range(30)]
    assert len(side.rerank(side.Rerank(model=FakeEncoder(), top_n=None), many, QUERY)) == 30


def test_min_score_leaves_out_the_rest(side: Any) -> None:
    everything = side.rerank(side.Rerank(model=FakeEncoder()), chunks_of(side), QUERY)
    bound = side.score(everything[1])
    kept = side.rerank(side.Rerank(model=FakeEncoder(), min_score=bound), chunks_of(side), QUERY)
    assert [side.score(chunk) for chunk in kept] == [score for score in map(side.score, everything) if score >= bound]
    assert side.rerank(side.Rerank(model=FakeEncoder(), min_score=1e6), chunks_of(side), QUERY) == []


def test_a_blank_query_is_said(side: Any) -> None:
    with pytest.warns(UserWarning, match="no visible text"):
        results = side.rerank(side.Rerank(model=FakeEncoder()), chunks_of(side), "  ")
    assert len(results) == 4
    assert side.read_evidence(results[0]) == []


def test_an_incomplete_reading_is_said(side: Any, offline: Encoder) -> None:
    complete, cut = side.chunk("Elephants eat."), side.chunk("Elephants eat \ufffd.")
    results = side.rerank(side.Rerank(model=offline), [complete, cut], QUERY)
    said = {side.text(chunk): side.metadata(chunk)["latelens"]["complete"] for chunk in results}
    assert said == {"Elephants eat.": True, "Elephants eat \ufffd.": False}


def test_places_in_the_whole_document_where_the_splitter_left_them(side: Any) -> None:
    (result,) = side.rerank(side.Rerank(model=FakeEncoder()), [side.placed_at(TEXTS["grass"], 1000)], QUERY)
    item = side.metadata(result)["latelens"]["evidence"][0]
    assert (item["source_start"], item["source_end"]) == (1000 + item["start"], 1000 + item["end"])


def test_evidence_is_read_from_chunks_and_from_dicts(side: Any) -> None:
    (result,) = side.rerank(side.Rerank(model=FakeEncoder()), [side.chunk(TEXTS["grass"])], QUERY)
    evidence = side.read_evidence(result)
    assert evidence
    assert side.read_evidence(side.as_dict(result)) == evidence
    assert side.read_evidence(json.loads(json.dumps(side.metadata(result)))) == evidence
    assert side.read_evidence(side.chunk("never reranked")) == []


def test_evidence_of_a_newer_version_and_of_no_chunk_is_refused(side: Any) -> None:
    with pytest.raises(ValueError, match="version 2 and this latelens reads version 1"):
        side.read_evidence(side.chunk("x", latelens={"version": 2}))
    with pytest.raises(TypeError, match="got int"):
        side.read_evidence(7)


def test_strip_evidence_gives_back_the_chunk(side: Any) -> None:
    chunk = side.chunk(TEXTS["grass"], page=3)
    results = side.rerank(side.Rerank(model=FakeEncoder()), [chunk], QUERY)
    (stripped,) = side.strip_evidence(results)
    assert side.metadata(stripped) == {"page": 3}
    assert "latelens" in side.metadata(results[0])
    assert side.strip_evidence([chunk]) == [chunk]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_n": 0}, "top_n must be at least 1, got 0"),
        ({"top_n": -3}, "top_n must be at least 1, got -3"),
        ({"top_n": "5"}, "top_n"),
        ({"topn": 5}, "topn"),
        ({"explain": "all"}, "'off', 'evidence' or 'tokens'"),
        ({"min_score": math.nan}, "min_score must be a finite number or None, got nan"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"cache": 7}, "cache must be True, False, a path or an EmbeddingCache, got int"),
    ],
)
def test_wrong_arguments_are_refused_at_construction(side: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        side.Rerank(model=FakeEncoder(), **arguments)


def test_construction_is_cheap_and_an_unknown_model_is_said_at_first_use(side: Any) -> None:
    reranker = side.Rerank(model="nobody/no-such-model")
    with pytest.raises(ValueError, match="could not find the model 'nobody/no-such-model'"):
        side.rerank(reranker, chunks_of(side), QUERY)


def test_a_model_of_the_wrong_type_is_said(side: Any) -> None:
    with pytest.raises(TypeError, match="got dict"):
        side.rerank(side.Rerank(model={}), chunks_of(side), QUERY)


def test_the_cache_saves_encoding(side: Any, tmp_path: Any) -> None:
    encoder = FakeEncoder()
    reranker = side.Rerank(model=encoder)
    for query in (QUERY, "Does rain fall?", QUERY):
        side.rerank(reranker, chunks_of(side), query)
    assert len(encoder.encoded) == len(TEXTS)

    without = FakeEncoder()
    reranker = side.Rerank(model=without, cache=False)
    for _ in range(2):
        side.rerank(reranker, chunks_of(side), QUERY)
    assert len(without.encoded) == 2 * len(TEXTS)

    folder = tmp_path / "embeddings"
    first, second = FakeEncoder(), FakeEncoder()
    expected = side.rerank(side.Rerank(model=first, cache=folder), chunks_of(side), QUERY)
    assert side.rerank(side.Rerank(model=second, cache=str(folder)), chunks_of(side), QUERY) == expected
    assert second.encoded == []

    shared = EmbeddingCache()
    assert side.rerank(side.Rerank(model=first, cache=shared), chunks_of(side), QUERY) == expected
    assert len(shared) > 0


class SlowEncoder(FakeEncoder):
    """Encodes off the event loop or not at all: remembers the thread."""

    def encode_documents(self, texts: Any, *, show_progress: bool = False) -> list[TokenEmbeddings]:
        self.thread = threading.current_thread()
        time.sleep(0.2)
        return super().encode_documents(texts, show_progress=show_progress)


async def test_async_leaves_the_event_loop_free(side: Any) -> None:
    encoder = SlowEncoder()
    reranker = side.Rerank(model=encoder)
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    pulse = asyncio.create_task(heartbeat())
    results = await side.arerank(reranker, chunks_of(side), QUERY)
    pulse.cancel()
    assert beats >= 5
    assert encoder.thread is not threading.main_thread()
    assert results == side.rerank(reranker, chunks_of(side), QUERY)


async def test_fifty_calls_at_once_give_what_one_gives(side: Any, offline: Encoder) -> None:
    queries = [f"{QUERY} {'grass ' * (i % 7)}" for i in range(50)]
    serial_reranker = side.Rerank(model=offline)
    serial = [side.rerank(serial_reranker, chunks_of(side), query) for query in queries]
    reranker = side.Rerank(model=offline, cache=False)
    gathered = await asyncio.gather(*(side.arerank(reranker, chunks_of(side), query) for query in queries))
    for one, other in zip(serial, gathered, strict=True):
        assert [side.name(chunk) for chunk in one] == [side.name(chunk) for chunk in other]
        assert [side.score(chunk) for chunk in one] == pytest.approx([side.score(chunk) for chunk in other], abs=1e-5)
        assert side.read_evidence(one[0])[0].text == side.read_evidence(other[0])[0].text


def test_arguments_have_docstrings(side: Any) -> None:
    documented = inspect.getdoc(side.Rerank) or ""
    for name in ("model", "top_n", "explain", "min_score", "cache", "batch_size", "device", "show_progress"):
        assert f"\n{name}\n" in documented


@pytest.mark.parametrize(
    ("adapter", "framework", "command"),
    [
        ("langchain_latelens", "langchain_core", r"pip install 'latelens\[langchain\]'"),
        ("llama_index_latelens", "llama_index", r"pip install 'latelens\[llama-index\]'"),
    ],
)
def test_a_missing_framework_names_the_command_to_run(adapter: str, framework: str, command: str) -> None:
    code = f"import sys; sys.modules['{framework}'] = None; import {adapter}"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.returncode != 0
    assert re.search(f"ImportError: {adapter} needs .*: run `{command}`", out.stderr)
