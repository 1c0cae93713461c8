"""An exported model on ONNX Runtime: numpy, onnxruntime and tokenizers are all it needs."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers
from numpy.typing import NDArray

from latelens.encoders.fingerprint import settings_digest
from latelens.encoders.labels import EncodedWindow, label_batch
from latelens.encoders.onnx.settings import MODEL_FILE, SETTINGS_FILE, TOKENIZER_FILE, ExportSettings, read_settings
from latelens.encoders.options import EncoderOptions
from latelens.encoders.reading import ROWS_VERSION, TokenEncoder

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


class OnnxEncoder(TokenEncoder):
    """Encodes with an exported model; the rows, spans and kinds are those of the encoder that was exported."""

    def __init__(self, folder: Path, settings: ExportSettings, *, name: str, batch_size: int | None = None) -> None:
        super().__init__(name=name, batch_size=batch_size or _BATCH, even=True, lock=threading.Lock())
        self.folder = folder
        self.calibration = settings.calibration
        self._settings = settings
        self._control_ids = np.array(settings.control_ids, dtype=np.int64)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
            self._tokenizer.no_padding()
            self._session = onnxruntime.InferenceSession(str(folder / MODEL_FILE), providers=["CPUExecutionProvider"])
        except Exception as error:  # each library has its own kinds
            raise ValueError(
                f"{str(folder)!r} is no whole export ({error}); write it anew with encoder.export"
            ) from error

    def __repr__(self) -> str:
        return f"OnnxEncoder({self.name!r}, dim={self.dim})"

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._settings.dim

    @cached_property
    def _digests(self) -> list[str]:
        # Weights beyond 2 GB lie in a file of their own.
        files = sorted(self.folder.glob(f"{MODEL_FILE}*"))
        return [_file_digest(file) for file in [*files, self.folder / TOKENIZER_FILE, self.folder / SETTINGS_FILE]]

    @property
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer and every setting that shapes the vectors."""
        return settings_digest(ROWS_VERSION, "onnx", onnxruntime.__version__, self._digests)

    def _limit(self, task: str) -> int:
        return self._settings.of(task).limit

    def _tokenize(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        prompt = self._settings.of(task).prompt
        self._tokenizer.no_truncation()
        encoded = self._tokenizer.encode_batch([prompt + text for text in texts])
        return [np.maximum(np.array(each.offsets, dtype=np.int32).reshape(-1, 2) - len(prompt), 0) for each in encoded]

    def _names(self, ids: Sequence[int]) -> list[str]:
        return [self._tokenizer.id_to_token(token) or "" for token in ids]

    def _forward(self, slices: list[str], starts: list[int], task: str, width: int | None) -> list[EncodedWindow]:
        settings = self._settings.of(task)
        with self._lock:
            self._tokenizer.enable_truncation(settings.limit)
            encoded = self._tokenizer.encode_batch([settings.prompt + text for text in slices])
        counts = np.array([len(each.ids) for each in encoded])
        expansion = settings.expansion
        width = max(width or 0, int(counts.max()), expansion.length if expansion else 0)
        tokens = np.arange(width) < counts[:, None]  # (batch, width) bool
        ids = np.full(tokens.shape, self._settings.pad_id, dtype=np.int64)
        offsets = np.zeros((*tokens.shape, 2), dtype=np.int32)
        added = np.ones(tokens.shape, dtype=bool)
        for i, each in enumerate(encoded):
            ids[i, : counts[i]] = each.ids
            offsets[i, : counts[i]] = np.array(each.offsets, dtype=np.int32).reshape(-1, 2)
            added[i, : counts[i]] = each.special_tokens_mask
        expanded = np.zeros_like(tokens)
        if expansion:
            expanded = ~tokens & (np.arange(width) < expansion.length)
            ids[expanded] = expansion.token_id
        seen = tokens | expanded if expansion and expansion.attend else tokens
        (vectors,) = self._session.run(None, {"input_ids": ids, "attention_mask": seen.astype(np.int64)})
        return label_batch(
            slices,
            starts,
            vectors=vectors,
            ids=ids,
            offsets=offsets,
            added=added,
            expansion=expanded,
            scoring=(tokens | expanded) & ~np.isin(ids, settings.skipped),
            full=counts >= settings.limit,
            control_ids=self._control_ids,
            prompt_length=len(settings.prompt),
        )


def _file_digest(file: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as opened:
        while part := opened.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()
