"""Engines and number formats: what is chosen, what it costs in precision, and that caches keep them apart."""

import importlib.util
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_models
from tiny_models import one_torch_thread  # noqa: F401

from latelens import EmbeddingCache, explain, load_encoder
from latelens.encoders import routes as encoder_routes
from latelens.encoders.onnx import kept
from latelens.encoders.routes import Route, stays_on_cpu, torch_route

OPENVINO = all(map(importlib.util.find_spec, ("openvino", "onnx", "onnxscript"))) and tiny_models.MULTI_VECTOR
needs_openvino = pytest.mark.skipif(not OPENVINO, reason="OpenVINO is not installed: pip install 'latelens[fast]'")
OFFLINE = "offline/all-MiniLM-L6-v2"
TEXTS = [" ".join(tiny_models.SENTENCES[i : i + 3]) for i in range(6)]


@pytest.fixture(scope="module")
def fast():
    return load_encoder(OFFLINE, device="cpu", speed="fast")


def cosines(one, other):
    return np.concatenate([(a.vectors * b.vectors).sum(axis=1) for a, b in zip(one, other, strict=True)])


# --- what is chosen ---


def test_exact_is_what_the_user_asked_for():
    for dtype in (None, "bfloat16"):
        assert torch_route(dtype=dtype, speed="exact", device="cpu") == Route("torch", dtype)


@pytest.mark.parametrize("instructions", [True, False])
def test_torch_rounds_only_where_that_helps(instructions, monkeypatch):
    monkeypatch.setattr(encoder_routes, "_multiplies_bfloat16", lambda: instructions)
    found = torch_route(dtype=None, speed="fast", device="cpu")
    assert found == Route("torch", "bfloat16" if instructions else None)


@pytest.mark.parametrize(
    ("instructions", "openvino", "speed", "said"),
    [
        (True, False, "exact", r"runs on torch; speed='fast' .* twice as fast, after pip install 'latelens\[fast\]'$"),
        (True, True, "exact", r"runs on torch; speed='fast' rounds to bfloat16 and is about twice as fast$"),
        (True, False, "fast", r"runs on torch bfloat16; OpenVINO is faster: pip install 'latelens\[fast\]'$"),
        (False, False, "exact", r"runs on torch$"),
    ],
)
def test_what_would_be_faster_is_said_in_the_log_in_one_line(instructions, openvino, speed, said, monkeypatch, caplog):
    monkeypatch.setattr(encoder_routes, "_multiplies_bfloat16", lambda: instructions)
    monkeypatch.setattr(encoder_routes, "has", lambda *_: openvino)
    monkeypatch.setattr(kept, "has", lambda *_: False)
    with caplog.at_level("INFO", logger="latelens"):
        load_encoder(tiny_models.checkpoint("wordpiece-plain"), device="cpu", speed=speed)
    assert [line for line in caplog.messages if re.search(said, line)]


def test_where_an_accelerator_may_be_torch_is_asked(monkeypatch):
    monkeypatch.setattr(encoder_routes.shutil, "which", lambda _: None)
    monkeypatch.setattr(encoder_routes, "_DRIVERS", ())
    monkeypatch.setattr(encoder_routes.sys, "platform", "linux")
    assert [stays_on_cpu(device) for device in (None, "cpu", "cuda:0")] == [True, True, False]
    monkeypatch.setattr(encoder_routes.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    assert [stays_on_cpu(device) for device in (None, "cpu")] == [False, True]
    monkeypatch.setattr(encoder_routes.sys, "platform", "darwin")
    assert not stays_on_cpu(None)


def test_what_the_user_passes_to_the_library_wins():
    assert Route("torch", "bfloat16").options({"dtype": "float16"})["model_kwargs"] == {"dtype": "float16"}
    assert Route().options(None) == {"model_kwargs": None}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"speed": "warp"}, ValueError, "speed must be 'exact' or 'fast', got 'warp'"),
        ({"engine": "tpu"}, ValueError, "engine must be 'auto', 'torch', 'onnx' or 'openvino', got 'tpu'"),
        ({"dtype": "int8"}, ValueError, "dtype must be 'float32', 'bfloat16', 'float16' or None, got 'int8'"),
        ({"speed": "fast", "dtype": "bfloat16"}, ValueError, "chooses engine and dtype itself"),
    ],
)
def test_wrong_choices_say_what_to_do(options, error, message):
    with pytest.raises(error, match=message):
        load_encoder(OFFLINE, **options)


