"""Every way to run a model reads any text alike: the same tokens, spans and kinds, vectors to .9999 of their cosine."""

from __future__ import annotations

import importlib.util
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from row_server import Rows, answers_of, serve
from tiny_models import needs_multi_vector

from latelens import TokenEmbeddings, load_encoder

pytest.importorskip("httpx", reason="needs latelens[remote]")
pytestmark = needs_multi_vector

# Each family of tokenizers; 50 times 20 texts each are 5,000.
NAMES = ["wordpiece-native", "modern_bpe-native", "unigram-native", "roberta_bpe-pylate", "spm_bpe-native"]
TEXTS = 20


def assert_alike(got: TokenEmbeddings, want: TokenEmbeddings) -> None:
    assert (got.text, got.tokens, got.complete) == (want.text, want.tokens, want.complete)
    assert got.spans.tolist() == want.spans.tolist()
    assert got.kinds.tolist() == want.kinds.tolist()
    norms = np.linalg.norm(got.vectors, axis=1) * np.linalg.norm(want.vectors, axis=1)
    assert ((got.vectors * want.vectors).sum(axis=1) >= 0.9999 * norms).all(), want.text


@pytest.mark.parametrize("name", NAMES)
def test_every_backend_reads_random_texts_as_the_model_here_does(
    name: str, tmp_path: Path, campaign: int, record_property: Any
) -> None:
    chance, encoder = random.Random(f"backends {name}"), tiny_models.encoder(name)
    texts = [tiny_models.random_text(chance, chance.randint(0, 60)) for _ in range(TEXTS * campaign)]
    encoder.export(tmp_path / "tokenizer", weights=False)
    with serve(Rows(answers_of(encoder))) as url, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        others = {"remote": load_encoder(url, api="jina", tokenizer=tmp_path / "tokenizer")}
        if campaign > 1:  # its short form is in test_onnx.py, where exports are made once
            encoder.export(tmp_path / "onnx")
            others["onnx"] = load_encoder(tmp_path / "onnx")
            if importlib.util.find_spec("openvino"):
                encoder.export(tmp_path / "openvino", engine="openvino")
                others["openvino"] = load_encoder(tmp_path / "openvino")
        for task in ("encode_documents", "encode_queries"):
            wanted = getattr(encoder, task)(texts)
            for other in others.values():
                for got, want in zip(getattr(other, task)(texts), wanted, strict=True):
                    assert_alike(got, want)
    record_property("texts", len(texts))
    record_property("backends", ", ".join(others))
