"""One model a process: what is shared, what travels to another process, and what is refused."""

import copy
import gc
import inspect
import multiprocessing
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import tiny_models
from fake_encoder import FakeEncoder
from pool_encoders import Troubled

from latelens import Calibration, EmbeddingCache, Encoder, EncoderPool, load_encoder, rerank
from latelens.encoders import lazy as lazy_module
from latelens.encoders.cached import CachedEncoder, cached
from latelens.encoders.lazy import LazyEncoder
from latelens.encoders.options import DEFAULTS, EncoderOptions

TEXTS = ["Elephants eat grass.", "The museum opens at ten."]
MADE = Calibration("made", strength=1.0, length=0.0, intercept=0.0, fitted_on="by hand")


@pytest.fixture
def loads(monkeypatch):
    """What is loaded: a fake, which is noted with its options."""
    seen = []

    def load(model, options):
        seen.append((model, options))
        return FakeEncoder()

    monkeypatch.setattr(lazy_module, "load", load)
    return seen


# --- one model for one name ---


def test_the_same_name_with_the_same_options_is_loaded_once(loads, tmp_path):
    one, other = LazyEncoder("some/model", batch_size=4), LazyEncoder("some/model", batch_size=4, device=None)
    assert one.loaded() is other.loaded()
    assert len(loads) == 1
    folders = LazyEncoder(tmp_path), LazyEncoder(str(tmp_path), model_kwargs=None)
    assert folders[0].loaded() is folders[1].loaded()
    assert folders[0].name == str(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4},
        {"device": "cpu"},
        {"speed": "fast"},
        {"dtype": "bfloat16"},
        {"revision": "v2"},
        {"trust_remote_code": True},
        {"calibration": MADE},
        {"model_kwargs": {"attn_implementation": "eager"}},
        {"model_kwargs": {"other": [object()]}},
    ],
)
def test_other_options_are_another_encoder_and_reach_load_encoder(options, loads):
    plain, other = LazyEncoder("some/model"), LazyEncoder("some/model", **options)
    assert plain.loaded() is not other.loaded()
    assert loads == [("some/model", {}), ("some/model", options)]


def test_options_in_another_order_are_the_same_options(loads):
    one = LazyEncoder("some/model", model_kwargs={"a": 1, "b": [2, {"c": 3}]})
    other = LazyEncoder("some/model", model_kwargs={"b": [2, {"c": 3}], "a": 1})
    assert one.loaded() is other.loaded()


def test_a_model_goes_with_its_last_user(loads):
    one, other = LazyEncoder("some/model"), LazyEncoder("some/model")
    held = weakref.ref(one.loaded())
    del one
    gc.collect()
    assert held() is not None
    del other
    gc.collect()
    assert held() is None
    LazyEncoder("some/model").loaded()
    assert len(loads) == 2


def test_eight_threads_with_an_encoder_each_load_one_model(loads, monkeypatch):
    slow = lazy_module.load
    started = threading.Barrier(8)
    monkeypatch.setattr(lazy_module, "load", lambda *a, **k: (threading.Event().wait(0.05), slow(*a, **k))[1])

    def first(_):
        started.wait(timeout=60)
        lazy = LazyEncoder("some/model")
        return lazy, lazy.loaded()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(first, range(8)))
    assert len({id(encoder) for _, encoder in found}) == 1
    assert len(loads) == 1


def test_a_load_that_fails_is_tried_again(monkeypatch):
    answers = [OSError("no network"), FakeEncoder()]

    def load(model, options):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(lazy_module, "load", load)
    lazy = LazyEncoder("some/model")
    with pytest.raises(OSError, match="no network"):
        lazy.loaded()
    assert lazy.encode_queries(["a"])[0].text == "a"


def test_what_load_encoder_made_is_taken_as_it_is():
    encoder = FakeEncoder()
    assert LazyEncoder(encoder).loaded() is encoder
    assert LazyEncoder(encoder).name == "fake"