@pytest.mark.skipif(OPENVINO, reason="OpenVINO is installed")
@pytest.mark.skipif(not tiny_models.MULTI_VECTOR, reason="PyLate runs on torch only, and says so")
def test_a_missing_engine_names_the_command():
    if importlib.util.find_spec("openvino"):
        pytest.skip("OpenVINO is installed")
    with pytest.raises(ImportError, match=r"pip install 'latelens\[fast\]'"):
        load_encoder(OFFLINE, engine="openvino")


# --- what it costs ---


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("kind", ["native" if tiny_models.MULTI_VECTOR else "pylate", "plain"])
def test_bfloat16_keeps_rows_spans_and_unit_length_and_moves_vectors_a_little(family, kind):
    path = tiny_models.checkpoint(f"{family}-{kind}")
    exact, rounded = (load_encoder(path, device="cpu", dtype=dtype) for dtype in (None, "bfloat16"))
    assert str(rounded.route) == "torch bfloat16"
    ours, theirs = rounded.encode_documents(TEXTS), exact.encode_documents(TEXTS)
    for a, b in zip(ours, theirs, strict=True):
        assert a.tokens == b.tokens
        assert (a.spans == b.spans).all()
        assert a.vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(a.vectors, axis=1), 1, atol=1e-5)
    assert cosines(ours, theirs).mean() > 0.999
    assert cosines(ours, theirs).min() < 1 - 1e-7
    query = rounded.encode_queries(["Why do swallows return?"])[0]
    explanation = explain(query, ours[0])
    assert explanation.score == pytest.approx(sum(match.similarity for match in explanation.matches), abs=1e-9)


def test_the_fast_way_keeps_every_cosine_above_999_thousandths(fast, offline):
    ours, theirs = fast.encode_documents(TEXTS), offline.encode_documents(TEXTS)
    assert [a.tokens for a in ours] == [b.tokens for b in theirs]
    assert cosines(ours, theirs).min() >= 0.999


def test_the_fast_way_says_what_it_is(fast, offline):
    exports = tiny_models.MULTI_VECTOR
    expected = torch_route(dtype=None, speed="fast", device="cpu")
    assert fast.route == (Route("openvino", expected.dtype) if exports and OPENVINO else expected)
    assert repr(str(fast.route)) in repr(fast)
    assert "route='torch'" in repr(offline)


@pytest.mark.filterwarnings("ignore:the query is longer")
def test_four_threads_share_the_fast_way(fast):
    work = [[TEXTS[i % 6], TEXTS[(i * 5 + 1) % 6][: 20 + 7 * i]] for i in range(24)]
    serial = [fast.encode_documents(texts) for texts in work]
    with ThreadPoolExecutor(4) as pool:
        for results, expected in zip(pool.map(fast.encode_documents, work), serial, strict=True):
            for a, b in zip(results, expected, strict=True):
                assert a.tokens == b.tokens
                np.testing.assert_allclose(a.vectors, b.vectors, atol=1e-5)


# --- what a cache tells apart ---


def test_the_number_format_is_in_the_fingerprint():
    path = tiny_models.checkpoint(tiny_models.ANY)
    prints = {load_encoder(path, device="cpu", dtype=dtype).fingerprint for dtype in (None, "bfloat16", "float16")}
    assert len(prints) == 3


@needs_openvino
def test_what_openvino_cannot_run_takes_torch_and_says_so(monkeypatch):
    monkeypatch.setattr(kept, "_write", lambda *_: (_ for _ in ()).throw(RuntimeError("no rule for this layer")))
    monkeypatch.setattr(kept, "_once", lambda *_: (_ for _ in ()).throw(RuntimeError("no rule for this layer")))
    with pytest.warns(UserWarning, match=r"does not run on openvino.* .no rule for this layer.; using torch"):
        encoder = load_encoder(tiny_models.checkpoint("wordpiece-plain"), device="cpu", speed="fast")
    assert encoder.route.engine == "torch"


def test_the_fast_way_goes_through_a_cache(fast, offline):
    cache = EmbeddingCache()
    first = cache.encode_documents(fast, TEXTS)
    again = cache.encode_documents(fast, TEXTS)
    exact = cache.encode_documents(offline, TEXTS)
    assert all((a.vectors == b.vectors).all() for a, b in zip(first, again, strict=True))
    assert any((a.vectors != b.vectors).any() for a, b in zip(first, exact, strict=True)) or str(fast.route) == "torch"
