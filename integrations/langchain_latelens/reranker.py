"""`LateInteractionRerank`: a document compressor that reorders documents and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForRetrieverRun,
    CallbackManager,
    CallbackManagerForRetrieverRun,
    Callbacks,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever, RetrieverLike
from langchain_core.runnables import run_in_executor
from pydantic import ConfigDict, Field, PrivateAttr, field_serializer, model_validator
from typing_extensions import Self

from langchain_latelens.evidence import SCORE_KEY
from latelens.bridge.metadata import KEY
from latelens.bridge.parents import START_KEY
from latelens.bridge.reranking import Given, Reranked, Reranker, RerankOptions
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.cache_setting import describe_cache
from latelens.explanation.matches import Explanation
from latelens.explanation.results import ExplainMode


class LateInteractionRerank(BaseDocumentCompressor):
    """Rerank documents with a late-interaction model; each result carries its score and its exact evidence.

    Results are copies: ``metadata["relevance_score"]`` holds MaxSim, ``metadata["latelens"]`` the evidence
    (`read_evidence` reads it). Rerank last: `EnsembleRetriever` and `MultiQueryRetriever` merge documents by
    their metadata or keep the first copy. The model loads at first use.

    Parameters
    ----------
    model
        What `latelens.load_encoder` takes: a hub id, a folder, ``"offline/all-MiniLM-L6-v2"``, or a loaded model.
    top_n
        How many documents to return at most; None returns all.
    explain
        ``"evidence"``; ``"tokens"`` adds every token match; ``"off"`` leaves the score alone.
    min_score
        Leave out documents with a lower MaxSim score.
    min_relevance
        Leave out documents that answer with a lower probability, 0..1; the model needs a calibration.
    cache
        True keeps embeddings in memory, False encodes anew, a path keeps them in a folder too.
    batch_size
        Texts to encode at once; None lets the encoder choose.
    device
        A torch device; None takes an accelerator where there is one.
    show_progress
        Show a progress bar while documents are encoded.
    """

    model: Any = DEFAULT_MODEL
    top_n: int | None = Field(default=5, strict=True)
    explain_mode: ExplainMode = Field(default="evidence", alias="explain")
    min_score: float | None = None
    min_relevance: float | None = None
    cache: Any = True
    batch_size: int | None = None
    device: str | None = None
    show_progress: bool = False

    _reranker: Reranker = PrivateAttr()

    # Typos are refused; `explain` is the argument's name and a method's, so the field is called `explain_mode`.
    model_config = ConfigDict(extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)

    @model_validator(mode="after")
    def _prepare(self) -> Self:
        self._reranker = Reranker(RerankOptions.of(self))
        return self

    @field_serializer("model")
    def _model_name(self, model: Any) -> str:
        return model if isinstance(model, str) else self._reranker.encoder.name

    @field_serializer("cache")
    def _cache_setting(self, cache: Any) -> bool | str:
        return describe_cache(cache)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the best documents for a query as copies with score and evidence, best first."""
        manager = CallbackManager.configure(inheritable_callbacks=callbacks)
        run = manager.on_chain_start(None, self._inputs(documents, query), name=type(self).__name__)
        try:
            results = self._rerank(documents, query)
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end({"documents": results})
        return results

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Like `compress_documents`, off the event loop."""
        manager = AsyncCallbackManager.configure(inheritable_callbacks=callbacks)
        run = await manager.on_chain_start(None, self._inputs(documents, query), name=type(self).__name__)
        try:
            results = await run_in_executor(None, self._rerank, documents, query)
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end({"documents": results})
        return results

    def explain(self, query: str, document: Document | str) -> Explanation:
        """Every match between a query and one document, whatever `explain` was set to."""
        text = document if isinstance(document, str) else document.page_content
        return self._reranker.explain(query, text)

    def as_retriever(self, base_retriever: RetrieverLike) -> RerankedRetriever:
        """A retriever whose results are reranked, for chains that do not use langchain-classic."""
        return RerankedRetriever(base_retriever=base_retriever, reranker=self)

    def _inputs(self, documents: Sequence[Document], query: str) -> dict[str, Any]:
        return {"query": query, "documents": list(documents)}

    def _rerank(self, documents: Sequence[Document], query: str) -> list[Document]:
        return [
            _copy(documents[found.index], found)
            for found in self._reranker.rerank(query, [_given(document) for document in documents])
        ]


class RerankedRetriever(BaseRetriever):
    """Retrieves with one retriever and reranks what it finds; made by `LateInteractionRerank.as_retriever`."""

    base_retriever: RetrieverLike
    reranker: LateInteractionRerank

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        found = self.base_retriever.invoke(query, config={"callbacks": run_manager.get_child()})
        return self.reranker.compress_documents(found, query, callbacks=run_manager.get_child())

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        found = await self.base_retriever.ainvoke(query, config={"callbacks": run_manager.get_child()})
        return await self.reranker.acompress_documents(found, query, callbacks=run_manager.get_child())


def _given(document: Document) -> Given:
    metadata = document.metadata
    return Given(document.page_content, metadata, score=metadata.get(SCORE_KEY), start=metadata.get(START_KEY))


def _copy(document: Document, found: Reranked) -> Document:
    metadata = {key: value for key, value in document.metadata.items() if key != KEY}
    if found.metadata is not None:
        metadata[KEY] = found.metadata
    metadata[SCORE_KEY] = found.score
    return document.model_copy(update={"metadata": metadata})
