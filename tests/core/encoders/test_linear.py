"""Float32 products by oneDNN: what takes them, that numbers and fingerprints stay, and that bits do in every batch."""

import numpy as np
import pytest
import tiny_models
import torch
from tiny_models import one_torch_thread  # noqa: F401

from latelens import load_encoder
from latelens.encoders.local import linear
from latelens.encoders.local.linear import OneDnnLinear, multiply_by_onednn

takes = linear._gains() and linear._keeps_bits(torch.nn.Linear(384, 384))
needs_onednn = pytest.mark.skipif(not takes, reason="no AVX-512 here, or a torch whose oneDNN is not taken")
TEXTS = [" ".join(tiny_models.SENTENCES[i : i + 2]) for i in range(6)]
PATH = tiny_models.checkpoint("wordpiece-plain")


def layers(model):
    return {type(layer) for layer in model.modules() if isinstance(layer, torch.nn.Linear)}


@needs_onednn
def test_a_model_that_is_loaded_by_name_takes_it_and_numbers_and_fingerprint_stay(monkeypatch):
    ours = load_encoder(PATH, device="cpu", engine="torch")
    monkeypatch.setattr(linear, "_gains", lambda: False)
    torchs = load_encoder(PATH, device="cpu", engine="torch")
    assert (layers(ours.model), layers(torchs.model)) == ({OneDnnLinear}, {torch.nn.Linear})
    assert ours.fingerprint == torchs.fingerprint
    for task in ("encode_documents", "encode_queries"):
        for one, other in zip(getattr(ours, task)(TEXTS), getattr(torchs, task)(TEXTS), strict=True):
            assert one.tokens == other.tokens
            np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-5)


@needs_onednn
def test_rows_are_the_same_bits_whatever_is_multiplied_with_them():
    torch.manual_seed(0)
    for inputs, outputs in ((384, 384), (384, 1536), (1536, 384), (768, 96)):
        layer = torch.nn.Sequential(torch.nn.Linear(inputs, outputs))
        assert multiply_by_onednn(layer) == 1
        rows = torch.randn(8 * 256, inputs)
        with torch.inference_mode():
            for width in (8, 16, 24, 104, 256):
                wanted = layer(rows[:width].reshape(1, width, inputs))[0]
                for batch in (2, 3, 8):
                    assert torch.equal(layer(rows[: batch * width].reshape(batch, width, inputs))[0], wanted)


@needs_onednn
def test_with_gradients_and_in_other_formats_torch_computes():
    layer = torch.nn.Sequential(torch.nn.Linear(8, 4))
    multiply_by_onednn(layer)
    layer(torch.ones(2, 8)).sum().backward()
    assert (layer[0].weight.grad == 2).all()
    with torch.inference_mode():
        before = layer(torch.ones(2, 8))
    layer[0].weight.data.add_(1)  # a change of the weights counts at once: nothing is kept
    with torch.inference_mode():
        assert torch.allclose(layer(torch.ones(2, 8)), before + 8)
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(torch.ones(2, 8)).dtype == torch.bfloat16
        assert layer.bfloat16()(torch.ones(2, 8).bfloat16()).dtype == torch.bfloat16


def test_what_the_user_loaded_and_what_is_rounded_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(linear, "_gains", lambda: True)
    rounded = load_encoder(PATH, device="cpu", dtype="bfloat16")
    assert layers(rounded.model) == {torch.nn.Linear}
    monkeypatch.setattr(linear, "_gains", lambda: False)
    model = load_encoder(PATH, device="cpu", engine="torch").model
    monkeypatch.setattr(linear, "_gains", lambda: True)
    assert layers(load_encoder(model).model) == {torch.nn.Linear}


def test_a_torch_whose_rows_depend_on_their_batch_computes_as_before(monkeypatch):
    monkeypatch.setattr(linear, "_gains", lambda: True)
    monkeypatch.setattr(linear, "_product", lambda rows, layer: rows @ layer.weight.T + len(rows) * 1e-6)
    model = torch.nn.Sequential(torch.nn.Linear(8, 4))
    assert multiply_by_onednn(model) == 0
    assert layers(model) == {torch.nn.Linear}


def test_a_processor_or_a_torch_without_it_computes_as_before(monkeypatch):
    model = torch.nn.Sequential(torch.nn.Linear(8, 4))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert multiply_by_onednn(model) == 0
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert multiply_by_onednn(model) == 0
    assert layers(model) == {torch.nn.Linear}
