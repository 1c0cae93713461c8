"""`LateInteractionEmbeddings`: any vector store of LlamaIndex as the first of two stages."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from latelens.bridge.calibrations import CalibrationSetting
from latelens.bridge.embedding import MEAN, OneVector
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.options import BackendName, Dtype, EncoderOptions, Engine, Speed
from latelens.single_vector import SingleVector


class LateInteractionEmbeddings(BaseEmbedding):
    """One vector a text in place of its rows, for a database that knows no late interaction.

    The vector only finds candidates: ``TwoStage(first_stage(index), encoder)`` scores them exactly and explains. A
    dense model of yours may find them as well or better.

    Parameters
    ----------
    model
        What `latelens.load_encoder` takes, or a loaded model: the one that scores.
    method
        Of `latelens.single_vector`: `MeanOfRows`, `Muvera`, or a `LeastSquares` that was fitted to your corpus.
    batch_size, device, backend, speed, engine, dtype, calibration
        As in `LateInteractionRerank`: with the same ones, both share one model.
    """

    method_name: str = ""  # a field, so that a pipeline's cache tells methods apart

    _made: OneVector = PrivateAttr()

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        method: SingleVector = MEAN,
        batch_size: int | None = None,
        device: str | None = None,
        backend: BackendName = "auto",
        speed: Speed = "exact",
        engine: Engine = "auto",
        dtype: Dtype | None = None,
        calibration: CalibrationSetting = None,
    ) -> None:
        options = EncoderOptions(
            batch_size=batch_size,
            device=device,
            backend=backend,
            speed=speed,
            engine=engine,
            dtype=dtype,
            calibration=calibration,
        )
        made = OneVector(model, options, method=method)
        super().__init__(model_name=model if isinstance(model, str) else made.encoder.name)
        self.method_name = repr(method)
        self._made = made

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "LateInteractionEmbeddings"

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._made.documents([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._made.documents(texts)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._made.query(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)
