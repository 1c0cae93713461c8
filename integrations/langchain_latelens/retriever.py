"""`LateInteractionRetriever`: finds documents by late interaction and says why."""

from __future__ import annotations

import os
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables import RunnableConfig, run_in_executor
from langchain_core.stores import BaseStore
from pydantic import ConfigDict, Field, field_serializer, model_validator
from typing_extensions import Self, Unpack

from langchain_latelens.documents import (
    Parents,
    document_of,
    documents_of,
    parent_finder,
    passages,
    plain_document,
    text_of,
    to_chunks,
    with_ids,
)
from langchain_latelens.retriever_arguments import Making, Options
from langchain_latelens.tracing import abatch, batch, child_runs
from latelens.bridge.arguments import check_flag
from latelens.bridge.calibrations import CalibrationSetting
from latelens.bridge.pages import index_of_pages
from latelens.bridge.parents import KEPT, PARENT_KEY, FindParents, check_parents, kept_parents
from latelens.bridge.retrieving import (
    Wanted,
    aretrieve,
    check_searcher,
    explain_one,
    put,
    put_documents,
    remove,
    retrieve,
)
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.lazy import LazyEncoder
from latelens.encoders.options import BackendName, Dtype, Engine, Speed
from latelens.explanation.matches import Explanation
from latelens.explanation.results import ExplainMode
from latelens.index.exact import ExactIndex
from latelens.index.protocol import Searcher
from latelens.pages.files import PageFiles
from latelens.pages.words import WordReader


