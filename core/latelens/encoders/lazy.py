"""An encoder that loads at first use, so that making a reranker costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.calibration import Calibration
from latelens.encoders.loading import load_encoder
from latelens.encoders.protocol import Encoder


class LazyEncoder:
    """Holds what `load_encoder` takes and calls it once, whichever thread comes first."""

    def __init__(self, model: Any, *, device: str | None = None, batch_size: int | None = None) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self._model = model
        self._options: dict[str, Any] = {"device": device, "batch_size": batch_size}
        self._loaded: Encoder | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What the user loaded."""
        return self._model if isinstance(self._model, str) else self._encoder.name

    @property
    def fingerprint(self) -> str:
        """The loaded encoder's fingerprint."""
        return self._encoder.fingerprint

    @property
    def calibration(self) -> Calibration | None:
        """The loaded encoder's calibration, if it has one."""
        return getattr(self._encoder, "calibration", None)

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._encoder.dim

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries, loading the model if need be."""
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode documents, loading the model if need be."""
        return self._encoder.encode_documents(texts, show_progress=show_progress)

    @property
    def _encoder(self) -> Encoder:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_encoder(self._model, **self._options)
            return self._loaded
