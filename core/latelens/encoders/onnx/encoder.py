"""An exported model on ONNX Runtime: numpy, onnxruntime and tokenizers are all it needs."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from latelens.encoders.fingerprint import file_digest, settings_digest
from latelens.encoders.onnx.settings import MODEL_FILE, SETTINGS_FILE, TOKENIZER_FILE, ExportSettings, read_settings
from latelens.encoders.options import EncoderOptions
from latelens.encoders.reading import ROWS_VERSION
from latelens.encoders.tokenized import TokenBatch, TokenizedEncoder

_BATCH = 8


def load(model: Any, options: EncoderOptions) -> OnnxEncoder:
    """Make an encoder of an exported folder.

    Raises
    ------
    ValueError
        If an option does not go with an exported model, or the folder is damaged.
    """
    for name, fits in (("device", (None, "cpu")), ("dtype", (None, "float32")), ("engine", ("torch",))):
        value = options.get(name, fits[0])
        if value not in fits:
            raise ValueError(
                f"{name}={value!r} does not go with an exported model, which runs on the CPU in float32; load the "
                "model that it was exported from"
            )
    folder = Path(model).expanduser()
    return OnnxEncoder(folder, read_settings(folder), name=os.fspath(model), batch_size=options.get("batch_size"))


class OnnxEncoder(TokenizedEncoder):
    """Encodes with an exported model; the rows, spans and kinds are those of the encoder that was exported."""

    def __init__(self, folder: Path, settings: ExportSettings, *, name: str, batch_size: int | None = None) -> None:
        try:
            super().__init__(folder, settings, name=name, batch_size=batch_size or _BATCH, even=True)
            self._session = onnxruntime.InferenceSession(str(folder / MODEL_FILE), providers=["CPUExecutionProvider"])
        except Exception as error:  # each library has its own kinds
            raise ValueError(
                f"{str(folder)!r} is no whole export ({error}); write it anew with encoder.export"
            ) from error

    def __repr__(self) -> str:
        return f"OnnxEncoder({self.name!r}, dim={self.dim})"

    @cached_property
    def _digests(self) -> list[str]:
        # Weights beyond 2 GB lie in a file of their own.
        files = sorted(self.folder.glob(f"{MODEL_FILE}*"))
        return [file_digest(file) for file in [*files, self.folder / TOKENIZER_FILE, self.folder / SETTINGS_FILE]]

    @property
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer and every setting that shapes the vectors."""
        return settings_digest(ROWS_VERSION, "onnx", onnxruntime.__version__, self._digests)

    def _vectors(self, batch: TokenBatch) -> NDArray[np.float32]:
        (vectors,) = self._session.run(None, {"input_ids": batch.ids, "attention_mask": batch.seen.astype(np.int64)})
        found: NDArray[np.float32] = vectors
        return found
