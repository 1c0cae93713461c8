"""Folders of the hub that carry ONNX, in the layouts that FastEmbed serves: its rows, with our spans and kinds."""

import json
import random
import shutil
import string
from functools import cache

import numpy as np
import pytest
import tiny_models
from tiny_models import needs_multi_vector, one_torch_thread  # noqa: F401

from latelens import load_encoder, rerank
from latelens.encoders import backends
from latelens.encoders.onnx.settings import MODEL_FILE, TOKENIZER_FILE

onnxruntime = pytest.importorskip("onnxruntime", reason="needs latelens[onnx]")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("onnxscript", reason="needs latelens[onnx]")
pytestmark = needs_multi_vector

# The checkpoint in torch, where the ONNX lies, the tokenizer's length, the markers by their names there and here, the
# mask, and whether queries are expanded and the model sees it: answerai-colbert-small-v1, jina-colbert-v2, LateOn.
CASES = {
    "answerai": ("wordpiece-stanford", "vespa_colbert.onnx", 64, ("[unused0]", "[unused1]"), "[MASK]", True, False),
    "jina": ("unigram-pylate", "onnx/model.onnx", 64, ("[QueryMarker]", "[DocumentMarker]"), "<mask>", True, True),
    "LateOn": ("wordpiece-stanford", "model.onnx", 63, ("[Q] ", "[D] "), "[MASK]", False, False),
}
TEXTS = [text for text in (*tiny_models.SENTENCES, *tiny_models.HOSTILE) if not any(map("\ud7ff".__lt__, text))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, exported):
    """A folder of each kind, as the hub holds it."""
    root = tmp_path_factory.mktemp("hub")
    for name, (checkpoint, file, length, markers, *_) in CASES.items():
        folder, source = root / name, tiny_models.checkpoint(checkpoint)
        (folder / file).parent.mkdir(parents=True)
        shutil.copy(exported(checkpoint) / MODEL_FILE, folder / file)
        text = (source / TOKENIZER_FILE).read_text(encoding="utf-8")
        for old, new in zip(("[Q] ", "[D] ") if "[Q] " in text else ("[unused0]", "[unused1]"), markers, strict=True):
            text = text.replace(json.dumps(old), json.dumps(new))
        (folder / TOKENIZER_FILE).write_text(text, encoding="utf-8")
        config = json.loads((source / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": length}))
        shutil.copy(source / "config.json", folder)
    return {name: root / name for name in CASES}


@cache
def session(file):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def fastembed_rows(folder, name, text, task):
    """What FastEmbed computes for one text (`Colbert`, `JinaColbert`, `LateOn`), without the padding of a batch."""
    _, file, length, markers, mask, expands, attends = CASES[name]
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    tokenizer.no_padding()
    skipped = {tokenizer.encode(symbol, add_special_tokens=False).ids[0] for symbol in string.punctuation}
    tokenizer.enable_truncation(length - expands)
    ids = tokenizer.encode(text).ids
    seen = [1] * len(ids)
    if task == "query" and expands:
        fill = max(31 - len(ids), 0)
        ids, seen = ids + [tokenizer.token_to_id(mask)] * fill, seen + [int(attends)] * fill
    ids.insert(1, tokenizer.token_to_id(markers[task == "document"]))
    seen.insert(1, 1)
    (rows,) = session(folder / file).run(None, {"input_ids": np.array([ids]), "attention_mask": np.array([seen])})
    kept = [task == "query" or token not in skipped for token in ids]
    rows = rows[0][kept]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("name", CASES)
def test_rows_are_those_of_fastembed(name, folders):
    rng = random.Random(f"hub {name}")
    encoder = load_encoder(folders[name])
    assert (type(encoder).__name__, str(encoder.route), encoder.dim) == ("ExportedEncoder", "onnx", tiny_models.DIM)
    texts = rng.sample(TEXTS, 30) + [" ".join(rng.sample(TEXTS, 3))[:60] for _ in range(10)]
    for task, encode in (("query", encoder.encode_queries), ("document", encoder.encode_documents)):
        for text, got in zip(texts, encode(texts), strict=True):
            np.testing.assert_allclose(got.vectors, fastembed_rows(folders[name], name, text, task), atol=2e-6)


def test_rows_spans_kinds_and_windows_are_those_of_the_checkpoint_in_torch(folders):
    encoder, twin = tiny_models.encoder("wordpiece-stanford"), load_encoder(folders["answerai"])
    words = "the keeper counts ships before breakfast and swallows return in April"
    texts = [*tiny_models.SENTENCES, words, " ".join(tiny_models.SENTENCES * 3), "(a) [b], c!", ""]
    for got, want in zip(twin.encode_documents(texts), encoder.encode_documents(texts), strict=True):
        assert (got.tokens, got.spans.tolist(), got.complete) == (want.tokens, want.spans.tolist(), want.complete)
        assert got.kinds.tolist() == want.kinds.tolist()
        np.testing.assert_allclose(got.vectors, want.vectors, atol=1e-5)
    for got, want in zip(twin.encode_queries(["why?", words]), encoder.encode_queries(["why?", words]), strict=True):
        assert (got.tokens, got.spans.tolist()) == (want.tokens, want.spans.tolist())
        np.testing.assert_allclose(got.vectors, want.vectors, atol=1e-5)


def test_a_hub_folder_ranks_with_evidence_and_has_a_fingerprint_of_its_own(folders):
    encoder = load_encoder(folders["answerai"])
    assert encoder.fingerprint == load_encoder(folders["answerai"], backend="onnx").fingerprint
    assert encoder.fingerprint != tiny_models.encoder("wordpiece-stanford").fingerprint
    (best, _) = rerank("swallows return", tiny_models.SENTENCES[2:4], encoder)
    assert best.evidence[0].text in best.explanation.document.text
    assert best.score == pytest.approx(sum(match.similarity for match in best.explanation.matches), abs=1e-9)


def test_where_there_are_weights_too_torch_comes_first(folders, tmp_path):
    folder = shutil.copytree(folders["answerai"], tmp_path / "both")
    shutil.copy(tiny_models.checkpoint("wordpiece-stanford") / "model.safetensors", folder)
    assert backends._backend(folder, "auto").name == "sentence-transformers"
    assert type(load_encoder(folder, backend="onnx")).__name__ == "ExportedEncoder"


# --- refusals ---


def test_a_folder_of_no_known_family_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders["answerai"], tmp_path / "made")
    text = (folder / TOKENIZER_FILE).read_text(encoding="utf-8")
    (folder / TOKENIZER_FILE).write_text(text.replace('"[unused0]"', '"[other]"'), encoding="utf-8")
    with pytest.raises(ValueError, match="the markers of no late-interaction model that FastEmbed serves"):
        load_encoder(folder)


def test_a_tokenizer_without_a_length_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders["answerai"], tmp_path / "made")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1e30}))
    with pytest.raises(ValueError, match=r"says neither model_max_length nor max_length\); fetch it anew"):
        load_encoder(folder)


def test_a_damaged_hub_model_is_refused(folders, tmp_path):
    folder = shutil.copytree(folders["answerai"], tmp_path / "made")
    (folder / "vespa_colbert.onnx").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"is no whole export .*; fetch it anew"):
        load_encoder(folder)
