"""Writing a model of sentence-transformers as ONNX or OpenVINO's IR, with tokenizer and settings; checked first."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latelens.encoders.onnx.encoder import open_export
from latelens.encoders.onnx.sessions import INSTALL, engine_module
from latelens.encoders.onnx.settings import (
    IR_FILE,
    MODEL_FILE,
    MODEL_FILES,
    TOKENIZER_FILE,
    ExportSettings,
    digests,
    write_settings,
)
from latelens.encoders.reading import TokenEncoder
from latelens.encoders.routes import Route

# What the export must encode as the model does: lengths that differ, a long text, letters of many scripts.
_SAMPLES = (
    "What do elephants eat?",
    "Elephants consume up to 150 kg of grass, bark and fruit a day; they drink 100 litres of water. " * 3,
    "Ein Straßenbahnfahrer, 図書館 e\u0301 Рыбаки (3.50 €)!",
    "Words that control a model: [MASK] [SEP] [CLS] <mask> </s> <s>",
    "",
)
_LEAST_COSINE = 0.9999
# Numbers this near are those of the model on another device, so what was cached or indexed with it stays good.
_SAME = 1e-5


class _Rows(torch.nn.Module):
    """From ids and mask to rows: every module of the model but the mask, which is applied outside."""

    def __init__(self, modules: list[torch.nn.Module]) -> None:
        super().__init__()
        self.steps = torch.nn.ModuleList(modules)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        for step in self.steps:
            features = step(features)
        rows: torch.Tensor = features["token_embeddings"]
        return rows


def write_export(
    folder: str | os.PathLike[str],
    encoder: TokenEncoder,
    modules: list[Any],
    tokenizer: Any,
    settings: ExportSettings,
    *,
    engine: str,
) -> None:
    """Write the folder, whole or not at all; what cannot encode as `encoder` does is not kept.

    Raises
    ------
    ImportError
        If onnx, onnxscript or the engine's package is missing.
    ValueError
        If the folder is there already, or the export would encode otherwise.
    """
    _check_installed(engine)
    target = Path(folder).expanduser()
    if target.exists():
        raise ValueError(f"{str(folder)!r} is there already; choose another folder, or delete it")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    made.mkdir()
    try:
        _write_model(made / MODEL_FILE, _Rows(modules).eval())
        if engine == "openvino":
            _convert(made)
        (made / TOKENIZER_FILE).write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
        write_settings(made, settings)
        farthest = _check(encoder, open_export(made, Route(engine), name=encoder.name))
        files = digests(made, made / MODEL_FILES[engine], settings)
        same = encoder.fingerprint if farthest <= _SAME else None
        write_settings(made, replace(settings, fingerprint=same, files=files))
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check_installed(engine: str) -> None:
    engine_module(engine)
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("onnx", "onnxscript"):
            raise
        raise ImportError(f"an export needs {error.name}: run `{INSTALL[engine]}`") from error


def _convert(folder: Path) -> None:
    """Write OpenVINO's IR in the place of ONNX."""
    openvino = engine_module("openvino")
    openvino.save_model(openvino.Core().read_model(folder / MODEL_FILE), folder / IR_FILE, compress_to_fp16=False)
    for file in folder.glob(f"{MODEL_FILE}*"):
        file.unlink()


def _write_model(file: Path, rows: _Rows) -> None:
    ids = torch.full((2, 16), 5)
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    dynamic = {0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("length", min=2)}
    with _quiet(), torch.no_grad():  # in inference mode oneDNN computes, which has no name in ONNX
        program = torch.onnx.export(
            rows,
            (ids, mask),
            dynamo=True,
            input_names=["input_ids", "attention_mask"],
            output_names=["rows"],
            dynamic_shapes=(dynamic, dynamic),
            verbose=False,
        )
        if program is None:
            raise ValueError("torch.onnx.export returned nothing")
        program.save(str(file))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of each optional package and of its own deprecations."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _check(encoder: TokenEncoder, exported: TokenEncoder) -> float:
    """How far the farthest number of any vector lies from the model's."""
    farthest = 0.0
    for task in ("query", "document"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a sample may be longer than a query may be
            both = [each.encode_queries if task == "query" else each.encode_documents for each in (encoder, exported)]
            pairs = zip(*(encode(_SAMPLES) for encode in both), strict=True)
        for want, got in pairs:
            if (want.tokens, want.spans.tolist(), want.kinds.tolist()) != (
                got.tokens,
                got.spans.tolist(),
                got.kinds.tolist(),
            ):
                raise ValueError(f"the export of {encoder.name!r} reads other tokens, so it was not kept")
            norms = np.linalg.norm(want.vectors, axis=1) * np.linalg.norm(got.vectors, axis=1)
            least = float(((want.vectors * got.vectors).sum(axis=1) / np.maximum(norms, 1e-12)).min())
            if least < _LEAST_COSINE:
                raise ValueError(
                    f"the export of {encoder.name!r} gives other vectors than the model (cosine {least:.4f} in "
                    f"{want.text!r:.60}), so it was not kept"
                )
            farthest = max(farthest, float(np.abs(want.vectors - got.vectors).max()))
    return farthest
