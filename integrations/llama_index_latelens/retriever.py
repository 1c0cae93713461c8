"""`LateInteractionRetriever`: finds nodes by late interaction and says why."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import MutableMapping, Sequence
from typing import Any, Literal, TypedDict, cast

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.schema import BaseNode, IndexNode, NodeWithScore, QueryBundle, QueryType
from llama_index.core.storage.docstore import BaseDocumentStore
from llama_index.core.vector_stores.types import MetadataFilters
from typing_extensions import Self, Unpack

from latelens.bridge.arguments import check_flag, check_names, check_type, listed
from latelens.bridge.calibrations import CalibrationSetting
from latelens.bridge.pages import index_of_pages
from latelens.bridge.parents import KEPT, PARENT_KEY, FindParents, check_parents, kept_parents
from latelens.bridge.reranking import renamed
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
from latelens.index.protocol import Filter, Index, Searcher
from latelens.pages.files import PageFiles
from latelens.pages.words import WordReader
from llama_index_latelens.filters import to_filter
from llama_index_latelens.nodes import (
    WRAP,
    Parents,
    bare_text,
    found_node,
    node_of,
    parent_finder,
    passages,
    to_chunks,
)

dispatcher = get_dispatcher(__name__)


class Options(TypedDict, total=False):
    """What every constructor of a retriever takes; see `LateInteractionRetriever`."""

    similarity_top_k: int
    explain: ExplainMode
    min_score: float | None
    min_relevance: float | None
    filters: MetadataFilters | Filter | None
    callback_manager: CallbackManager | None
    object_map: dict[str, Any] | None
    verbose: bool


class Asked(TypedDict, total=False):
    """What may be asked otherwise for one call of `LateInteractionRetriever.retrieve`."""

    similarity_top_k: int | None
    filters: MetadataFilters | Filter | None
    explain: ExplainMode | None
    min_score: float | None
    min_relevance: float | None


class LateInteractionRetriever(BaseRetriever):
    """Find nodes with a late-interaction model; each carries its score and its exact evidence.

    Results are new nodes with the ids, metadata and relationships of those that were stored:
    ``NodeWithScore.score`` holds MaxSim, ``node.metadata["latelens"]`` the evidence (`read_evidence` reads it), kept
    out of prompts and embeddings. ``retrieve(query, similarity_top_k=3, filters={...}, explain="tokens")`` asks
    otherwise for one call, as do ``min_score`` and ``min_relevance``.

    Parameters
    ----------
    searcher
        An index or a `TwoStage` of `latelens.index`; `from_nodes` makes an `ExactIndex`.
    similarity_top_k
        How many nodes to return at most.
    explain
        ``"evidence"``; ``"tokens"`` adds every token match; ``"off"`` leaves the score alone.
    min_score
        Leave out those of the `similarity_top_k` with a lower MaxSim score.
    min_relevance
        Leave out those of the `similarity_top_k` that answer with a lower probability, 0..1; the model needs a
        calibration.
    filters
        `MetadataFilters`, nested as you like, or a dict such as ``{"lang": "en", "year": {"$gte": 2000}}``.
    split
        Cut documents into passages when they are added: nodes that point to their document and know their place there.
    parents
        Whole documents by their ids: a mapping, a document store, or ``"index"`` for those that ``split`` keeps with
        the index. What is returned are then the documents whose nodes were found, with the evidence at its place in
        the whole text, and MaxSim over those nodes.
    parent_key
        Which key of the metadata holds the id of a node's document, where it has no source relationship.
    files
        Where the files of page images lie, ``latelens.pages.PageFiles([folder])``: their regions then grow to whole
        lines and say which words stand there. `from_pdf` sets it.
    callback_manager, object_map, verbose
        As in `BaseRetriever`.
    """

    def __init__(
        self,
        searcher: Searcher,
        similarity_top_k: int = 5,
        explain: ExplainMode = "evidence",
        min_score: float | None = None,
        min_relevance: float | None = None,
        filters: MetadataFilters | Filter | None = None,
        split: bool = False,
        parents: Parents | Literal["index"] | None = None,
        parent_key: str = PARENT_KEY,
        files: PageFiles | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        check_searcher(searcher)
        check_flag("split", split)
        self.searcher = searcher
        self.similarity_top_k = similarity_top_k
        self.explain_mode = explain
        self.min_score = min_score
        self.min_relevance = min_relevance
        self.filters = filters
        self.split = split
        self.parents = parents
        self.parent_key = parent_key
        self.files = files
        self._wanted()
        super().__init__(callback_manager=callback_manager, object_map=object_map, verbose=verbose)

    @classmethod
    def from_nodes(
        cls,
        nodes: Sequence[BaseNode],
        model: Any = DEFAULT_MODEL,
        *,
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
        """Index nodes or documents and return a retriever over them.

        Parameters
        ----------
        nodes
            Kept under their ids, without a vector.
        model
            What `latelens.load_encoder` takes, or a loaded model.
        path
            A folder that keeps the index; opened if it is there, and nodes that it holds are not encoded again.
        return_parents
            With `split`: return whole documents, which are kept with the index.
        batch_size, device, backend, speed, engine, dtype, calibration, show_progress
            As in `LateInteractionRerank`.
        options
            The class's own.
        """
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
        made = cls(searcher, split=split, parents=KEPT if return_parents else None, **options)
        made.add_nodes(nodes, show_progress=show_progress)
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
            for_texts="give PdfPagesReader().load_data(path) to from_nodes",
        )
        return cls(searcher, files=files, **options)

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
        return cls(searcher, split=split, parents=parents, parent_key=parent_key, files=files, **options)

    def add_nodes(self, nodes: Sequence[BaseNode], *, show_progress: bool = False) -> list[str]:
        """Index nodes, replacing those with the same ids, and return the ids that `delete_nodes` takes.

        With `split` these are the passages' ids, and a document's passages take the place of all that it had.
        """
        nodes = listed("nodes", nodes, BaseNode, wrap=WRAP)
        if self.split:
            cut = passages(nodes, whole=self.parents == KEPT)
            stored = put_documents(self.searcher, cut, show_progress=show_progress)
        else:
            stored = put(self.searcher, to_chunks(nodes), show_progress=show_progress)
        for node in nodes:
            if isinstance(node, IndexNode) and node.obj is not None:
                self.object_map[node.index_id] = node.obj
        if self.split and isinstance(self.parents, BaseDocumentStore):
            self.parents.add_documents(nodes)
        elif self.split and isinstance(self.parents, MutableMapping):
            self.parents.update((node.node_id, node) for node in nodes)
        return stored

    async def aadd_nodes(self, nodes: Sequence[BaseNode], *, show_progress: bool = False) -> list[str]:
        """Like `add_nodes`, off the event loop."""
        return await asyncio.to_thread(self.add_nodes, nodes, show_progress=show_progress)

    def delete_nodes(self, node_ids: Sequence[str]) -> int:
        """Delete what is stored under these ids, and return how many there were."""
        return remove(self.searcher, node_ids)

    async def adelete_nodes(self, node_ids: Sequence[str]) -> int:
        """Like `delete_nodes`, off the event loop."""
        return await asyncio.to_thread(self.delete_nodes, node_ids)

    def explain(self, query: str, document: NodeWithScore | BaseNode | str) -> Explanation:
        """Every match between a query and one node, whatever `explain` was set to."""
        node = document.node if isinstance(document, NodeWithScore) else document
        id = node.node_id if isinstance(node, BaseNode) else None
        return explain_one(self.searcher, query, bare_text(document), id)

    def retrieve(self, str_or_query_bundle: QueryType, **asked: Unpack[Asked]) -> list[NodeWithScore]:
        """Find nodes; takes `similarity_top_k`, `filters`, `explain`, `min_score` and `min_relevance` for this call."""
        return super(LateInteractionRetriever, self._asked(str_or_query_bundle, asked)).retrieve(str_or_query_bundle)

    async def aretrieve(self, str_or_query_bundle: QueryType, **asked: Unpack[Asked]) -> list[NodeWithScore]:
        """Like `retrieve`, off the event loop."""
        return await super(LateInteractionRetriever, self._asked(str_or_query_bundle, asked)).aretrieve(
            str_or_query_bundle
        )

    def _asked(self, query: QueryType, asked: Asked) -> Self:
        """Itself, or a copy with arguments of one call; None stays as it was set, but for the bounds."""
        check_type("query", query, (str, QueryBundle))
        check_names(asked, Asked.__annotations__)
        changed = copy.copy(self)
        for name, value in renamed(asked).items():
            if value is not None or name.startswith("min_"):
                setattr(changed, name, value)
        return changed if asked else self

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        (found,) = retrieve(self.searcher, [query_bundle.query_str], self._wanted())
        return [found_node(result, self.object_map) for result in found]

    @dispatcher.span
    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        (found,) = await aretrieve(self.searcher, [query_bundle.query_str], self._wanted())
        return [found_node(result, self.object_map) for result in found]

    def _find_parents(self) -> FindParents | None:
        if self.parents is None:
            return None
        check_parents(self.searcher, self.parents)
        if isinstance(self.parents, str):
            return kept_parents(cast(Index, self.searcher), node_of)
        return parent_finder(self.parents)

    def _wanted(self) -> Wanted:
        return Wanted(
            k=self.similarity_top_k,
            explain=self.explain_mode,
            min_score=self.min_score,
            min_relevance=self.min_relevance,
            filter=to_filter(self.filters),
            find_parents=self._find_parents(),
            parent_key=self.parent_key,
            files=self.files,
        )
