"""`LateInteractionVectorStore`: an index where LangChain expects a vector store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from typing_extensions import Self

from langchain_latelens.documents import document_of, documents_of, to_chunks, with_ids
from langchain_latelens.evidence import SCORE_KEY
from latelens.bridge.arguments import check_names
from latelens.bridge.calibrations import CalibrationSetting
from latelens.bridge.retrieving import Retrieved, put, remove
from latelens.bridge.storing import Store, no_single_vector
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.lazy import LazyEncoder
from latelens.encoders.options import BackendName, Dtype, Engine, Speed
from latelens.explanation.results import ExplainMode
from latelens.index.exact import ExactIndex
from latelens.index.protocol import Index
from latelens.refusals import check_texts

_INSTEAD = "similarity_search takes the question itself, and a LateInteractionRerank reads what another store finds"


class LateInteractionVectorStore(VectorStore):
    """Keep documents in an index and search it by late interaction; each result carries its exact evidence.

    Documents are kept under their ids; one that is added again replaces the old one, and is encoded only if it has
    changed. ``langchain_core.indexing.index(...)`` works in all its cleanup modes. Every search takes ``k`` and, for
    that call, ``filter`` (as in `LateInteractionRetriever`), ``explain``, ``min_score`` and ``min_relevance``, also in
    ``as_retriever(search_kwargs={...})``.

    Parameters
    ----------
    index
        One of `latelens.index`: `ExactIndex`, `LanceIndex`, `QdrantIndex` or `PlaidIndex`.
    explain
        ``"evidence"``; ``"tokens"`` adds every token match; ``"off"`` gives back documents just as they were stored.
    min_score
        Leave out those of the `k` with a lower MaxSim score.
    min_relevance
        Leave out those of the `k` that answer with a lower probability, 0..1; the model needs a calibration.

    Examples
    --------
    >>> store = LateInteractionVectorStore(ExactIndex(encoder, "my index"))  # doctest: +SKIP
    >>> store.add_documents([Document("Elephants eat grass.", id="diet")])  # doctest: +SKIP
    ['diet']
    """

    def __init__(
        self,
        index: Index,
        explain: ExplainMode = "evidence",
        min_score: float | None = None,
        min_relevance: float | None = None,
    ) -> None:
        self._store = Store.of(index, explain, min_score, min_relevance)

    def __repr__(self) -> str:
        return f"LateInteractionVectorStore({self.index!r})"

    @property
    def index(self) -> Index:
        """Where the documents are."""
        return self._store.index

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any = DEFAULT_MODEL,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | os.PathLike[str] | None = None,
        batch_size: int | None = None,
        device: str | None = None,
        backend: BackendName = "auto",
        speed: Speed = "exact",
        engine: Engine = "auto",
        dtype: Dtype | None = None,
        calibration: CalibrationSetting = None,
        **options: Any,
    ) -> Self:
        """Put texts in an `ExactIndex` and return a store over it; `from_documents` is alike.

        Parameters
        ----------
        embedding
            LangChain's name for the model: what `latelens.load_encoder` takes, or a loaded model.
        path
            A folder that keeps the index; opened if it is there.
        batch_size, device, backend, speed, engine, dtype, calibration
            As in `LateInteractionRerank`.
        options
            The class's own.
        """
        if isinstance(embedding, Embeddings):
            raise TypeError(
                f"embedding must be a late-interaction model or its name, got {type(embedding).__name__}, which gives "
                f"one vector a text; leave it out for {DEFAULT_MODEL!r}"
            )
        encoder = LazyEncoder(
            embedding,
            batch_size=batch_size,
            device=device,
            backend=backend,
            speed=speed,
            engine=engine,
            dtype=dtype,
            calibration=calibration,
        )
        index = ExactIndex(encoder, path)
        store = cls(index, **options)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_documents(  # type: ignore[override]  # the base takes anything in silence
        self,
        documents: list[Document],
        ids: Sequence[str | None] | None = None,
        *,
        batch_size: int = 256,
        show_progress: bool = False,
    ) -> list[str]:
        """Store documents, replacing those with the same ids, and return the ids.

        A document without an id gets one made of its text and metadata. At most `batch_size` are encoded before they
        are written; an interrupted call is simply made again.
        """
        named = with_ids(*_with_all_ids(documents, ids))
        put(self.index, to_chunks(named), batch_size=batch_size, show_progress=show_progress)
        return [str(document.id) for document in named]

    def add_texts(  # type: ignore[override]  # the base takes anything in silence
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int = 256,
        show_progress: bool = False,
    ) -> list[str]:
        """Like `add_documents`, from texts and their metadata."""
        documents = documents_of(texts, metadatas)
        return self.add_documents(documents, ids, batch_size=batch_size, show_progress=show_progress)

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents; unknown ids are skipped.

        Raises
        ------
        ValueError
            If no ids are given: all would be deleted.
        """
        check_names(kwargs, ())
        if ids is None:
            raise ValueError("name the ids to delete; delete(list(store.index.ids())) deletes all")
        remove(self.index, ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids that are there, as they were stored."""
        check_texts("ids", ids)
        found = self.index.get(list(dict.fromkeys(ids)))
        return [_plain(document_of(Retrieved(chunk, 0.0, None))) for chunk in found if chunk is not None]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The best documents for a question, best first."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Like `similarity_search`, off the event loop."""
        return [document for document, _ in await self.asimilarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **kwargs: Any) -> list[tuple[Document, float]]:
        """The best documents with their MaxSim score, of which more is better."""
        return [self._scored(found, kwargs) for found in self._store.search(query, {"k": k, **kwargs})]

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Like `similarity_search_with_score`, off the event loop."""
        return [self._scored(found, kwargs) for found in await self._store.asearch(query, {"k": k, **kwargs})]

    def similarity_search_by_vector(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused: no single vector stands for a question or a document."""
        raise no_single_vector("a search by vector", _INSTEAD)

    async def asimilarity_search_by_vector(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused, as `similarity_search_by_vector`."""
        self.similarity_search_by_vector()

    def max_marginal_relevance_search(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused: it compares documents with each other by single vectors."""
        raise no_single_vector("maximal marginal relevance", _INSTEAD)

    async def amax_marginal_relevance_search(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused, as `max_marginal_relevance_search`."""
        self.max_marginal_relevance_search()

    def max_marginal_relevance_search_by_vector(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused, as `max_marginal_relevance_search`."""
        self.max_marginal_relevance_search()

    async def amax_marginal_relevance_search_by_vector(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused, as `max_marginal_relevance_search`."""
        self.max_marginal_relevance_search()

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The probability that a document answers, 0..1, which the model's calibration gives."""
        asked = {**kwargs, "k": k, "explain": self._explained(kwargs)}
        return [self._relevant(found, kwargs) for found in self._store.search(query, asked)]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        asked = {**kwargs, "k": k, "explain": self._explained(kwargs)}
        return [self._relevant(found, kwargs) for found in await self._store.asearch(query, asked)]

    def _scored(self, found: Retrieved, asked: dict[str, Any]) -> tuple[Document, float]:
        off = (asked.get("explain") or self._store.wanted.explain) == "off"
        return (_plain(document_of(found)) if off else document_of(found)), found.score

    def _relevant(self, found: Retrieved, asked: dict[str, Any]) -> tuple[Document, float]:
        relevance = (found.metadata or {})["relevance"]
        if relevance is None:
            raise ValueError(
                f"relevance scores need a calibration, and {self.index.encoder.name!r} has none; use "
                "similarity_search_with_score, and min_score in place of score_threshold"
            )
        return self._scored(found, asked)[0], relevance

    def _explained(self, asked: dict[str, Any]) -> ExplainMode:
        mode: ExplainMode = asked.get("explain") or self._store.wanted.explain
        return "evidence" if mode == "off" else mode


def _with_all_ids(
    documents: Sequence[Document], ids: Sequence[str | None] | None
) -> tuple[Sequence[Document], list[str] | None]:
    """LangChain's own `add_texts` gives None for some of the ids: the documents' own then stay."""
    if ids is None or not (isinstance(ids, list) and None in ids and len(ids) == len(documents)):
        return documents, ids  # type: ignore[return-value]  # checked where they are used
    own = with_ids(documents, None)
    return own, [id if id is not None else str(one.id) for id, one in zip(ids, own, strict=True)]


def _plain(document: Document) -> Document:
    """A document as it was stored: with ``explain="off"``, or not searched for."""
    metadata = {key: value for key, value in document.metadata.items() if key not in (SCORE_KEY, "latelens")}
    return document.model_copy(update={"metadata": metadata})
