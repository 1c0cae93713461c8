"""An exported model: the rows of the model it was exported from, without torch."""

import json
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from tiny_models import needs_multi_vector

from latelens import Calibration, EncoderPool, load_encoder, rerank
from latelens.encoders.onnx import export as onnx_export
from latelens.encoders.onnx.settings import MODEL_FILE, SETTINGS_FILE, TOKENIZER_FILE, is_export

pytest.importorskip("onnxruntime", reason="needs latelens[onnx]")
pytest.importorskip("onnxscript", reason="needs latelens[onnx]")
pytestmark = needs_multi_vector

# Each family of tokenizers and each kind of query expansion.
NAMES = [
    "wordpiece-native",
    "modern_bpe-native",
    "unigram-pylate",
    "roberta_bpe-pylate",
    "spm_bpe-native",
]
OFFLINE = "offline/all-MiniLM-L6-v2"


def assert_same(got, want):
    assert (got.text, got.tokens, got.complete) == (want.text, want.tokens, want.complete)
    assert got.spans.tolist() == want.spans.tolist()
    assert got.kinds.tolist() == want.kinds.tolist()
    norms = np.linalg.norm(got.vectors, axis=1) * np.linalg.norm(want.vectors, axis=1)
    assert ((got.vectors * want.vectors).sum(axis=1) >= 0.9999 * norms).all()


@pytest.mark.filterwarnings("ignore:the query is longer")
@pytest.mark.parametrize("name", NAMES)
def test_rows_spans_kinds_and_windows_are_those_of_the_model(name, exported):
    rng = random.Random(f"onnx {name}")
    encoder, twin = tiny_models.encoder(name), load_encoder(exported(name))
    assert (type(twin).__name__, twin.dim) == ("ExportedEncoder", encoder.dim)
    texts = [tiny_models.random_text(rng, rng.randint(0, 60)) for _ in range(200)]
    texts += [*tiny_models.HOSTILE, *tiny_models.SENTENCES, " ".join(tiny_models.SENTENCES * 3)]
    for task in ("encode_documents", "encode_queries"):
        for got, want in zip(getattr(twin, task)(texts), getattr(encoder, task)(texts), strict=True):
            assert_same(got, want)


def test_the_offline_model_ranks_alike_and_keeps_its_calibration(exported, offline):
    twin = load_encoder(exported(OFFLINE))
    texts = ["Elephants consume grass and bark.", "The museum opens at ten.", "Rain is expected in the north."]
    one, other = (rerank("What do elephants eat?", texts, each) for each in (offline, twin))
    assert [each.index for each in one] == [each.index for each in other]
    assert [each.score for each in other] == pytest.approx([each.score for each in one], abs=1e-4)
    assert [each.relevance for each in other] == pytest.approx([each.relevance for each in one], abs=1e-4)
    assert [each.evidence[0].text for each in one] == [each.evidence[0].text for each in other]


def test_rows_are_the_same_bits_in_every_batch(exported):
    twin = load_encoder(exported(OFFLINE))
    texts = [" ".join(["elephants eat grass and bark near rivers"] * n) for n in range(1, 14)]
    together = twin.encode_documents(texts)
    for text, row in zip(texts, together, strict=True):
        assert (twin.encode_documents([text])[0].vectors == row.vectors).all()


