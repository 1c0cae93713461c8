"""A third stage: a cross-encoder reads query and chunk together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from latelens.refusals import described


@runtime_checkable
class PairScorer(Protocol):
    """What is asked of a cross-encoder; `sentence_transformers.CrossEncoder` is one."""

    def predict(self, inputs: list[tuple[str, str]], /) -> Any:
        """One number for each pair of query and text, higher for better."""
        ...


class CrossEncoderStage:
    """Scores texts for a query; a name is loaded at first use, with `sentence_transformers.CrossEncoder`.

    Raises
    ------
    TypeError
        If `model` is neither a name nor has a method `predict`.
    """

    def __init__(self, model: str | PairScorer) -> None:
        if not isinstance(model, str | PairScorer):
            raise TypeError(
                "cross_encoder must be a model's name or have a method predict(pairs), such as "
                f"sentence_transformers.CrossEncoder, got {described(model)}"
            )
        self._model: str | PairScorer = model
        self._lock = threading.Lock()  # tokenizers may not be used by two threads at once

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """One number for each text, on the model's own scale.

        Raises
        ------
        ValueError
            If the model gives another number of values, or one that is not finite.
        """
        if not texts:
            return []
        with self._lock:
            self._model = _load(self._model)
            found = np.asarray(self._model.predict([(query, text) for text in texts]), dtype=np.float64)
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.shape != (len(texts),):
            raise ValueError(
                f"the cross-encoder must give one number a pair, got shape {found.shape} for {len(texts)} pairs; "
                "take a model with one label, such as 'cross-encoder/ms-marco-MiniLM-L6-v2'"
            )
        if not np.isfinite(found).all():
            raise ValueError("the cross-encoder gave a score that is not finite; check the model's weights and dtype")
        return [float(score) for score in found]


def _load(model: str | PairScorer) -> PairScorer:
    if not isinstance(model, str):
        return model
    from sentence_transformers import CrossEncoder  # takes seconds to import

    loaded: PairScorer = CrossEncoder(model)
    return loaded
