"""Rounded scores may be off, and never by more than they say."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import latelens.rounded
from latelens.maxsim import PackedEmbeddings, maxsim
from latelens.rounded import maxsim_apart, pays, rounded
from latelens.shortlist import longest


def measured(
    query: NDArray[np.float32], values: NDArray[np.float32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far rounded scores are from exact ones, and how far they may be: of rows together, and of rows apart."""
    rows = rounded(values, float(np.linalg.norm(values.astype(np.float64), axis=1).max()))
    assert rows is not None
    apart = [rounded(part, longest(part)) for part in np.split(values, offsets[1:-1])]
    assert all(part is not None for part in apart)
    found = rows.maxsim(query, offsets), maxsim_apart(query, [part for part in apart if part is not None])
    scores, error = (np.stack(both) for both in zip(*found, strict=True))
    similarity = query.astype(np.float64) @ values.astype(np.float64).T
    exact = np.maximum.reduceat(similarity, offsets[:-1], axis=1).sum(axis=0)
    product = maxsim(query, PackedEmbeddings(values, offsets)).scores
    return np.maximum(np.abs(scores - exact), np.abs(scores - product)), error


@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.sampled_from([1, 1, 2, 7, 300]), min_size=1, max_size=30),
    dim=st.sampled_from([1, 5, 96, 128]),
    scale=st.sampled_from([1.0, 1e-20, 1e12, 300.0]),
    shift=st.sampled_from([0.0, 2.0, -2.0]),
    block=st.sampled_from([1, 16, 1 << 14]),
)
@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_no_score_is_further_off_than_it_says(seed, lengths, dim, scale, shift, block):
    random = np.random.default_rng(seed)
    values = (scale * (random.standard_normal((sum(lengths), dim)) + shift)).astype(np.float32)
    query = (random.standard_normal((9, dim)) + abs(shift)).astype(np.float32)  # shift -2: every similarity is negative
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latelens.rounded, "_BLOCK_ROWS", block)
        patch.setattr(latelens.rounded, "_ROUND_ROWS", block)
        patch.setattr(latelens.rounded, "_COPIED_ROWS", block)
        off, error = measured(query, values, np.cumsum([0, *lengths]))
    assert (off <= error).all()


def test_the_bound_is_near_enough_to_rule_documents_out():
    random = np.random.default_rng(0)
    values = random.standard_normal((5000, 96)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    off, error = measured(values[:32], values, np.arange(0, 5001, 100))
    assert 0 < off.max() < error.min()
    assert np.median(error) < 0.17  # of scores up to 32


def test_numbers_that_bfloat16_keeps_are_scored_exactly():
    query = np.array([[1, 0], [0, -1]], dtype=np.float32)
    values = np.array([[0.5, 1], [0.25, 2], [-3, 4], [-1, 8]], dtype=np.float32)
    rows = rounded(values, 9.0)
    assert rows is not None
    assert rows.lost < 1e-16
    scores, _ = rows.maxsim(query, np.array([0, 2, 3, 4]))
    assert scores.tolist() == [0.5 - 1, -3 - 4, -1 - 8]


def test_rows_whose_products_may_be_too_large_are_not_rounded():
    values = np.full((2, 3), np.finfo(np.float32).max, dtype=np.float32)
    assert rounded(values, float(np.finfo(np.float32).max)) is None


def test_torch_is_not_loaded_for_it_and_a_processor_without_bfloat16_is_left_alone(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    latelens.rounded._has_bfloat16.cache_clear()
    assert pays()
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    latelens.rounded._has_bfloat16.cache_clear()
    assert not pays()
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")  # an older torch
    latelens.rounded._has_bfloat16.cache_clear()
    assert not pays()
    monkeypatch.setattr(latelens.rounded, "_has_bfloat16", lambda: True)
    monkeypatch.delitem(sys.modules, "torch")
    assert not pays()


@pytest.fixture(autouse=True)
def forget():
    yield
    latelens.rounded._has_bfloat16.cache_clear()
