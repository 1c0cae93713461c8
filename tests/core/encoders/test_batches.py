"""Batches: which windows share one, and that on a CPU no row depends on its batch."""

import random

import numpy as np
import pytest
import tiny_models
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import one_torch_thread  # noqa: F401

from latelens import EmbeddingCache, load_encoder, rerank
from latelens.encoders.batches import PlannedWindow, even_batches, mixed_batches, padded_width

counts = st.lists(st.integers(1, 600), max_size=60)


def planned(tokens):
    return [PlannedWindow(i, 0, 1, count) for i, count in enumerate(tokens)]


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_a_width_holds_the_window_pads_an_eighth_at_most_and_keeps_the_limit(tokens, limit):
    limit = max(tokens, limit)
    width = padded_width(tokens, limit)
    assert tokens <= width <= limit
    assert width < max(tokens + 8, tokens * 9 / 8 + 1)


@given(counts, st.integers(1, 9))
def test_even_batches_hold_each_window_once_and_one_width(tokens, size):
    windows = planned(tokens)
    widths = [padded_width(count, 512) if count <= 512 else count for count in tokens]
    batches = list(even_batches(windows, widths, size))
    assert sorted(window for batch, _ in batches for window in batch) == windows
    for batch, width in batches:
        assert 0 < len(batch) <= size
        assert {widths[window.text] for window in batch} == {width}


@given(counts, st.integers(1, 9))
def test_mixed_batches_hold_each_window_once_and_hardly_pad(tokens, size):
    windows = planned(tokens)
    batches = list(mixed_batches(windows, size))
    assert sorted(window for batch in batches for window in batch) == windows
    for batch in batches:
        assert 0 < len(batch) <= size
        padded = len(batch) * max(window.tokens for window in batch)
        assert padded - sum(window.tokens for window in batch) <= 0.1 * padded


NAMES = [name for name in tiny_models.AVAILABLE if not name.endswith("-bare")]


@pytest.mark.filterwarnings("ignore:the query is longer")
@pytest.mark.parametrize("name", NAMES)
def test_rows_are_the_same_bits_in_every_batch(name):
    rng = random.Random(f"bits {name}")
    encoder = tiny_models.encoder(name)
    texts = [tiny_models.random_text(rng, rng.randint(0, 40)) for _ in range(40)]
    for encode in (encoder.encode_documents, encoder.encode_queries):
        together = encode(texts)
        for i in (0, 7, 8, 23, 39):
            alone = encode([texts[i]])[0]
            assert alone.tokens == together[i].tokens
            assert (alone.vectors == together[i].vectors).all()


def test_rows_of_the_offline_model_are_the_same_bits_in_every_batch(offline):
    rng = random.Random(0)
    words = [
        "the",
        "museum",
        "opens",
        "at",
        "ten",
        "and",
        "elephants",
        "eat",
        "grass",
        "near",
        "a",
        "quiet",
        "river",
        "in",
        "winter",
    ]
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 60))) for _ in range(48)]
    small = load_encoder(offline.model, batch_size=3)
    for one, other in zip(offline.encode_documents(texts), small.encode_documents(texts[::-1])[::-1], strict=True):
        assert np.array_equal(one.vectors, other.vectors)


def test_forty_rankings_through_a_small_cache_are_those_without_also_for_near_ties(offline):
    rng = random.Random(1)
    words = [
        "museum",
        "tickets",
        "cost",
        "nine",
        "euros",
        "for",
        "adults",
        "opens",
        "ten",
        "closes",
        "late",
        "winter",
        "garden",
        "summer",
    ]
    pool = [" ".join(rng.choices(words, k=rng.randint(4, 30))) for _ in range(20)]
    pool += [text + " " for text in pool[:5]] + pool[:3]  # ties: white space and copies
    cache = EmbeddingCache(max_bytes=60_000)  # holds a few, so that most rankings mix kept with fresh rows
    for _ in range(40):
        query, documents = " ".join(rng.choices(words, k=4)), rng.sample(pool, 12)
        fresh, kept = rerank(query, documents, offline), rerank(query, documents, offline, cache=cache)
        assert [(each.index, each.score) for each in fresh] == [(each.index, each.score) for each in kept]
