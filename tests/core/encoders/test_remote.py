"""A model on a server: the rows of the model here, or a clear error; a key in no output; nothing sent unasked."""

from __future__ import annotations

import io
import json
import logging
import pickle
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import tiny_models
from row_server import Rows, answers_of, serve
from tiny_models import needs_multi_vector

from latelens import EmbeddingCache, TokenKind, load_encoder, rerank
from latelens.encoders.remote import sending
from latelens.encoders.remote.sending import Key, ServerError, checked_address, find_key
from latelens.index import ExactIndex

pytest.importorskip("httpx", reason="needs latelens[remote]")
pytestmark = [needs_multi_vector, pytest.mark.filterwarnings("ignore:.*cannot read")]

NAMES = ["wordpiece-native", "modern_bpe-native", "unigram-native", "roberta_bpe-pylate", "spm_bpe-native"]
KEY = "sk-very-secret-0123456789"
TEXTS = [f"{sentence} {i}" for i, sentence in enumerate(tiny_models.SENTENCES * 3)] + [" ".join(tiny_models.SENTENCES)]


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The tokenizer and settings of a tiny model, written once."""
    root = tmp_path_factory.mktemp("served")

    @cache
    def make(name):
        tiny_models.encoder(name).export(root / name, weights=False)
        return root / name

    return make


def answer(name):
    return answers_of(tiny_models.encoder(name))


def remote(url, folder, api="jina", **options):
    return load_encoder(url, api=api, tokenizer=folder, **options)


def assert_same(got, want):
    assert (got.text, got.tokens, got.complete) == (want.text, want.tokens, want.complete)
    assert got.spans.tolist() == want.spans.tolist()
    assert got.kinds.tolist() == want.kinds.tolist()
    np.testing.assert_allclose(got.vectors, want.vectors, atol=1e-4)


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(sending, "_PAUSE", 0.01)


@pytest.mark.parametrize("name", NAMES)
def test_documents_and_queries_come_back_as_the_model_here_makes_them(name, folders):
    encoder = tiny_models.encoder(name)
    with serve(Rows(answer(name))) as url:
        other = remote(url, folders(name), batch_size=5)
        for task in ("encode_documents", "encode_queries"):
            for got, want in zip(getattr(other, task)(TEXTS[:12]), getattr(encoder, task)(TEXTS[:12]), strict=True):
                assert_same(got, want)


def test_vllm_is_sent_ids_with_prompt_and_answers_for_all_of_them(folders):
    name, state = "modern_bpe-bare", Rows(answer("modern_bpe-bare"))
    with serve(state) as url:
        other = remote(url + "/", folders(name), api="vllm", served_model="served")
        for got, want in zip(
            other.encode_documents(TEXTS), tiny_models.encoder(name).encode_documents(TEXTS), strict=True
        ):
            assert_same(got, want)
    assert {(body["model"], body["task"]) for body in state.asked} == {("served", "token_embed")}
    assert all(isinstance(token, int) for body in state.asked for ids in body["input"] for token in ids)


def test_query_rows_that_vllm_cannot_make_are_left_out_and_that_is_said(folders):
    name = "wordpiece-native"
    (want,) = tiny_models.encoder(name).encode_queries(["the old keeper"])
    with serve(Rows(answer(name))) as url:
        with pytest.warns(UserWarning, match="vLLM cannot do: they are left out"):
            other = remote(url, folders(name), api="vllm")
        (got,) = other.encode_queries(["the old keeper"])
    kept = want.kinds != TokenKind.EXPANSION
    assert got.tokens == tuple(token for token, keep in zip(want.tokens, kept, strict=True) if keep)
    np.testing.assert_allclose(got.vectors, want.vectors[kept], atol=1e-4)
    assert len(got) < len(want)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("count", "came back as .* vectors: the tokenizer's folder is that of another model"),
        ("nan", "vectors that hold NaN or infinity"),
        ("fewer", r"was sent \d+ texts and answered for"),
        ("401", "status 401.*check the key"),
        ("302", "status 302"),
    ],
)
def test_a_reply_that_does_not_agree_is_refused_and_not_asked_for_again(fault, said, folders):
    state = Rows(answer("wordpiece-native"), faults={fault: 1})
    with serve(state) as url, pytest.raises(ServerError, match=said):
        remote(url, folders("wordpiece-native")).encode_documents(TEXTS[:2])
    assert len(state.asked) == 1


@pytest.mark.parametrize("fault", ["429", "503", "cut"])
def test_what_passes_is_asked_again(fault, folders, fast):
    state = Rows(answer("wordpiece-native"), faults={fault: 0.5}, seed=3)
    with serve(state) as url:
        found = remote(url, folders("wordpiece-native"), batch_size=1).encode_documents(TEXTS[:6])
    assert state.counts[fault] >= 1
    assert [rows.text for rows in found] == TEXTS[:6]


def test_a_server_that_never_recovers_is_named_with_the_next_step(folders, fast):
    state = Rows(answer("wordpiece-native"), faults={"500": 1})
    with (
        serve(state) as url,
        pytest.raises(ServerError, match=r"127\.0\.0\.1.* 6 of 6 attempts .*status 500.*timeout="),
    ):
        remote(url, folders("wordpiece-native")).encode_queries(["the keeper"])
    with pytest.raises(ServerError, match="ConnectError"):
        remote("http://127.0.0.1:9", folders("wordpiece-native")).encode_queries(["the keeper"])


def test_a_slow_server_is_not_waited_for_beyond_the_timeout(folders, fast, monkeypatch):
    monkeypatch.setattr(sending, "_ATTEMPTS", 2)
    start = time.monotonic()
    with (
        serve(Rows(answer("wordpiece-native"), faults={"slow": 1})) as url,
        pytest.raises(ServerError, match="ReadTimeout"),
    ):
        remote(url, folders("wordpiece-native"), timeout=0.2).encode_queries(["the keeper"])
    assert time.monotonic() - start < 10


def test_retry_after_is_read_as_seconds_or_as_a_date():
    assert sending._asked_pause("1.5") == 1.5
    assert sending._asked_pause("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert sending._asked_pause("soon") is None


def test_thirty_two_calls_at_once_with_faults_are_right_and_in_order_or_say_why(folders, fast):
    name = "wordpiece-native"
    faults = {"429": 0.015, "503": 0.015, "cut": 0.01, "count": 0.005, "nan": 0.005}
    want = tiny_models.encoder(name).encode_documents(TEXTS)
    with serve(Rows(answer(name), faults=faults)) as url:
        other = remote(url, folders(name), batch_size=4, timeout=60)

        def call(i):
            try:
                return i, other.encode_documents(TEXTS[i % 7 :])
            except ServerError as error:
                return i, error

        with ThreadPoolExecutor(32) as pool:
            results = list(pool.map(call, range(32)))
    right = 0
    for i, result in results:
        if isinstance(result, ServerError):
            assert "NaN" in str(result) or "came back as" in str(result)
            continue
        right += 1
        for got, expected in zip(result, want[i % 7 :], strict=True):
            assert_same(got, expected)
    assert right >= 16


def test_a_key_is_sent_and_appears_nowhere_else(folders, fast, tmp_path, caplog, capfd, monkeypatch):
    caplog.set_level(logging.DEBUG)
    name, said = "wordpiece-native", io.StringIO()
    state = Rows(answer(name))
    with serve(state) as url:
        encoder = remote(url, folders(name), api_key=KEY)
        cache_ = EmbeddingCache(tmp_path / "cache")
        ranked = rerank("the keeper", TEXTS[:3], encoder, cache=cache_)
        index = ExactIndex(encoder, tmp_path / "index")
        index.upsert([])
        written = [repr(encoder), str(vars(encoder)), encoder.fingerprint, encoder.name, ranked[0]._repr_html_()]
        payload = pickle.dumps(encoder)
        monkeypatch.setenv("JINA_API_KEY", KEY)
        pickle.loads(payload).encode_queries(["the keeper"])
        for fault in ("401", "500", "nan"):
            state.faults = {fault: 1}
            try:
                encoder.encode_queries([f"the {fault}"])
            except ServerError as error:
                traceback.print_exception(error, file=said)
                written += [repr(error), str(error), *map(str, (error.__cause__, error.__context__))]
                payload += pickle.dumps(error)
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in state.headers)
    assert said.getvalue().count("ServerError") >= 3
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    outputs = [*written, said.getvalue(), caplog.text, *capfd.readouterr(), json.dumps(state.asked)]
    assert files
    for each in [*files, payload, *(output.encode() for output in outputs)]:
        assert KEY.encode() not in each
        assert KEY[3:].encode() not in each


def test_keys_come_from_an_argument_or_the_environment_and_stay_behind(monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "from-environment")
    assert find_key(None, "VLLM_API_KEY").header() == {"Authorization": "Bearer from-environment"}
    assert find_key("given", "VLLM_API_KEY").header() == {"Authorization": "Bearer given"}
    assert find_key("", "VLLM_API_KEY").header() == {}
    assert repr(Key("given")) == "Key(***)"
    with pytest.raises(TypeError, match="a key is not pickled"):
        pickle.dumps(Key("given"))
    with pytest.raises(ValueError, match="no white space") as refused:
        find_key("two words", "VLLM_API_KEY")
    assert "two words" not in str(refused.value)


def test_addresses_with_a_name_a_key_or_a_query_are_refused_without_quoting_it():
    assert checked_address("http://here:8000", "/pooling") == "http://here:8000/pooling"
    assert checked_address("https://here/pooling", "/pooling") == "https://here/pooling"
    for url in ("https://me:secret@here", "https://here/?key=secret"):
        with pytest.raises(ValueError, match="must hold no name, key or query") as refused:
            checked_address(url, "/pooling")
        assert "secret" not in str(refused.value)
    with pytest.raises(ValueError, match="is named as http"):
        checked_address("http:here", "/pooling")


def test_loading_asks_no_server_and_says_what_is_missing(folders):
    folder = folders("wordpiece-native")
    assert "127.0.0.1:9" in repr(remote("http://127.0.0.1:9", folder))
    for options, said in (
        ({}, "api must be one of 'vllm', 'jina', got None"),
        ({"api": "jina"}, "tokenizer must name the folder that encoder.export"),
        ({"api": "jina", "tokenizer": folder, "device": "cuda"}, "is for models that run here"),
    ):
        with pytest.raises(ValueError, match=said):
            load_encoder("http://127.0.0.1:9", **options)
    with pytest.raises(ValueError, match="api must be 'vllm', 'jina' or None, got 'openai'"):
        load_encoder("http://127.0.0.1:9", api="openai")
    with pytest.raises(ValueError, match="api_key is for the address of a server"):
        load_encoder("offline/all-MiniLM-L6-v2", api_key="x")
    with pytest.raises(ValueError, match=r"model\.onnx is missing"):
        load_encoder(folder)
    with pytest.raises(ValueError, match="timeout must be seconds above 0"):
        remote("http://127.0.0.1:9", folder, timeout=0)
