"""`load_encoder`: a name, a folder or a loaded model in, an encoder out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from latelens.encoders.offline import OFFLINE_MODEL, offline_model_path
from latelens.encoders.protocol import Encoder

DEFAULT_MODEL = "lightonai/LateOn"

# What a late-interaction checkpoint writes into config_sentence_transformers.json, by PyLate's versions.
_PYLATE_KEYS = {"query_prefix", "document_prefix", "query_length", "document_length", "do_query_expansion"}


def load_encoder(
    model: Any = DEFAULT_MODEL,
    *,
    backend: Literal["auto", "sentence-transformers", "pylate"] = "auto",
    device: str | None = None,
    batch_size: int | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
    model_kwargs: Mapping[str, Any] | None = None,
) -> Encoder:
    """Load a late-interaction encoder.

    Parameters
    ----------
    model
        A hub id such as ``"lightonai/LateOn"``, a local folder (PyLate, Stanford ColBERT or sentence-transformers
        saves), ``"offline/all-MiniLM-L6-v2"`` for the packaged model, a loaded `MultiVectorEncoder` or
        `SentenceTransformer`, or an `Encoder`, which is returned as it is. Sentence-embedding models are used
        token-wise: no projection, rows normalised, punctuation out of the document rows.
    backend
        ``"auto"`` takes what is installed.
    device
        A torch device; None takes an accelerator where there is one. Only for names and folders.
    batch_size
        Texts to encode at once; None takes 8 on a CPU and 64 elsewhere.
    revision, local_files_only, trust_remote_code, model_kwargs
        Passed to sentence-transformers. Code from a hub never runs unless you say so.

    Raises
    ------
    ValueError
        If there is no such model, or it has no fast tokenizer.
    ImportError
        If a package is missing; the message names the command to run.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if backend not in ("auto", "sentence-transformers", "pylate"):
        raise ValueError(f"backend must be 'auto', 'sentence-transformers' or 'pylate', got {backend!r}")
    if isinstance(model, Encoder):
        return model
    _require_multi_vector(backend)
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    from latelens.encoders.sentence_transformers import SentenceTransformersEncoder, token_wise

    if isinstance(model, os.PathLike):
        model = os.fspath(model)
    if isinstance(model, str):
        where = str(offline_model_path()) if model == OFFLINE_MODEL else _existing(model)
        options: dict[str, Any] = {
            "device": device,
            "revision": revision,
            "local_files_only": local_files_only,
            "trust_remote_code": trust_remote_code,
            "model_kwargs": dict(model_kwargs) if model_kwargs else None,
        }
        late = _is_late_interaction(where, revision=revision, local_files_only=local_files_only)
        loaded = MultiVectorEncoder(where, **options) if late else token_wise(SentenceTransformer(where, **options))
        return SentenceTransformersEncoder(loaded, name=model, batch_size=batch_size)
    if isinstance(model, MultiVectorEncoder | SentenceTransformer):
        name = model.model_card_data.base_model or type(model).__name__
        loaded = model if isinstance(model, MultiVectorEncoder) else token_wise(model)
        return SentenceTransformersEncoder(loaded, name=str(name), batch_size=batch_size)
    raise TypeError(
        "model must be a name, a folder, a loaded MultiVectorEncoder or SentenceTransformer, or an Encoder; "
        f"got {type(model).__name__}"
    )


def _require_multi_vector(backend: str) -> None:
    if backend == "pylate":
        raise NotImplementedError(
            "the PyLate backend is not there yet; backend='auto' with sentence-transformers>=6 reads the same checkpoints"
        )
    import sentence_transformers

    if not hasattr(sentence_transformers, "MultiVectorEncoder"):
        raise ImportError(
            f"sentence-transformers {sentence_transformers.__version__} has no MultiVectorEncoder: run "
            "`pip install 'sentence-transformers>=6,<7'`, in an environment without PyLate"
        )


def _existing(name: str) -> str:
    """Refuse a path that is not there before a hub is asked for it."""
    path = Path(name).expanduser()
    if name.strip() and path.is_dir():  # an empty name would be the current folder
        return str(path)
    if not name.strip() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ValueError(
            f"there is no model folder {name!r}; give a folder that a model was saved to, a hub id such as "
            f"{DEFAULT_MODEL!r}, or {OFFLINE_MODEL!r}"
        )
    return name


def _is_late_interaction(where: str, *, revision: str | None, local_files_only: bool) -> bool:
    """Whether a checkpoint was trained token-wise; if not, sentence-transformers would add a random projection."""
    from sentence_transformers.util import load_file_path

    configs: dict[str, dict[str, Any]] = {}
    try:
        for file in ("config_sentence_transformers.json", "config.json"):
            path = load_file_path(where, file, revision=revision, local_files_only=local_files_only)
            configs[file] = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except Exception as error:
        raise ValueError(_not_found(where, error)) from error
    saved, config = configs["config_sentence_transformers.json"], configs["config.json"]
    if not saved and not config:
        raise ValueError(_not_found(where, "it has no config.json, here or in the local cache"))
    architectures = config.get("architectures") or []
    return (
        saved.get("model_type") in ("ColBERT", "MultiVectorEncoder")
        or bool(_PYLATE_KEYS & saved.keys())
        or any(name == "HF_ColBERT" or name.endswith("ForRetrieval") for name in architectures)
    )


def _not_found(where: str, reason: object) -> str:
    first_line = (str(reason).splitlines() or [""])[0]
    return (
        f"could not find the model {where!r} ({first_line}); check the name and the network, give a local folder, or "
        f"use {OFFLINE_MODEL!r} (`pip install 'latelens[offline]'`)"
    )
