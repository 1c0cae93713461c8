"""`LateInteractionEmbeddings`: any vector store of LlamaIndex as the first of two stages."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from latelens.bridge.embedding import OneVector
from latelens.encoders import DEFAULT_MODEL


class LateInteractionEmbeddings(BaseEmbedding):
    """One vector a text, the mean of its rows, for a database that knows no late interaction.

    The vector only finds candidates: ``TwoStage(first_stage(index), encoder)`` scores them exactly and explains. A
    dense model of yours may find them as well or better.

    Parameters
    ----------
    model
        What `latelens.load_encoder` takes, or a loaded model: the one that scores.
    batch_size, device
        As in `LateInteractionRerank`.
    """

    _made: OneVector = PrivateAttr()

    def __init__(self, model: Any = DEFAULT_MODEL, *, batch_size: int | None = None, device: str | None = None) -> None:
        made = OneVector(model, batch_size=batch_size, device=device)
        super().__init__(model_name=model if isinstance(model, str) else made.encoder.name)
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
