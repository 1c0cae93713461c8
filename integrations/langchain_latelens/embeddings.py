"""`LateInteractionEmbeddings`: any vector store of LangChain as the first of two stages."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings

from latelens.bridge.calibrations import CalibrationSetting
from latelens.bridge.embedding import MEAN, OneVector
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.options import BackendName, Dtype, EncoderOptions, Engine, Speed
from latelens.single_vector import SingleVector


class LateInteractionEmbeddings(Embeddings):
    """One vector a text in place of its rows, for a database that knows no late interaction.

    The vector only finds candidates: ``TwoStage(first_stage(store), encoder)`` scores them exactly and explains. A
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
        self._made = OneVector(model, options, method=method)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector for each document."""
        return self._made.documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question, which the model encodes otherwise than a document."""
        return self._made.query(text)