def test_the_options_are_those_of_load_encoder():
    parameters = dict(inspect.signature(load_encoder).parameters)
    del parameters["model"]
    assert list(EncoderOptions.__annotations__) == list(parameters)
    assert {name: parameter.default for name, parameter in parameters.items()} == DEFAULTS


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        (
            {"dvice": "cpu"},
            TypeError,
            r"has no option 'dvice'; choose from api, api_key, backend, batch_size",
        ),
        ({"batch_size": "x"}, TypeError, "batch_size must be an int or None, got str: 'x'"),
        ({"batch_size": True}, TypeError, "batch_size must be an int or None, got bool: True"),
        ({"device": 0}, TypeError, "device must be a str such as 'cuda' or None, got int: 0"),
        ({"calibration": 3}, TypeError, "calibration must be a Calibration, the path of a file or None, got int: 3"),
        ({"speed": "warp"}, ValueError, "speed must be 'exact' or 'fast', got 'warp'"),
        ({"backend": "jax"}, ValueError, "backend must be 'auto', .* got 'jax'"),
    ],
)
def test_an_option_that_means_nothing_is_refused_before_anything_loads(options, error, match, loads):
    with pytest.raises(error, match=match):
        LazyEncoder("some/model", **options)
    assert not loads


def test_a_device_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="there is no device 'gpu'; give 'cpu', 'cuda'"):
        load_encoder(tiny_models.checkpoint("wordpiece-plain"), device="gpu")


# --- copies and other processes ---


def encoders(tmp_path):
    folder = tiny_models.checkpoint("wordpiece-plain")
    lazy = LazyEncoder(folder, device="cpu", batch_size=3)
    return {
        "lazy": lazy,
        "lazy, loaded": (lazy.loaded(), lazy)[1],
        "loaded from a folder": load_encoder(folder, device="cpu", batch_size=3),
        "around the user's model": load_encoder(load_encoder(folder, device="cpu").model, calibration=MADE),
        "lazy around the user's model": LazyEncoder(load_encoder(folder, device="cpu").model),
        "cached": cached(lazy, EmbeddingCache(tmp_path / "kept")),
    }


KINDS = [
    "lazy", "lazy, loaded", "loaded from a folder", "around the user's model", "lazy around the user's model", "cached"
]  # fmt: skip


def encode_there(encoder: Encoder) -> tuple[str, str, list]:
    return encoder.name, encoder.fingerprint, [each.vectors for each in encoder.encode_documents(TEXTS)]