class LateInteractionRetriever(BaseRetriever):
    """Find documents with a late-interaction model; each carries its score and its exact evidence.

    Results are new documents: ``metadata["relevance_score"]`` holds MaxSim, ``metadata["latelens"]`` the evidence
    (`read_evidence` reads it). ``invoke(query, k=3, filter={...}, explain="tokens")`` asks otherwise for one call, as
    do ``min_score`` and ``min_relevance``; `batch` and `abatch` encode all queries at once.

    Parameters
    ----------
    searcher
        An index or a `TwoStage` of `latelens.index`; `from_documents` and `from_texts` make an `ExactIndex`.
    k
        How many documents to return at most.
    explain
        ``"evidence"``; ``"tokens"`` adds every token match; ``"off"`` leaves the score alone.
    min_score
        Leave out those of the `k` with a lower MaxSim score.
    min_relevance
        Leave out those of the `k` that answer with a lower probability, 0..1; the model needs a calibration.
    filter
        On metadata, such as ``{"lang": "en", "year": {"$gte": 2000}}``; one given to a call takes its place.
    split
        Cut documents into passages when they are added, with the document's id under ``parent_key`` and the place of
        each passage under ``"start_index"``.
    parents
        Whole documents by their ids: a mapping, a LangChain store, or ``"index"`` for those that ``split`` keeps with
        the index. What is returned are then the documents whose chunks were found, with the evidence at its place in
        the whole text, and MaxSim over those chunks.
    parent_key
        Which key of a chunk's metadata holds the id of its document.
    score_threshold
        LangChain's name for `min_score`: give one of them.
    files
        Where the files of page images lie, ``latelens.pages.PageFiles([folder])``: their regions then grow to whole
        lines and say which words stand there. `from_pdf` sets it.
    """

    searcher: Any
    k: int = Field(default=5, strict=True)
    explain_mode: ExplainMode = Field(default="evidence", alias="explain")
    min_score: float | None = None
    min_relevance: float | None = None
    filter: dict[str, Any] | None = None
    split: bool = Field(default=False, strict=True)
    parents: Any = None
    parent_key: str = PARENT_KEY
    score_threshold: float | None = None
    files: Any = None

    # Typos are refused; `explain` is the argument's name and a method's, so the field is called `explain_mode`.
    model_config = ConfigDict(extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_searcher(self.searcher)
        if self.min_score is not None and self.score_threshold is not None:
            raise ValueError("min_score and score_threshold are one thing: give one of them")
        self._wanted()
        return self

    @field_serializer("searcher")
    def _describe_searcher(self, searcher: Searcher) -> dict[str, str]:
        return {"kind": type(searcher).__name__, "model": searcher.encoder.name}

    @field_serializer("parents", "files")
    def _describe_parents(self, parents: Any) -> str | None:
        return None if parents is None else type(parents).__name__

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        model: Any = DEFAULT_MODEL,
        *,
        ids: Sequence[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        split: bool = False,
        return_parents: bool = False,
        batch_size: int | None = None,
        device: str | None = None,
        backend: BackendName = "auto",
        speed: Speed = "exact",
        engine: Engine = "auto",
        dtype: Dtype | None = None,
        calibration: CalibrationSetting = None,
        show_progress: bool = False,
        **options: Unpack[Options],
    ) -> Self:
        """Index documents and return a retriever over them.

        Parameters
        ----------
        documents
            Kept under their ids, else under an id made of text and metadata.
        model
            What `latelens.load_encoder` takes, or a loaded model.
        ids
            Take the place of the documents' own.
        path
            A folder that keeps the index; opened if it is there, and documents that it holds are not encoded again.
        return_parents
            With `split`: return whole documents, which are kept with the index.
        batch_size, device, backend, speed, engine, dtype, calibration, show_progress
            As in `LateInteractionRerank`.
        options
            The class's own.
        """
        check_flag("split", split)
        check_flag("return_parents", return_parents)
        if return_parents and not split:
            raise ValueError("return_parents=True needs split=True, or from_index(index, parents=...)")
        encoder = LazyEncoder(
            model,
            batch_size=batch_size,
            device=device,
            backend=backend,
            speed=speed,
            engine=engine,
            dtype=dtype,
            calibration=calibration,
        )
        searcher = ExactIndex(encoder, path)
        made = cls(searcher=searcher, split=split, parents=KEPT if return_parents else None, **options)
        made.add_documents(documents, ids=ids, show_progress=show_progress)
        return made

    @classmethod
    def from_pdf(
        cls,
        paths: Sequence[str | os.PathLike[str]],
        model: Any,
        *,
        path: str | os.PathLike[str] | None = None,
        tiles: int | None = None,
        password: str | None = None,
        word_reader: WordReader | None = None,
        batch_size: int | None = None,
        device: str | None = None,
        backend: BackendName = "auto",
        speed: Speed = "exact",
        engine: Engine = "auto",
        dtype: Dtype | None = None,
        calibration: CalibrationSetting = None,
        show_progress: bool = False,
        **options: Unpack[Options],
    ) -> Self:
        """Index the pages of PDFs, or of images, as images, and return a retriever over them.

        A result is a page, under an id such as ``report.pdf:page_7``; `read_regions` says where on it the query is
        answered. `latelens.index.add_pages` adds further files to its `searcher`.

        Parameters
        ----------
        paths
            The files; each is opened before the model is loaded.
        model
            A model of ColPali's family: what `latelens.load_encoder` takes, or a loaded one.
        path
            A folder that keeps the index; opened if it is there, and pages that it holds are not encoded again.
        tiles
            For thousands of pages: find candidates by tiles of so many patches a side, 2 or 4, and score those exactly,
            see `latelens.index.TiledIndex`. None scores every page.
        password, word_reader
            As `latelens.pages.open_pages` takes them.
        batch_size, device, backend, speed, engine, dtype, calibration, show_progress
            As in `LateInteractionRerank`.
        options
            The class's own.

        Raises
        ------
        ValueError, OSError
            If a file cannot be read or has no pages; the message names it.
        TypeError
            If the model reads text alone.
        """
        encoder = LazyEncoder(
            model,
            batch_size=batch_size,
            device=device,
            backend=backend,
            speed=speed,
            engine=engine,
            dtype=dtype,
            calibration=calibration,
        )
        searcher, files = index_of_pages(
            paths,
            encoder,
            path=path,
            tiles=tiles,
            password=password,
            word_reader=word_reader,
            show_progress=show_progress,
            for_texts="give PdfPagesLoader(path).load() to from_documents",
        )
        return cls(searcher=searcher, files=files, **options)

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        metadatas: Sequence[dict[str, Any]] | None = None,
        model: Any = DEFAULT_MODEL,
        **arguments: Unpack[Making],
    ) -> Self:
        """Like `from_documents`, from texts and their metadata."""
        if isinstance(metadatas, Embeddings) or isinstance(model, Embeddings):
            raise TypeError("latelens takes no embeddings: pass a late-interaction model with model=, or nothing")
        return cls.from_documents(documents_of(texts, metadatas), model, **arguments)

    @classmethod
    def from_index(
        cls,
        searcher: Searcher,
        *,
        split: bool = False,
        parents: Parents | Literal["index"] | None = None,
        parent_key: str = PARENT_KEY,
        files: PageFiles | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """A retriever over an index or a `TwoStage` that is there already."""
        return cls(searcher=searcher, split=split, parents=parents, parent_key=parent_key, files=files, **options)

    def add_documents(
        self, documents: Sequence[Document], *, ids: Sequence[str] | None = None, show_progress: bool = False
    ) -> list[str]:
        """Index documents, replacing those with the same ids, and return the ids that `delete` takes.

        With `split` these are the passages' ids, and a document's passages take the place of all that it had.
        """
        named = with_ids(documents, ids)
        if not self.split:
            return put(self.searcher, to_chunks(named), show_progress=show_progress)
        cut = passages(named, whole=self.parents == KEPT)
        stored = put_documents(self.searcher, cut, show_progress=show_progress)
        if isinstance(self.parents, BaseStore):
            self.parents.mset([(document.id or "", document) for document in named])
        elif isinstance(self.parents, MutableMapping):
            self.parents.update((document.id, document) for document in named)
        return stored

    async def aadd_documents(
        self, documents: Sequence[Document], *, ids: Sequence[str] | None = None, show_progress: bool = False
    ) -> list[str]:
        """Like `add_documents`, off the event loop."""
        return await run_in_executor(None, self.add_documents, documents, ids=ids, show_progress=show_progress)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete what is stored under these ids, and return how many there were."""
        return remove(self.searcher, ids)

    async def adelete(self, ids: Sequence[str]) -> int:
        """Like `delete`, off the event loop."""
        return await run_in_executor(None, self.delete, ids)

    def explain(self, query: str, document: Document | str) -> Explanation:
        """Every match between a query and one document, whatever `explain` was set to."""
        id = document.id if isinstance(document, Document) else None
        return explain_one(self.searcher, query, text_of(document), id)

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """Retrieve for each query, encoding ``config["max_concurrency"]`` of them at once, all by default."""
        return batch(self, inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """Like `batch`, off the event loop."""
        return await abatch(self, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def retrieve_many(self, queries: Sequence[str], **asked: Any) -> list[list[Document]]:
        """What `batch` returns, without runs and callbacks; takes what `invoke` takes for one call."""
        found = retrieve(self.searcher, queries, self._wanted().asked(asked))
        return [[document_of(result) for result in results] for results in found]

    async def aretrieve_many(self, queries: Sequence[str], **asked: Any) -> list[list[Document]]:
        """Like `retrieve_many`, off the event loop."""
        found = await aretrieve(self.searcher, queries, self._wanted().asked(asked))
        return [[document_of(result) for result in results] for results in found]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **asked: Any
    ) -> list[Document]:
        with child_runs(run_manager):
            return self.retrieve_many([query], **asked)[0]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **asked: Any
    ) -> list[Document]:
        with child_runs(run_manager):
            return (await self.aretrieve_many([query], **asked))[0]

    def _get_ls_params(self, **_kwargs: Any) -> LangSmithRetrieverParams:
        return LangSmithRetrieverParams(
            ls_retriever_name="latelens",
            ls_vector_store_provider=type(self.searcher).__name__,
            ls_embedding_provider="latelens",
            ls_embedding_model=self.searcher.encoder.name,
        )

    def _find_parents(self) -> FindParents | None:
        if self.parents is None:
            return None
        check_parents(self.searcher, self.parents)
        return kept_parents(self.searcher, plain_document) if self.parents == KEPT else parent_finder(self.parents)

    def _wanted(self) -> Wanted:
        return Wanted(
            k=self.k,
            explain=self.explain_mode,
            min_score=self.score_threshold if self.min_score is None else self.min_score,
            min_relevance=self.min_relevance,
            filter=self.filter,
            find_parents=self._find_parents(),
            parent_key=self.parent_key,
            files=self.files,
        )
