"""Engines and number formats: what is chosen, what it costs in precision, and that caches keep them apart."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_models
from tiny_models import one_torch_thread  # noqa: F401

from latelens import EmbeddingCache, explain, load_encoder
from latelens.encoders.local import opening
from latelens.encoders.local import routes as local_routes
from latelens.encoders.local.routes import Route, routes

OPENVINO = importlib.util.find_spec("openvino") is not None and tiny_models.MULTI_VECTOR
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
        found = routes(engine="torch", dtype=dtype, speed="exact", device="cpu", exports=True)
        assert found == [Route("torch", dtype)]


@pytest.mark.parametrize("instructions", [True, False])
@pytest.mark.parametrize("openvino", [True, False])
@pytest.mark.parametrize("exports", [True, False])
def test_fast_on_a_cpu_ends_with_torch_and_rounds_only_where_that_helps(instructions, openvino, exports, monkeypatch):
    monkeypatch.setattr(local_routes, "_multiplies_bfloat16", lambda: instructions)
    monkeypatch.setattr(local_routes, "_has_openvino", lambda: openvino)
    found = routes(engine="torch", dtype=None, speed="fast", device="cpu", exports=exports)
    assert found[-1] == Route("torch", "bfloat16" if instructions else None)
    assert [route.engine for route in found] == (["openvino", "torch"] if openvino and exports else ["torch"])
    assert len({route.dtype for route in found}) == 1


def test_a_model_without_an_export_runs_on_the_next_route_and_says_so():
    def open_model(where, *, model_kwargs, backend="torch"):
        if backend == "openvino":
            raise RuntimeError("no rule for this layer")
        return (where, backend, model_kwargs)

    wanted = [Route("openvino", "bfloat16"), Route("torch", "bfloat16")]
    with pytest.warns(UserWarning, match="does not run on openvino bfloat16 .no rule for this layer.; using torch"):
        loaded, route = opening._by_first_route(open_model, "here", wanted, None)
    assert loaded == ("here", "torch", {"dtype": "bfloat16"})
    assert route == wanted[1]
    with pytest.raises(RuntimeError, match="no rule"):
        opening._by_first_route(open_model, "here", wanted[:1], None)


def test_what_the_user_passes_to_the_library_wins():
    options = Route("openvino", "bfloat16").options({"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}, "a": 1})
    assert options["model_kwargs"] == {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}, "a": 1}
    assert Route("torch", "bfloat16").options({"dtype": "float16"})["model_kwargs"] == {"dtype": "float16"}
    assert Route().options(None) == {"model_kwargs": None}


def test_openvino_does_not_round_by_itself():
    assert Route("openvino").options(None)["model_kwargs"] == {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"speed": "warp"}, ValueError, "speed must be 'exact' or 'fast', got 'warp'"),
        ({"engine": "onnx"}, ValueError, r"write the model with encoder\.export"),
        ({"engine": "tpu"}, ValueError, "engine must be 'torch' or 'openvino', got 'tpu'"),
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
    expected = routes(engine="torch", dtype=None, speed="fast", device="cpu", exports=exports)[0]
    assert fast.route == expected
    assert repr(str(expected)) in repr(fast)
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
def test_exported_models_of_other_weights_never_share_cache_entries(tmp_path):
    found = {}
    for seed in (0, 1):
        folder = tiny_models.save_backbone(tmp_path / str(seed), "wordpiece", seed=seed)
        for engine in ("torch", "openvino"):
            encoder = load_encoder(folder, device="cpu", engine=engine)
            found[seed, engine] = encoder.fingerprint
            again = load_encoder(folder, device="cpu", engine=engine)
            assert again.fingerprint == encoder.fingerprint
    assert len(set(found.values())) == 4


# optimum-intel knows no ModernBERT.
EXPORTABLE = [family for family in tiny_models.FAMILIES if family not in ("modern_bpe", "spm_bpe")]


@needs_openvino
def test_a_modernbert_takes_the_next_route():
    with pytest.warns(UserWarning, match="does not run on openvino"):
        encoder = load_encoder(tiny_models.checkpoint("modern_bpe-plain"), device="cpu", speed="fast")
    assert encoder.route.engine == "torch"


@needs_openvino
@pytest.mark.parametrize("family", EXPORTABLE)
def test_an_exported_model_reads_the_same_rows_in_as_many_windows(family):
    path = tiny_models.checkpoint(f"{family}-plain")
    text = " ".join(tiny_models.SENTENCES * 3)
    exact, exported = (load_encoder(path, device="cpu", engine=engine) for engine in ("torch", "openvino"))
    ours, theirs = exported.encode_documents([text, "..."]), exact.encode_documents([text, "..."])
    assert [a.tokens for a in ours] == [b.tokens for b in theirs]
    np.testing.assert_allclose(ours[0].vectors, theirs[0].vectors, atol=1e-4)
    query, same = exported.encode_queries(["Why?"])[0], exact.encode_queries(["Why?"])[0]
    np.testing.assert_allclose(query.vectors, same.vectors, atol=1e-4)


def test_the_fast_way_goes_through_a_cache(fast, offline):
    cache = EmbeddingCache()
    first = cache.encode_documents(fast, TEXTS)
    again = cache.encode_documents(fast, TEXTS)
    exact = cache.encode_documents(offline, TEXTS)
    assert all((a.vectors == b.vectors).all() for a, b in zip(first, again, strict=True))
    assert any((a.vectors != b.vectors).any() for a, b in zip(first, exact, strict=True)) or str(fast.route) == "torch"
