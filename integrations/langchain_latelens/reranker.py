"""`LateInteractionRerank`: a document compressor that reorders documents and says why."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManager,
    CallbackManager,
    Callbacks,
)
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import RetrieverLike
from langchain_core.runnables import run_in_executor
from langchain_core.runnables.config import (
    ensure_config,
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
)
from pydantic import ConfigDict, Field, PrivateAttr, field_serializer, field_validator, model_validator
from typing_extensions import Self, Unpack

from langchain_latelens.documents import WRAP, text_of
from langchain_latelens.evidence import SCORE_KEY
from langchain_latelens.reranked_retriever import RerankedRetriever
from latelens.bridge.arguments import listed
from latelens.bridge.calibrations import describe_calibration, read_calibration
from latelens.bridge.metadata import marked
from latelens.bridge.parents import START_KEY
from latelens.bridge.reranking import Given, RerankAsked, Reranked, Reranker, RerankOptions
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.cache import describe_cache
from latelens.encoders.options import BackendName, Dtype, Engine, Speed
from latelens.explanation.matches import Explanation
from latelens.explanation.results import ExplainMode
from latelens.pages.files import file_page


class LateInteractionRerank(BaseDocumentCompressor):
    """Rerank documents with a late-interaction model; each result carries its score and its exact evidence.

    Results are copies: ``metadata["relevance_score"]`` holds MaxSim, ``metadata["latelens"]`` the evidence
    (`read_evidence` reads it). Rerank last: `EnsembleRetriever` and `MultiQueryRetriever` merge documents by
    their metadata or keep the first copy. The model loads at first use.

    Parameters
    ----------
    model
        What `latelens.load_encoder` takes: a hub id, a folder, ``"offline/latelens-mini"``, or a loaded model.
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
    backend, speed, engine, dtype, calibration
        As for `latelens.load_encoder`. Rerankers, retrievers and attributors with one model's name and the same of
        these share one encoder in a process.
    show_progress
        Show a progress bar while documents are encoded.
    folders
        Where the files lie whose pages a model of ColPali's family reads: those that the documents' metadata name, in
        the words of the usual loaders. No other file is opened. `read_regions` reads where each page answers.
    metadata_keys
        Metadata to read before each text, such as ``["title"]``, as lines ``title: Louvre``: it counts in the score.
        Evidence stays in the bare text; what matched in metadata stands under ``"in_metadata"``, with its key. None by
        default: titles change nothing on average (SQuAD: nDCG@10 +.004, within chance), and much for questions whose
        words stand in the title alone (+.23).
    """

    model: Any = DEFAULT_MODEL
    top_n: int | None = Field(default=5, strict=True)
    explain_mode: ExplainMode = Field(default="evidence", alias="explain")
    min_score: float | None = None
    min_relevance: float | None = None
    cache: Any = True
    batch_size: int | None = None
    device: str | None = None
    backend: BackendName = "auto"
    speed: Speed = "exact"
    engine: Engine = "auto"
    dtype: Dtype | None = None
    calibration: Any = None
    show_progress: bool = False
    folders: Sequence[str | os.PathLike[str]] = ()
    metadata_keys: Sequence[str] = ()

    _made: Reranker = PrivateAttr()

    # Typos are refused; `explain` is the argument's name and a method's, so the field is called `explain_mode`.
    model_config = ConfigDict(extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)

    @model_validator(mode="after")
    def _prepare(self) -> Self:
        self._made = Reranker(RerankOptions.of(self))
        return self

    @property
    def _reranker(self) -> Reranker:
        """Made anew when a field was changed, whichever way."""
        options = RerankOptions.of(self)
        if self._made.options != options:
            self._made = Reranker(options)
        return self._made

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (
            (RerankOptions.of(other), other.metadata_keys) == (RerankOptions.of(self), self.metadata_keys)
        )

    @field_serializer("model")
    def _model_name(self, model: Any) -> str:
        return model if isinstance(model, str) else self._reranker.encoder.name

    @field_validator("calibration", mode="before")
    @classmethod
    def _calibration(cls, setting: Any) -> Any:
        return read_calibration(setting)

    @field_serializer("calibration")
    def _calibration_setting(self, setting: Any) -> Any:
        return describe_calibration(setting)

    @field_serializer("cache")
    def _cache_setting(self, cache: Any) -> bool | str:
        return describe_cache(cache)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        **asked: Unpack[RerankAsked],
    ) -> list[Document]:
        """Return the best documents for a query as copies with score and evidence, best first.

        ``top_n``, ``explain``, ``min_score`` and ``min_relevance`` may be asked otherwise for this call.
        """
        reranker, documents = self._reranker.asked(asked), _checked(documents)
        manager = _manager(callbacks)
        run = manager.on_chain_start(None, {"query": query, "documents": documents}, name=type(self).__name__)
        try:
            results = _rerank(reranker, documents, query, self.metadata_keys)
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end({"documents": results})
        return results

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        **asked: Unpack[RerankAsked],
    ) -> list[Document]:
        """Like `compress_documents`, off the event loop."""
        reranker, documents = self._reranker.asked(asked), _checked(documents)
        manager = _async_manager(callbacks)
        run = await manager.on_chain_start(None, {"query": query, "documents": documents}, name=type(self).__name__)
        try:
            results = await run_in_executor(None, _rerank, reranker, documents, query, self.metadata_keys)
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end({"documents": results})
        return results

    def explain(self, query: str, document: Document | str) -> Explanation:
        """Every match between a query and one document, whatever `explain` was set to."""
        image = file_page(document.metadata) if isinstance(document, Document) else None
        return self._reranker.explain(query, text_of(document), image)

    def as_retriever(self, base_retriever: RetrieverLike) -> RerankedRetriever:
        """A retriever whose results are reranked, for chains that do not use langchain-classic."""
        return RerankedRetriever(base_retriever=base_retriever, reranker=self)


def _manager(callbacks: Callbacks | None) -> CallbackManager:
    """The run that calls is the parent: named by its callbacks, else by the context, as inside a `RunnableLambda`."""
    if callbacks is None:
        return get_callback_manager_for_config(ensure_config())
    return CallbackManager.configure(inheritable_callbacks=callbacks)


def _async_manager(callbacks: Callbacks | None) -> AsyncCallbackManager:
    if callbacks is None:
        return get_async_callback_manager_for_config(ensure_config())
    return AsyncCallbackManager.configure(inheritable_callbacks=callbacks)


def _checked(documents: Iterable[Document]) -> list[Document]:
    return listed("documents", documents, Document, wrap=WRAP)


def _rerank(reranker: Reranker, documents: Sequence[Document], query: str, keys: Sequence[str]) -> list[Document]:
    found = reranker.rerank(query, [_given(document, keys) for document in documents])
    return [_copy(documents[one.index], one) for one in found]


def _given(document: Document, keys: Sequence[str]) -> Given:
    metadata = document.metadata
    return Given(
        document.page_content,
        metadata,
        score=metadata.get(SCORE_KEY),
        start=metadata.get(START_KEY),
        lines=[(key, f"{key}: {metadata[key]}") for key in keys if key in metadata],
        image=file_page(metadata),
    )


def _copy(document: Document, found: Reranked) -> Document:
    metadata = {**marked(document.metadata, found.metadata), SCORE_KEY: found.score}
    return document.model_copy(update={"metadata": metadata})
