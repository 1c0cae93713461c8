import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny_models
from tiny_models import one_torch_thread  # noqa: F401

from latelens import load_encoder
from latelens.encoders.lazy import LazyEncoder

FORMAT = "native" if tiny_models.MULTI_VECTOR else "pylate"
NAMES = [f"{family}-{FORMAT}" for family in tiny_models.FAMILIES if family != "roberta_bpe"] + ["roberta_bpe-plain"]


def calls(seed, number):
    """Queries and documents of many lengths: what truncates and what does not, mixed."""
    rng = random.Random(seed)
    return [
        (rng.choice(["queries", "documents"]), [tiny_models.random_text(rng, rng.randint(1, 30)) for _ in range(2)])
        for _ in range(number)
    ]


def call(encoder, task, texts):
    return encoder.encode_queries(texts) if task == "queries" else encoder.encode_documents(texts)


def assert_same(results, expected):
    for group, expected_group in zip(results, expected, strict=True):
        for result, other in zip(group, expected_group, strict=True):
            assert result.text == other.text
            assert result.tokens == other.tokens
            assert (result.spans == other.spans).all()
            assert (result.kinds == other.kinds).all()
            assert result.complete == other.complete
            np.testing.assert_allclose(result.vectors, other.vectors, atol=1e-5)


@pytest.mark.filterwarnings("ignore:the query is longer")
@pytest.mark.parametrize("name", NAMES)
def test_four_threads_get_what_one_gets(name):
    encoder = tiny_models.encoder(name)
    work = calls(name, 240)
    serial = [call(encoder, *each) for each in work]
    with ThreadPoolExecutor(4) as pool:
        assert_same(pool.map(lambda each: call(encoder, *each), work), serial)


@pytest.mark.filterwarnings("ignore:the query is longer")
def test_two_encoders_on_one_model_do_not_disturb_each_other():
    model = load_encoder(tiny_models.checkpoint(tiny_models.ANY), device="cpu").model
    pair = [load_encoder(model), load_encoder(model)]
    work = calls("pair", 240)
    serial = [call(pair[0], *each) for each in work]
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda i: call(pair[i % 2], *work[i]), range(len(work)))
        assert_same(results, serial)


@pytest.mark.filterwarnings("ignore:the query is longer")
async def test_fifty_calls_at_once_from_asyncio_get_what_one_gets():
    encoder = tiny_models.encoder(f"modern_bpe-{FORMAT}")
    work = calls("async", 50)
    serial = [call(encoder, *each) for each in work]
    results = await asyncio.gather(*(asyncio.to_thread(call, encoder, *each) for each in work))
    assert_same(results, serial)


@pytest.mark.filterwarnings("ignore:the query is longer")
def test_four_threads_share_the_offline_model(offline):
    work = calls("offline", 32)
    serial = [call(offline, *each) for each in work]
    with ThreadPoolExecutor(4) as pool:
        assert_same(pool.map(lambda each: call(offline, *each), work), serial)


def test_a_lazy_encoder_loads_once_whichever_thread_comes_first(monkeypatch):
    loads = []
    started = threading.Barrier(4)

    def load(model, options):
        loads.append(model)
        return load_encoder(model, **options)

    monkeypatch.setattr("latelens.encoders.lazy.load", load)
    lazy = LazyEncoder(tiny_models.checkpoint("wordpiece-plain"), device="cpu")

    def first(_):
        started.wait(timeout=60)
        return lazy.encode_queries(["a"])[0].tokens

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(first, range(4))) == {("[CLS]", "a", "[SEP]")}
    assert len(loads) == 1
