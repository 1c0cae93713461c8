"""The table of backends: a line for each way to make encoders."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latelens.encoders.calibration import Calibration, packaged_calibration
from latelens.encoders.onnx.settings import has_weights, is_export, is_hub_folder
from latelens.encoders.options import REMOTE, BackendName, EncoderOptions
from latelens.encoders.reading import TokenEncoder
from latelens.encoders.routes import version_of
from latelens.refusals import check_one_of, shown

if TYPE_CHECKING:
    from latelens.encoders.visual.encoder import VisualEncoder


@dataclass(frozen=True)
class Backend:
    """One way to make encoders.

    Attributes
    ----------
    name
        What ``load_encoder(backend=...)`` calls it.
    module
        Imported once the backend is chosen, never before; its ``load(model, options)`` makes the encoder.
    claims, takes
        Which names, folders and objects it takes, as a function and in words.
    installed
        Whether what it needs is here; imports nothing.
    install
        The command that installs it.
    """

    name: BackendName
    module: str
    claims: Callable[[Any], bool]
    installed: Callable[[], bool]
    install: str
    takes: str = "other models"


def _is_address(model: Any) -> bool:
    return isinstance(model, str) and model.startswith(("http://", "https://"))


def _is_checkpoint(model: Any) -> bool:
    return not is_export(model) and not _is_address(model) and not (is_hub_folder(model) and not has_weights(model))


# The first that claims a model and is installed takes it.
BACKENDS = (
    Backend(
        "remote",
        "latelens.encoders.remote.encoder",
        claims=_is_address,
        takes="the address of a server, http:// or https://",
        installed=lambda: bool(version_of("httpx") and version_of("tokenizers")),
        install="pip install 'latelens[remote]'",
    ),
    Backend(
        "sentence-transformers",
        "latelens.encoders.local.sentence_transformers",
        claims=_is_checkpoint,
        takes="a name, a folder or a loaded model",
        installed=lambda: _major("sentence-transformers") >= 6,
        install="pip install 'sentence-transformers>=6,<7'",
    ),
    Backend(
        "pylate",
        "latelens.encoders.local.pylate",
        claims=_is_checkpoint,
        takes="a name, a folder or a loaded model",
        installed=lambda: _major("pylate") >= 1 and _major("sentence-transformers") == 5,
        install="pip install 'latelens[pylate]'` in an environment without sentence-transformers 6",
    ),
    Backend(
        "onnx",
        "latelens.encoders.onnx.encoder",
        claims=lambda model: is_export(model) or is_hub_folder(model),
        takes="a folder that encoder.export wrote, or one of the hub with an ONNX model",
        installed=lambda: bool(version_of("tokenizers") and (version_of("onnxruntime") or version_of("openvino"))),
        install="pip install 'latelens[onnx]'",
    ),
)


def open_encoder(model: Any, options: EncoderOptions) -> TokenEncoder | VisualEncoder:
    """Make an encoder with the backend that takes the model, and give it its calibration."""
    calibration = options.get("calibration")
    if isinstance(calibration, str | os.PathLike):
        calibration = Calibration.load(calibration)
    backend = _backend(model, options.get("backend", "auto"))
    if not _is_address(model) and (named := [name for name in REMOTE if options.get(name) is not None]):
        raise ValueError(f"{named[0]} is for the address of a server, http:// or https://, got {model!r:.100}")
    encoder = _open(backend, model, options)
    if calibration is not None:
        encoder.calibration = calibration
    elif isinstance(model, str | os.PathLike) and not _is_address(model) and not Path(model).is_dir():
        encoder.calibration = packaged_calibration(encoder.name)
    return encoder


def _open(backend: Backend, model: Any, options: EncoderOptions) -> TokenEncoder | VisualEncoder:
    def make(options: EncoderOptions) -> TokenEncoder | VisualEncoder:
        made: TokenEncoder | VisualEncoder = import_module(backend.module).load(model, options)
        return made

    engine = options.get("engine", "auto")
    if backend.name == "pylate" and engine not in ("auto", "torch"):
        raise ValueError(f"PyLate runs on torch only; engine={engine!r} needs sentence-transformers 6")
    if backend.name != "sentence-transformers" or not version_of("tokenizers"):
        return make(options)
    from latelens.encoders.onnx.kept import open_kept

    if not isinstance(model, str | os.PathLike) and engine not in ("auto", "torch"):
        raise ValueError(f"engine={engine!r} is for names and folders: export the model that you loaded")
    return open_kept(model, options, make) or make(options)


def check_backend(name: str) -> None:
    """Refuse a name that is in no line of the table."""
    names = ["auto", *(backend.name for backend in BACKENDS)]
    check_one_of("backend", name, names)


def _backend(model: Any, name: str) -> Backend:
    """The backend of that name, or the first that takes the model."""
    wanted = [backend for backend in BACKENDS if name in ("auto", backend.name) and backend.claims(model)]
    if not wanted:
        takes = next(backend.takes for backend in BACKENDS if backend.name == name)
        raise ValueError(f"backend={name!r} takes {takes}, got {shown(model)}")
    for backend in wanted:
        if backend.installed():
            return backend
    packages = ("sentence-transformers", "pylate", "onnxruntime", "tokenizers", "httpx")
    here = ", ".join(f"{each} {version_of(each) or 'missing'}" for each in packages)
    commands = "`, or `".join(backend.install for backend in wanted)
    raise ImportError(f"backend={name!r} does not go with what is installed ({here}): run `{commands}`")


def _major(distribution: str) -> int:
    """First number of the installed version; 0 where it is not installed."""
    return int(version_of(distribution).partition(".")[0] or 0)
