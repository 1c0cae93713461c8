"""An exported model on ONNX Runtime or OpenVINO: numpy, tokenizers and that engine are all it needs."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.encoders.fingerprint import settings_digest
from latelens.encoders.onnx.hub import hub_settings
from latelens.encoders.onnx.sessions import Session, engine_module, open_session
from latelens.encoders.onnx.settings import (
    MODEL_FILES,
    ExportSettings,
    digests,
    engine_of,
    hub_model,
    is_export,
    read_settings,
)
from latelens.encoders.options import EncoderOptions
from latelens.encoders.reading import ROWS_VERSION
from latelens.encoders.routes import Route
from latelens.encoders.tokenized import TokenBatch, TokenizedEncoder

# OpenVINO is a little faster with 16 sorted texts than with 8.
_BATCH = {"onnx": 8, "openvino": 16}


def load(model: Any, options: EncoderOptions) -> ExportedEncoder:
    """Make an encoder of an exported folder.

    Raises
    ------
    ValueError
        If an option does not go with an exported model, or the folder is damaged.
    """
    folder = Path(model).expanduser()
    engine = engine_of(folder)
    route = Route(engine, options.get("dtype") if engine == "openvino" else None)
    for name, fits in (
        ("device", (None, "cpu")),
        ("engine", ("auto", engine)),
        ("dtype", (None, "float32", "bfloat16", "float16") if engine == "openvino" else (None, "float32")),
    ):
        value = options.get(name, fits[0])
        if value not in fits:
            raise ValueError(
                f"{name}={value!r} does not go with this export, which runs on the CPU on {route}; load the model "
                "that it was exported from"
            )
    return open_export(folder, route, name=os.fspath(model), batch_size=options.get("batch_size"))


def open_export(folder: Path, route: Route, *, name: str, batch_size: int | None = None) -> ExportedEncoder:
    """Open what ``encoder.export`` wrote, or a folder of the hub with an ONNX model.

    Raises
    ------
    ImportError
        If the engine is missing.
    ValueError
        If the folder is damaged.
    """
    engine_module(route.engine)  # that it is missing is no damage of the folder
    ours = is_export(folder)
    file = folder / MODEL_FILES[route.engine] if ours else hub_model(folder)
    settings = read_settings(folder) if ours else None
    try:
        session = open_session(file, route)
        settings = settings or hub_settings(folder, session)
        return ExportedEncoder(folder, file, settings, session, route=route, name=name, batch_size=batch_size)
    except Exception as error:  # each library has its own kinds
        cure = "write it anew with encoder.export" if ours else "fetch it anew"
        raise ValueError(f"{str(folder)!r} is no whole export ({error}); {cure}") from error


class ExportedEncoder(TokenizedEncoder):
    """Encodes with an exported model; the rows, spans and kinds are those of the encoder that was exported."""

    def __init__(
        self,
        folder: Path,
        file: Path,
        settings: ExportSettings,
        session: Session,
        *,
        route: Route,
        name: str,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(folder, settings, name=name, batch_size=batch_size or _BATCH[route.engine], even=True)
        self.route = route
        self._file = file
        self._unit = is_export(folder) and route.dtype in (None, "float32")
        self._session = session

    def __repr__(self) -> str:
        return f"ExportedEncoder({self.name!r}, dim={self.dim}, route={str(self.route)!r})"

    @cached_property
    def _digests(self) -> dict[str, str]:
        return digests(self.folder, self._file, self._settings)

    @property
    def is_whole(self) -> bool:
        """Whether every file is as it was written."""
        return self._digests == self._settings.files

    @property
    def is_the_models(self) -> bool:
        """Whether the numbers are those of the model, as near as another device gives them."""
        return bool(self._settings.fingerprint) and self.is_whole and self.route.dtype in (None, "float32")

    @property
    def fingerprint(self) -> str:
        """The exported encoder's own, unless a file was changed or the vectors are rounded."""
        if self._settings.fingerprint and self.is_the_models:
            return self._settings.fingerprint
        return settings_digest(ROWS_VERSION, str(self.route), self._digests)

    def _vectors(self, batch: TokenBatch) -> NDArray[np.float32]:
        rows = self._session(batch.ids, batch.seen.astype(np.int64))
        if self._unit:
            return rows
        # FastEmbed's models leave the length of a vector to whoever compares them.
        norms = np.linalg.norm(rows, axis=2, keepdims=True)
        unit: NDArray[np.float32] = rows / np.maximum(norms, np.float32(1e-12))
        return unit
