"""Folders with an exported model, and what ours say beside weights and tokenizer: ``latelens_onnx.json``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from latelens.encoders.calibration import Calibration
from latelens.encoders.fingerprint import file_digest, settings_digest

SETTINGS_FILE, TOKENIZER_FILE = "latelens_onnx.json", "tokenizer.json"
# What each engine runs: ONNX, or OpenVINO's IR, whose weights lie in a file beside it.
MODEL_FILE, IR_FILE = "model.onnx", "openvino_model.xml"
MODEL_FILES = {"onnx": MODEL_FILE, "openvino": IR_FILE}
_VERSION = 1
# Of colbertv2.0, LateOn and mLateOn; of answerai-colbert-small-v1; of jina-colbert-v2.
_HUB_FILES = ("model.onnx", "vespa_colbert.onnx", "onnx/model.onnx")
TOKENIZER_CONFIG = "tokenizer_config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Expansion:
    """Query expansion: queries are filled up to `length` rows of `token_id`, which the model sees if it attends."""

    length: int
    attend: bool
    token_id: int


@dataclass(frozen=True)
class TaskSettings:
    """How queries, or documents, are read: at most `limit` tokens after `prompt`; rows of `skipped` do not score.

    `marker` is put in after the first token, where it is not part of the prompt; `limit` does not count it.
    """

    limit: int
    prompt: str
    skipped: list[int]
    expansion: Expansion | None = None
    marker: int | None = None


@dataclass(frozen=True)
class ExportSettings:
    """Everything that shapes rows beside the weights and the tokenizer.

    `model` is what it was exported from, `control_ids` stand for no text, `pad_id` fills batches. `fingerprint` is the
    model's own; `files` are digests of all that was written, under which it holds for the export too.
    """

    model: str
    dim: int
    query: TaskSettings
    document: TaskSettings
    control_ids: list[int]
    pad_id: int
    calibration: Calibration | None = None
    fingerprint: str | None = None
    files: dict[str, str] = field(default_factory=dict)

    def of(self, task: str) -> TaskSettings:
        """Settings of ``"query"`` or ``"document"``."""
        return self.query if task == "query" else self.document


def is_export(model: Any) -> bool:
    """Whether something names a folder that ``encoder.export`` wrote."""
    try:
        return (Path(model).expanduser() / SETTINGS_FILE).is_file()
    except (TypeError, ValueError, OSError, RuntimeError):  # no path, or one that no file can have
        return False


def hub_model(folder: Path) -> Path:
    """The ONNX file of a folder.

    Raises
    ------
    ValueError
        If it has none.
    """
    for name in _HUB_FILES:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{str(folder)!r} has no ONNX model under {', '.join(_HUB_FILES)}")


def is_hub_folder(model: Any) -> bool:
    """Whether something names a folder with an ONNX model of a hub and its tokenizer."""
    try:
        folder = Path(model).expanduser()
        read = all((folder / name).is_file() for name in (TOKENIZER_FILE, TOKENIZER_CONFIG))
        return read and any((folder / name).is_file() for name in _HUB_FILES)
    except (TypeError, ValueError, OSError, RuntimeError):  # no path, or one that no file can have
        return False


def has_weights(model: Any) -> bool:
    """Whether a folder has weights for torch too, which come first where torch is."""
    return any((Path(model).expanduser() / name).is_file() for name in _WEIGHTS)


def engine_of(folder: Path) -> str:
    """Which engine runs what lies in a folder."""
    return "openvino" if (folder / IR_FILE).is_file() else "onnx"


def digests(folder: Path, model: Path, settings: ExportSettings) -> dict[str, str]:
    """Digests of an export's weights, its tokenizer, and its settings but the calibration, which shapes no row."""
    # Weights beyond 2 GB, and OpenVINO's, lie in a file of their own.
    files = {*model.parent.glob(f"{model.name}*"), *model.parent.glob(f"{model.stem}.bin"), folder / TOKENIZER_FILE}
    plain = asdict(replace(settings, calibration=None, fingerprint=None, files={}))
    return {**{file.name: file_digest(file) for file in sorted(files)}, SETTINGS_FILE: settings_digest(plain)}


def write_settings(folder: Path, settings: ExportSettings) -> None:
    """Write the file that `read_settings` reads."""
    written = {"version": _VERSION, **asdict(settings)}
    (folder / SETTINGS_FILE).write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def write_tokenizer(folder: str | os.PathLike[str], tokenizer: str, settings: ExportSettings) -> None:
    """Write a folder with tokenizer and settings alone, for a model that runs elsewhere.

    Raises
    ------
    ValueError
        If the folder is there already.
    """
    target = Path(folder).expanduser()
    try:
        target.mkdir(parents=True)
    except FileExistsError as error:
        raise ValueError(f"{str(folder)!r} is there already; choose another folder, or delete it") from error
    (target / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
    write_settings(target, settings)


def read_settings(folder: Path, *, weights: bool = True) -> ExportSettings:
    """Read what `write_settings` wrote; without `weights`, the model itself may be elsewhere.

    Raises
    ------
    ValueError
        If the file or another one is missing or damaged, or a newer version wrote it.
    """
    try:
        saved = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        if saved["version"] != _VERSION:
            raise ValueError(f"it has version {saved['version']}, this latelens reads {_VERSION}")
        for name in (MODEL_FILES[engine_of(folder)], TOKENIZER_FILE) if weights else (TOKENIZER_FILE,):
            if not (folder / name).is_file():
                raise ValueError(f"{name} is missing")
        made = saved["calibration"]
        return ExportSettings(
            model=str(saved["model"]),
            dim=int(saved["dim"]),
            query=_task(saved["query"]),
            document=_task(saved["document"]),
            control_ids=[int(token) for token in saved["control_ids"]],
            pad_id=int(saved["pad_id"]),
            calibration=None if made is None else Calibration(**made),
            fingerprint=saved.get("fingerprint"),
            files=dict(saved.get("files") or {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{str(folder)!r} is no whole export ({error!r}); write it anew with encoder.export"
        raise ValueError(reason) from error


def _task(saved: dict[str, Any]) -> TaskSettings:
    expansion = saved["expansion"]
    return TaskSettings(
        limit=int(saved["limit"]),
        prompt=str(saved["prompt"]),
        skipped=[int(token) for token in saved["skipped"]],
        expansion=None if expansion is None else Expansion(**expansion),
        marker=saved.get("marker"),
    )
