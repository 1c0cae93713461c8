"""The trained delta: merged as its factors say, refused when it is damaged, and a model of its own."""

import importlib.resources
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save, save_file

from latelens import load_encoder, rerank
from latelens.encoders.calibration import packaged_calibration
from latelens.encoders.local.delta import add_delta, with_delta, write_merged
from latelens.encoders.offline import TRAINED_MODEL, trained_delta

UP, DOWN = torch.tensor([[1.0], [2.0]]), torch.tensor([[10.0, 0.0, 1.0]])
FACTORS = {"w.up": UP, "w.down": DOWN}
CHANGED = [[10.0, 0.0, 1.0], [20.0, 0.0, 2.0]]


@pytest.fixture(scope="module")
def trained():
    return load_encoder(TRAINED_MODEL)


def test_a_delta_adds_the_product_of_its_factors_and_leaves_other_weights_alone():
    weights = {"w": torch.ones(2, 3), "v": torch.ones(2, 3)}
    add_delta(weights, FACTORS)
    assert (weights["w"] - 1).tolist() == CHANGED
    assert (weights["v"] == 1).all()


def test_a_weight_keeps_its_number_format_and_factors_may_have_another():
    weights = {"w": torch.zeros(2, 3, dtype=torch.bfloat16)}
    add_delta(weights, {name: factor.half() for name, factor in FACTORS.items()})
    assert weights["w"].dtype == torch.bfloat16
    assert weights["w"].float().tolist() == CHANGED


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"other.up": UP, "other.down": DOWN}, "it changes 'other', which the model has not"),
        ({"w.up": UP}, "it has only one of the two factors of 'w'"),
        ({"w.up": UP, "w.down": DOWN[:, :2]}, r"w has shape \(2, 3\), its factors have \(2, 1\) and \(1, 2\)"),
        ({"w.up": UP, "w.down": DOWN.repeat(2, 1)}, r"w has shape \(2, 3\), its factors have \(2, 1\) and \(2, 3\)"),
    ],
)
def test_a_delta_that_does_not_fit_is_refused_and_changes_nothing(factors, said):
    weights = {"w": torch.zeros(2, 3)}
    with pytest.raises(ValueError, match=f"the delta does not fit the model: {said}"):
        add_delta(weights, factors)
    assert not weights["w"].any()


def test_torch_gets_the_delta_in_memory_and_a_merged_folder_has_the_changed_weights(tmp_path):
    base, merged = tmp_path / "base", tmp_path / "merged"
    base.mkdir()
    save_file({"w": torch.zeros(2, 3), "v": torch.ones(1)}, base / "model.safetensors", metadata={"format": "pt"})
    (base / "config.json").write_text("{}")
    seen = {}

    def open_model(where, **options):
        seen["read"] = load_file(f"{where}/model.safetensors")
        seen["where"] = where
        layer = torch.nn.Module()
        layer.register_parameter("w", torch.nn.Parameter(seen["read"]["w"].clone()))
        return [SimpleNamespace(auto_model=layer)]

    opened = with_delta(open_model, save(FACTORS))
    assert opened(str(base))[0].auto_model.w.tolist() == CHANGED
    assert (seen["where"], seen["read"]["w"].any().item()) == (str(base), False)
    write_merged(base, merged, save(FACTORS))
    written = load_file(merged / "model.safetensors")
    assert (written["w"].tolist(), written["v"].tolist()) == (CHANGED, [1.0])
    assert (merged / "config.json").read_text() == "{}"


@pytest.mark.parametrize("damage", ["a bit", "the end", "all"])
def test_a_damaged_delta_is_refused(tmp_path, monkeypatch, damage):
    content = bytearray(trained_delta())
    content[-1] ^= damage == "a bit"
    (tmp_path / "deltas").mkdir()
    if damage != "all":
        (tmp_path / "deltas" / "latelens-mini.safetensors").write_bytes(content[: -1 if damage == "the end" else None])
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=r"latelens-mini' has sha256 .*pip install --force-reinstall latelens"):
        load_encoder(TRAINED_MODEL)


def test_the_delta_is_under_two_megabytes_and_changes_the_upper_three_layers_alone():
    content = trained_delta()
    assert len(content) < 2e6
    factors = load(content)
    head = factors.pop("head").float()
    assert {int(name.split(".")[2]) for name in factors} == {3, 4, 5}
    assert head.shape == (192, 384)
    torch.testing.assert_close(head @ head.T, torch.eye(192), atol=2e-3, rtol=0)


def test_smaller_rows_are_the_trained_ones_along_the_head(trained):
    small = load_encoder(f"{TRAINED_MODEL}-192")
    texts = ["Elephants consume up to 150 kg of grass a day.", "The museum opens at ten."]
    head = load(trained_delta())["head"].float().numpy()
    for one, other in zip(small.encode_documents(texts), trained.encode_documents(texts), strict=True):
        assert one.vectors.shape == (len(other), small.dim) == (len(other), 192)
        assert one.spans.tolist() == other.spans.tolist()
        expected = other.vectors @ head.T
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(one.vectors, expected, atol=1e-4)
    assert small.fingerprint != trained.fingerprint
    assert small.calibration == packaged_calibration(f"{TRAINED_MODEL}-192") != trained.calibration
    assert small.calibration is not None


def test_the_trained_model_has_a_name_a_fingerprint_and_a_calibration_of_its_own(trained, offline):
    assert trained.name == TRAINED_MODEL != offline.name
    assert trained.fingerprint != offline.fingerprint
    assert trained.calibration == packaged_calibration(TRAINED_MODEL)
    assert trained.calibration.model == TRAINED_MODEL
    assert trained.calibration.strength != offline.calibration.strength


def test_the_trained_model_reads_the_same_tokens_and_other_vectors(trained, offline):
    texts = ["Elephants consume up to 150 kg of grass a day.", "The museum opens at ten."]
    for one, other in zip(trained.encode_documents(texts), offline.encode_documents(texts), strict=True):
        assert one.tokens == other.tokens
        assert one.spans.tolist() == other.spans.tolist()
        cosines = (one.vectors * other.vectors).sum(axis=1)
        assert 0.3 < cosines.min() < 0.99
        np.testing.assert_allclose(np.linalg.norm(one.vectors, axis=1), 1, atol=1e-5)


def test_the_trained_model_points_at_the_sentence_that_answers(trained):
    text = "The old lighthouse is white. It was built in 1871 by two brothers. Boats leave every hour."
    (found,) = rerank("when was the lighthouse built", [text], trained)
    assert found.evidence[0].text == "It was built in 1871 by two brothers."