CHILD = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "sentence_transformers", "onnx", "onnxscript", "pylate"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import json
from latelens import load_encoder, rerank
encoder = load_encoder({folder!r})
found = rerank("What do elephants eat?", ["The museum opens at ten.", "Elephants consume grass."], encoder)
document = encoder.encode_documents(["Elephants consume grass."])[0]
print(json.dumps([[each.index for each in found], found[0].evidence[0].text, document.vectors.tolist()]))
"""


def test_an_export_needs_no_torch(exported, offline):
    code = CHILD.format(folder=str(exported(OFFLINE)))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert run.stderr == ""
    order, evidence, vectors = json.loads(run.stdout)
    assert (order, evidence) == ([1, 0], "Elephants consume grass.")
    want = offline.encode_documents(["Elephants consume grass."])[0].vectors
    assert (np.array(vectors) * want).sum(axis=1).min() > 0.9999


def test_a_fingerprint_is_the_models_until_a_file_changes(exported, tmp_path):
    folder = exported("wordpiece-native")
    prints = {load_encoder(folder).fingerprint, load_encoder(str(folder), batch_size=2).fingerprint}
    assert prints == {tiny_models.encoder("wordpiece-native").fingerprint}
    copy = copied(folder, tmp_path / "copy")
    settings = json.loads((copy / SETTINGS_FILE).read_text())
    settings["calibration"] = vars(Calibration("made", 1.0, 0.0, 0.0, "by hand"))  # shapes no row
    (copy / SETTINGS_FILE).write_text(json.dumps(settings))
    assert {load_encoder(copy).fingerprint} == prints
    prints.add(load_encoder(exported("modern_bpe-native")).fingerprint)
    settings["document"]["limit"] = 32
    (copy / SETTINGS_FILE).write_text(json.dumps(settings))
    prints.add(load_encoder(copy).fingerprint)
    (copy / TOKENIZER_FILE).write_text((folder / TOKENIZER_FILE).read_text() + " ")
    prints.add(load_encoder(copy).fingerprint)
    assert len(prints) == 4


def test_numbers_farther_than_another_devices_have_a_fingerprint_of_their_own(tmp_path, monkeypatch):
    encoder = tiny_models.encoder("wordpiece-native")
    monkeypatch.setattr(onnx_export, "_check", lambda *_: 2e-5)
    encoder.export(tmp_path / "made")
    assert load_encoder(tmp_path / "made").fingerprint != encoder.fingerprint


def copied(folder, target):
    target.mkdir()
    for file in Path(folder).iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_an_exported_encoder_travels_to_other_processes(exported):
    made = Calibration("made", strength=1.0, length=0.0, intercept=0.0, fitted_on="by hand")
    twin = load_encoder(exported("wordpiece-native"), calibration=made)
    back = pickle.loads(pickle.dumps(twin))
    assert (back.fingerprint, back.calibration) == (twin.fingerprint, made)
    texts = tiny_models.SENTENCES
    with EncoderPool(twin, processes=1) as pool:
        for got, want in zip(pool.encode_documents(texts), twin.encode_documents(texts), strict=True):
            assert (got.vectors == want.vectors).all()


def test_a_query_over_the_limit_warns(exported):
    twin = load_encoder(exported("wordpiece-native"))
    with pytest.warns(UserWarning, match="the query is longer than the 32 tokens"):
        twin.encode_queries([" ".join(tiny_models.SENTENCES)])


# --- refusals ---


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"device": "cuda"}, r"device='cuda' does not go with this export, which runs on the CPU on onnx"),
        ({"engine": "openvino"}, r"engine='openvino' does not go with this export"),
        ({"dtype": "bfloat16"}, r"dtype='bfloat16' does not go"),
        ({"backend": "sentence-transformers"}, "backend='sentence-transformers' takes a name, a folder or a loaded"),
    ],
)
def test_an_option_that_an_export_cannot_follow_is_refused(options, match, exported):
    with pytest.raises(ValueError, match=match):
        load_encoder(exported("wordpiece-native"), **options)


def test_a_folder_that_is_no_export_is_not_the_backends():
    with pytest.raises(
        ValueError, match=r"backend='onnx' takes a folder that encoder\.export wrote, or one of the hub"
    ):
        load_encoder(tiny_models.checkpoint("wordpiece-native"), backend="onnx")
    assert not is_export("lightonai/LateOn")
    assert not is_export(object())
    assert not is_export("a\0b")


@pytest.mark.parametrize("file", [MODEL_FILE, TOKENIZER_FILE, SETTINGS_FILE])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 100], ids=["empty", "json", "zeros"])
def test_a_damaged_file_is_refused_with_the_next_step(file, content, exported, tmp_path):
    folder = copied(exported("wordpiece-native"), tmp_path / "copy")
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=r"no whole export .*encoder\.export"):
        load_encoder(folder)


def test_a_missing_file_and_a_newer_version_are_refused(exported, tmp_path):
    folder = copied(exported("wordpiece-native"), tmp_path / "copy")
    saved = json.loads((folder / SETTINGS_FILE).read_text())
    (folder / SETTINGS_FILE).write_text(json.dumps(saved | {"version": 2}))
    with pytest.raises(ValueError, match="it has version 2, this latelens reads 1"):
        load_encoder(folder)
    (folder / SETTINGS_FILE).write_text(json.dumps(saved))
    (folder / MODEL_FILE).unlink()
    with pytest.raises(ValueError, match=r"model\.onnx is missing"):
        load_encoder(folder)


def test_a_folder_that_is_there_is_not_overwritten(tmp_path):
    with pytest.raises(ValueError, match="is there already"):
        tiny_models.encoder("wordpiece-native").export(tmp_path)


def test_a_rounded_model_is_not_exported(tmp_path):
    encoder = load_encoder(tiny_models.checkpoint("wordpiece-native"), device="cpu", dtype="bfloat16")
    with pytest.raises(ValueError, match="runs on torch bfloat16: load it with engine='torch' and dtype='float32'"):
        encoder.export(tmp_path / "made")
    assert not list(tmp_path.iterdir())


def test_an_export_that_encodes_otherwise_is_not_kept(tmp_path, monkeypatch):
    encoder = load_encoder(tiny_models.checkpoint("wordpiece-native"), device="cpu")
    right = encoder._export_settings()
    monkeypatch.setattr(encoder, "_export_settings", lambda: right.__class__(**{**vars(right), "control_ids": []}))
    with pytest.raises(ValueError, match="reads other tokens"):
        encoder.export(tmp_path / "made")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"an export needs onnxscript: run `pip install 'latelens\[onnx\]'`"):
        tiny_models.encoder("wordpiece-native").export(tmp_path / "made")
