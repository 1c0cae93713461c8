"""Exports that are kept: made when asked for, found again without torch, never half there and never another model's."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from tiny_models import one_torch_thread  # noqa: F401

from latelens import EmbeddingCache, load_encoder
from latelens.cli.arguments import default_model
from latelens.encoders.offline import TRAINED_SIZES
from latelens.encoders.onnx import kept
from latelens.encoders.onnx.settings import IR_FILE, MODEL_FILE, SETTINGS_FILE, TOKENIZER_FILE

pytest.importorskip("onnxruntime", reason="needs latelens[onnx]")
pytest.importorskip("onnxscript", reason="needs latelens[onnx]")
if not tiny_models.MULTI_VECTOR:
    pytest.skip("needs sentence-transformers 6", allow_module_level=True)
from latelens.encoders.local import sentence_transformers as local
from latelens.encoders.onnx import export

NAME, OFFLINE = "wordpiece-native", "offline/all-MiniLM-L6-v2"
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed: pip install 'latelens[fast]'"
)
ENGINES = ["onnx", pytest.param("openvino", marks=needs_openvino)]
TEXTS = [*tiny_models.SENTENCES, " ".join(tiny_models.SENTENCES * 3), "", "..."]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What one use of each engine keeps, and the checkpoint that it was made of."""
    root = tmp_path_factory.mktemp("kept")
    path = tiny_models.checkpoint(NAME)
    assert tiny_models.encoder(NAME).route.engine == "torch"  # what is compared with, loaded before anything is kept
    with pytest.MonkeyPatch.context() as patch:
        for engine in ("onnx", *(["openvino"] if importlib.util.find_spec("openvino") else [])):
            patch.setenv("LATELENS_CACHE", str(root / engine))
            load_encoder(path, engine=engine)
    return root, path


@pytest.fixture
def use(made, tmp_path, monkeypatch):
    """Give a test its own copy of what an engine keeps, and count how often torch loads the model.

    Where it exports again it writes what it wrote before: an export of its own takes seconds.
    """
    root, path = made

    def again(self, folder, *, engine):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            raise ValueError("is there already")
        shutil.copytree(next((root / engine / "exports").iterdir()), folder)

    monkeypatch.setattr(local.SentenceTransformersEncoder, "export", again)
    loads = []
    real = local.load
    monkeypatch.setattr(local, "load", lambda *given: (loads.append(1), real(*given))[1])

    def start(engine, *, copy=True):
        cache = tmp_path / "cache"
        if copy:
            shutil.copytree(root / engine, cache)
        monkeypatch.setenv("LATELENS_CACHE", str(cache))
        return path, cache / "exports", loads

    return start


