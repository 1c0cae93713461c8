"""`load_encoder`: a name, a folder or a loaded model in, an encoder out."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

from latelens.encoders.calibration import Calibration, packaged_calibration
from latelens.encoders.catalogue import say_licence
from latelens.encoders.local.routes import Engine, Route, Speed, check, routes
from latelens.encoders.offline import OFFLINE_MODEL, offline_model_path
from latelens.encoders.protocol import Encoder

_log = logging.getLogger(__name__)

DEFAULT_MODEL = "lightonai/LateOn"

# What a late-interaction checkpoint writes into config_sentence_transformers.json, by PyLate's versions.
_PYLATE_KEYS = {"query_prefix", "document_prefix", "query_length", "document_length", "do_query_expansion"}


def load_encoder(
    model: Any = DEFAULT_MODEL,
    *,
    backend: Literal["auto", "sentence-transformers", "pylate"] = "auto",
    device: str | None = None,
    batch_size: int | None = None,
    speed: Speed = "exact",
    engine: Engine = "torch",
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
    model_kwargs: Mapping[str, Any] | None = None,
    calibration: Calibration | str | os.PathLike[str] | None = None,
) -> Encoder:
    """Load a late-interaction encoder.

    Parameters
    ----------
    model
        A hub id such as ``"lightonai/LateOn"``, a local folder (PyLate, Stanford ColBERT or sentence-transformers
        saves), ``"offline/all-MiniLM-L6-v2"`` for the packaged model, a loaded `MultiVectorEncoder`,
        `SentenceTransformer` or `pylate.models.ColBERT`, or an `Encoder`, which is returned as it is.
        Sentence-embedding models are used token-wise: no projection, rows normalised, punctuation out of the
        document rows.
    backend
        ``"auto"`` takes what is installed: sentence-transformers 6, or PyLate in an environment of its own.
    device
        A torch device; None takes an accelerator where there is one. Only for names and folders.
    batch_size
        Texts to encode at once; None takes 8 on a CPU, 16 with OpenVINO, 64 elsewhere.
    speed
        ``"fast"`` takes the fastest way that is installed, at the price of rounding: on a CPU OpenVINO
        (`pip install 'latelens[fast]'`) or torch, in bfloat16 where the processor has instructions for it; on CUDA
        bfloat16. ``encoder.route`` says which it was. Only for names and folders, as are `engine` and `dtype`.
    engine, dtype
        Choose by hand instead: ``"torch"`` or ``"openvino"``, and the number format of weights and products.
    revision, local_files_only, trust_remote_code, model_kwargs
        Passed to sentence-transformers. Code from a hub never runs unless you say so.
    calibration
        What makes a relevance of a score: a `Calibration`, or the file that ``python -m latelens.evaluation.calibrate``
        wrote. None takes the one that comes with latelens for this name, if any. Not for an `Encoder`, which has its
        own.

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
    check(engine, dtype, speed)
    if isinstance(model, Encoder):
        return model
    given = Calibration.load(calibration) if isinstance(calibration, str | os.PathLike) else calibration
    chosen = _backend(backend)
    if not isinstance(model, str | os.PathLike):
        return _calibrated(chosen.encoder_of(model, name=_name_of(model), batch_size=batch_size), given)
    wanted = routes(engine=engine, dtype=dtype, speed=speed, device=device, exports=chosen.EXPORTS)
    name = os.fspath(model)
    say_licence(name)
    where = str(offline_model_path()) if name == OFFLINE_MODEL else _existing(name)
    options: dict[str, Any] = {
        "device": device,
        "revision": revision,
        "local_files_only": local_files_only,
        "trust_remote_code": trust_remote_code,
    }
    late = _is_late_interaction(where, revision=revision, local_files_only=local_files_only)
    loaded, route = _open(chosen, where, wanted, model_kwargs, late=late, **options)
    encoder = chosen.encoder_of(loaded, name=name, batch_size=batch_size, route=route)
    return _calibrated(encoder, given or (None if Path(name).is_dir() else packaged_calibration(name)))


def _calibrated(encoder: Any, calibration: Calibration | None) -> Encoder:
    encoder.calibration = calibration
    return cast("Encoder", encoder)


def _open(
    chosen: ModuleType, where: str, wanted: Sequence[Route], model_kwargs: Mapping[str, Any] | None, **options: Any
) -> tuple[Any, Route]:
    """Open a model by the first route that takes it."""
    for route, following in zip_longest(wanted, wanted[1:]):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="transformers")  # an export that goes well warns often
                loaded = chosen.open_model(where, **options, **route.options(model_kwargs))
            _log.info("%s runs on %s", where, route)
            return loaded, route
        except Exception as error:
            if following is None:
                raise
            warnings.warn(f"{where!r} does not run on {route} ({error}); using {following}", stacklevel=3)
    raise AssertionError("there is always a route")


def _backend(wanted: str) -> ModuleType:
    """Import the backend that was asked for, or the one that is installed."""
    import sentence_transformers

    modern = hasattr(sentence_transformers, "MultiVectorEncoder")
    pylate = importlib.util.find_spec("pylate") is not None
    if modern and wanted != "pylate":
        return importlib.import_module("latelens.encoders.local.sentence_transformers")
    if pylate and not modern and wanted != "sentence-transformers":
        return importlib.import_module("latelens.encoders.local.pylate")
    found = f"sentence-transformers {sentence_transformers.__version__} and {'PyLate' if pylate else 'no PyLate'}"
    raise ImportError(
        f"backend={wanted!r} does not go with {found}: run `pip install 'sentence-transformers>=6,<7'` where PyLate is "
        "not needed, or `pip install 'latelens[pylate]'` in an environment of its own; the two cannot share one"
    )


def _name_of(model: Any) -> str:
    card = getattr(model, "model_card_data", None)
    return str(getattr(card, "base_model", None) or type(model).__name__)


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