@pytest.fixture(scope="module")
def workers():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_encodes_alike_in_another_process(kind, workers, tmp_path):
    encoder = encoders(tmp_path)[kind]
    name, fingerprint, vectors = workers.submit(encode_there, encoder).result(timeout=120)
    assert (name, fingerprint) == (encoder.name, encoder.fingerprint)
    for there, here in zip(vectors, encoder.encode_documents(TEXTS), strict=True):
        np.testing.assert_allclose(there, here.vectors, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_deep_copy_loads_nothing_twice(kind, tmp_path):
    encoder = encoders(tmp_path)[kind]
    twin = copy.deepcopy(encoder)
    for there, here in zip(twin.encode_documents(TEXTS), encoder.encode_documents(TEXTS), strict=True):
        assert (there.vectors == here.vectors).all()
    if kind == "cached":
        assert (twin.encoder, twin.cache) == (encoder.encoder, encoder.cache)
    else:
        assert twin is encoder


def test_a_pickle_of_a_name_carries_the_options_and_no_weights():
    folder = tiny_models.checkpoint("wordpiece-plain")
    lazy = LazyEncoder(folder, device="cpu", batch_size=3, calibration=MADE)
    lazy.loaded()
    sent = pickle.dumps(lazy)
    assert len(sent) < 1000
    back = pickle.loads(sent)
    assert back.loaded() is lazy.loaded()  # in one process, still one model
    loaded = pickle.loads(pickle.dumps(load_encoder(folder, device="cpu", batch_size=3, calibration=MADE)))
    assert isinstance(loaded, LazyEncoder)
    assert (loaded.loaded().batch_size, loaded.calibration) == (3, MADE)


def test_a_calibration_set_by_hand_travels():
    encoder = load_encoder(tiny_models.checkpoint("wordpiece-plain"), device="cpu")
    encoder.calibration = MADE
    assert pickle.loads(pickle.dumps(encoder)).calibration == MADE


def test_the_users_model_is_never_replaced_by_a_default():
    model = load_encoder(tiny_models.checkpoint("wordpiece-plain"), device="cpu").model
    with __import__("torch").no_grad():
        next(model.parameters()).add_(0.5)
    encoder = load_encoder(model)
    assert pickle.loads(pickle.dumps(encoder)).fingerprint == encoder.fingerprint
    assert pickle.loads(pickle.dumps(LazyEncoder(model))).fingerprint == encoder.fingerprint


def test_an_object_that_cannot_be_pickled_is_refused_not_replaced():
    encoder = FakeEncoder()
    encoder.lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(LazyEncoder(encoder))


def test_a_cache_travels_without_its_memory_and_keeps_its_folder(tmp_path):
    cache = EmbeddingCache(tmp_path / "kept", max_bytes=12345)
    encoder = FakeEncoder(dim=16)
    cache.encode_documents(encoder, TEXTS)
    back = pickle.loads(pickle.dumps(cache))
    assert (back.path, back.max_bytes, len(back)) == (cache.path, 12345, 0)
    back.encode_documents(encoder, TEXTS)
    assert encoder.encoded == TEXTS  # read from the folder
    assert copy.deepcopy({"cache": cache})["cache"] is cache


def test_a_pool_travels_and_starts_its_own_processes():
    with EncoderPool(Troubled(), processes=2, options={"batch_size": 2}) as pool:
        pool.encode_queries(["a"])
        back = pickle.loads(pickle.dumps(pool))
    assert (repr(back), back.fingerprint) == (repr(pool), pool.fingerprint)


# --- a cached encoder is an encoder ---


def test_a_cached_encoder_is_an_encoder_and_encodes_once():
    class Calibrated(FakeEncoder):
        calibration = MADE

    encoder = Calibrated()
    kept = cached(encoder, EmbeddingCache())
    assert isinstance(kept, CachedEncoder)
    assert isinstance(kept, Encoder)
    assert (kept.name, kept.fingerprint, kept.dim, kept.calibration) == ("fake", "fake-4096", 4096, MADE)
    kept.encode_documents(TEXTS)
    kept.encode_documents(TEXTS)
    assert encoder.encoded == TEXTS
    assert kept.encode_queries(["a"])[0] is kept.encode_queries(["a"])[0]
    assert cached(encoder, None) is encoder


def test_a_ranking_with_a_cached_encoder_is_that_with_a_cache():
    encoder, cache = FakeEncoder(), EmbeddingCache()
    one = rerank("elephants eat", TEXTS, encoder, cache=cache)
    other = rerank("elephants eat", TEXTS, cached(encoder, cache))
    assert [(each.index, each.score) for each in one] == [(each.index, each.score) for each in other]
    assert encoder.encoded == TEXTS


# --- what an import costs ---


@pytest.mark.parametrize("module", ["latelens", "langchain_latelens", "llama_index_latelens", "latelens.encoders.lazy"])
def test_an_import_loads_no_heavy_library(module):
    heavy = ["torch", "transformers", "sentence_transformers", "pylate", "matplotlib", "rich", "sklearn", "onnxruntime"]
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.strip() == "[]"


def test_the_offline_model_loads_quietly():
    code = "from latelens import load_encoder; load_encoder('offline/all-MiniLM-L6-v2').encode_queries(['a'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert (run.stdout, run.stderr) == ("", "")