def rows(encoder):
    return [each.vectors for each in encoder.encode_documents(TEXTS)]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_kept_is_found_again_without_loading_the_model(engine, use):
    path, exports, loads = use(engine)
    encoder = load_encoder(path, engine=engine)
    assert (loads, len(list(exports.iterdir()))) == ([], 1)
    assert (encoder.route.engine, encoder.name) == (engine, str(path))
    want = tiny_models.encoder(NAME)
    assert encoder.fingerprint == want.fingerprint
    for got, expected in zip(encoder.encode_documents(TEXTS), want.encode_documents(TEXTS), strict=True):
        assert (got.tokens, got.spans.tolist()) == (expected.tokens, expected.spans.tolist())
        np.testing.assert_allclose(got.vectors, expected.vectors, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("damage", ["truncated", "one bit", "missing"])
def test_a_damaged_export_is_made_anew(engine, damage, use):
    path, exports, loads = use(engine)
    (folder,) = exports.iterdir()
    file = folder / {"onnx": MODEL_FILE, "openvino": Path(IR_FILE).stem + ".bin"}[engine]
    whole = file.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    file.write_bytes({"truncated": whole[:middle], "one bit": flipped, "missing": b""}[damage])
    if damage == "missing":
        file.unlink()
    encoder = load_encoder(path, engine=engine)
    assert (len(loads), [each.name for each in exports.iterdir()]) == (1, [folder.name])
    assert file.stat().st_size == len(whole)
    for got, want in zip(rows(encoder), rows(tiny_models.encoder(NAME)), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_load_without_wishes_takes_the_export_that_is_there_and_no_other(use, monkeypatch):
    path, exports, loads = use("onnx")
    encoder = load_encoder(path)
    assert (str(encoder.route), loads) == ("onnx", [])
    cache = EmbeddingCache()
    first = cache.encode_documents(encoder, TEXTS)
    again = cache.encode_documents(tiny_models.encoder(NAME), TEXTS)  # what one engine encoded is good for the other
    assert all((one.vectors == other.vectors).all() for one, other in zip(first, again, strict=True))
    assert load_encoder(path, engine="torch").route.engine == "torch"
    assert load_encoder(path, device="cpu", dtype="bfloat16").route.engine == "torch"
    monkeypatch.setattr(kept, "stays_on_cpu", lambda _: False)
    assert load_encoder(path).route.engine == "torch"
    monkeypatch.setattr(kept, "stays_on_cpu", lambda _: True)
    (folder,) = exports.iterdir()
    with (folder / TOKENIZER_FILE).open("a") as file:
        file.write(" ")
    assert load_encoder(path).route.engine == "torch"
    assert not list(exports.iterdir())


def test_nothing_is_exported_that_nobody_asked_for(use):
    path, exports, loads = use("onnx", copy=False)
    assert load_encoder(path, device="cpu").route.engine == "torch"
    assert (len(loads), exports.exists()) == (1, False)


@pytest.mark.parametrize("change", ["weights", "settings", "a package"])
def test_an_export_never_answers_for_another_model(change, use, tmp_path, monkeypatch):
    path, _, _ = use("onnx")
    copy = shutil.copytree(path, tmp_path / path.name)
    assert load_encoder(copy).route.engine == "onnx"  # the same files elsewhere are the same model
    if change == "weights":
        (weights,) = (
            copy.glob("*/model.safetensors")
            if not (copy / "model.safetensors").exists()
            else [copy / "model.safetensors"]
        )
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif change == "settings":
        with (copy / "config_sentence_transformers.json").open("a") as file:
            file.write("\n")
    else:
        monkeypatch.setattr(kept, "version_of", lambda package: "0")
    assert load_encoder(copy).route.engine == "torch"


def test_of_two_processes_the_slower_one_takes_the_export_of_the_quicker(use, made, monkeypatch):
    path, exports, _ = use("onnx", copy=False)
    real = local.SentenceTransformersEncoder.export

    def late(self, folder, **options):
        shutil.copytree(made[0] / "onnx" / "exports", exports, dirs_exist_ok=True)
        real(self, folder, **options)

    monkeypatch.setattr(local.SentenceTransformersEncoder, "export", late)
    assert load_encoder(path, engine="onnx").route.engine == "onnx"
    assert len(list(exports.iterdir())) == 1


def test_an_interrupted_export_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(file, _):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setenv("LATELENS_CACHE", str(tmp_path))
    monkeypatch.setattr(export, "_write_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_encoder(tiny_models.checkpoint(NAME), engine="onnx")
    assert not list((tmp_path / "exports").iterdir())


def test_what_a_killed_export_left_is_swept(use):
    path, exports, _ = use("onnx", copy=False)
    exports.mkdir(parents=True)
    old, young = exports / ".model-1.0", exports / ".model-2.0"
    for each in (old, young):
        each.mkdir()
        (each / MODEL_FILE).write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    load_encoder(path, engine="onnx")
    assert [each.name for each in exports.iterdir() if each.name.startswith(".")] == [young.name]
    assert load_encoder(path).route.engine == "onnx"


def test_where_nothing_is_kept_an_export_lives_as_long_as_its_encoder(use, monkeypatch):
    path, _, loads = use("onnx", copy=False)
    monkeypatch.setenv("LATELENS_CACHE", "")
    encoder = load_encoder(path, engine="onnx")
    folder = encoder.folder
    assert (folder / SETTINGS_FILE).is_file()
    assert len(rows(encoder)) == len(TEXTS)
    del encoder
    assert not folder.parent.exists()
    assert len(loads) == 1


def test_a_folder_that_cannot_be_written_warns_and_changes_nothing_else(use, tmp_path, monkeypatch):
    path, _, _ = use("onnx", copy=False)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LATELENS_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot keep the export in .*; it is made anew each time"):
        assert load_encoder(path, engine="onnx").route.engine == "onnx"


def test_where_exports_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("LATELENS_CACHE", str(tmp_path))
    assert kept.exports_folder() == tmp_path / "exports"
    monkeypatch.setenv("LATELENS_CACHE", " ")
    assert kept.exports_folder() is None
    monkeypatch.delenv("LATELENS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept.exports_folder() == tmp_path / "latelens" / "exports"


def test_the_command_takes_the_export_that_is_there_and_imports_no_torch(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("LATELENS_CACHE", str(tmp_path / "cache"))
    place = kept._place(default_model(), {}, "onnx")
    shutil.copytree(exported(default_model()), place)
    (tmp_path / "zoo.txt").write_text("The museum opens at ten.\n\nElephants consume grass and bark.")
    code = (
        "import sys; from latelens.cli import main; status = main(); print(status, *sorted(HEAVY & sys.modules.keys()))"
    )
    heavy = {"torch", "transformers", "sentence_transformers", "sklearn", "latelens.attribution", "matplotlib"}
    command = [sys.executable, "-c", code.replace("HEAVY", repr(heavy)), "What do elephants eat?", "zoo.txt", "-n1"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    first, *_, last = run.stdout.splitlines()
    assert (run.stderr, last) == ("", "0")
    assert first.startswith("1. zoo.txt:1")
    assert "»Elephants consume grass and bark.«" in run.stdout


def test_packaged_models_are_told_apart_without_reading_them():
    names = [OFFLINE, *TRAINED_SIZES]
    assert len({kept._source(name, {}) for name in names}) == len(names)
    assert kept._source("offline/unknown", {}) is None  # and no hub is asked for it


@needs_openvino
def test_openvino_rounds_where_it_is_asked_to_and_has_another_fingerprint(use):
    path, _, loads = use("openvino")
    exact, rounded = (load_encoder(path, engine="openvino", dtype=dtype) for dtype in (None, "bfloat16"))
    assert (str(exact.route), str(rounded.route), loads) == ("openvino", "openvino bfloat16", [])
    assert exact.fingerprint != rounded.fingerprint
    for one, other in zip(rows(exact), rows(rounded), strict=True):
        np.testing.assert_allclose(np.linalg.norm(other, axis=1), 1, atol=1e-5)
        assert (one * other).sum(axis=1).mean() > 0.999


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"device": "cuda"}, "device='cuda' does not go with engine='onnx', which runs an export on the CPU"),
        ({"dtype": "bfloat16"}, "dtype='bfloat16' does not go with engine='onnx', which runs in float32"),
        ({"model_kwargs": {"attn_implementation": "eager"}}, "does not go with engine='onnx'"),
    ],
)
def test_options_that_an_export_cannot_follow_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        load_encoder(tiny_models.checkpoint(NAME), engine="onnx", **options)


def test_a_loaded_model_is_exported_by_hand():
    with pytest.raises(ValueError, match="engine='onnx' is for names and folders: export the model that you loaded"):
        load_encoder(tiny_models.encoder(NAME).model, engine="onnx")
