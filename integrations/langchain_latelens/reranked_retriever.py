"""`RerankedRetriever`: any LangChain retriever with a reranker behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from inspect import Parameter, signature
from typing import Any, Final, Literal

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, model_validator
from typing_extensions import Self

from latelens.bridge.arguments import check_names, check_type
from latelens.bridge.reranking import RerankAsked, RerankOptions, renamed

# A field that leaves the reranker's own: None means something there.
AS_SET: Final = "as set"


class RerankedRetriever(BaseRetriever):
    """Retrieves with one retriever and reranks what it finds; made by `LateInteractionRerank.as_retriever`.

    ``invoke(query, top_n=3, filter={...})``, `bind` and `batch` ask otherwise for one call: ``top_n``, ``explain``,
    ``min_score`` and ``min_relevance`` of the reranker, everything else of the base retriever, which must take it.

    Parameters
    ----------
    base_retriever
        Finds the documents.
    reranker
        Orders them.
    top_n, min_score, min_relevance
        In place of the reranker's own, for `configurable_fields`; ``"as set"`` leaves them.
    """

    base_retriever: Any
    reranker: Any
    top_n: int | Literal["as set"] | None = AS_SET
    min_score: float | Literal["as set"] | None = AS_SET
    min_relevance: float | Literal["as set"] | None = AS_SET

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        instead = "of a vector store pass store.as_retriever()"
        check_type("base_retriever", self.base_retriever, Runnable, instead=instead)
        check_type("reranker", self.reranker, BaseDocumentCompressor, instead="write LateInteractionRerank()")
        replace(RerankOptions.of(self.reranker), **renamed(self._split({})[0]))  # refuses what is out of range
        return self

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **asked: Any
    ) -> list[Document]:
        ours, theirs = self._split(asked)
        found = self.base_retriever.invoke(query, config={"callbacks": run_manager.get_child()}, **theirs)
        documents: list[Document] = self.reranker.compress_documents(
            found, query, callbacks=run_manager.get_child(), **ours
        )
        return documents

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **asked: Any
    ) -> list[Document]:
        ours, theirs = self._split(asked)
        found = await self.base_retriever.ainvoke(query, config={"callbacks": run_manager.get_child()}, **theirs)
        documents: list[Document] = await self.reranker.acompress_documents(
            found, query, callbacks=run_manager.get_child(), **ours
        )
        return documents

    def _split(self, asked: Mapping[str, Any]) -> tuple[RerankAsked, dict[str, Any]]:
        """The arguments of a call for the reranker, and those for the base retriever."""
        known = RerankAsked.__annotations__
        theirs = {name: value for name, value in asked.items() if name not in known}
        taken = names_taken(self.base_retriever)
        if taken is not None:
            check_names(theirs, {*known, *taken})
        fields = {name: getattr(self, name) for name in ("top_n", "min_score", "min_relevance")}
        ours: Any = {name: value for name, value in fields.items() if value != AS_SET}
        ours |= {name: value for name, value in asked.items() if name in known}
        return ours, theirs


def names_taken(retriever: Any) -> set[str] | None:
    """What a retriever takes for one call; None where it takes anything, or decides by itself.

    LangChain's `BaseRetriever` drops what the class's own method does not name.
    """
    inner = getattr(retriever, "bound", getattr(retriever, "default", None))  # of `bind` and `configurable_fields`
    if isinstance(inner, Runnable):
        return names_taken(inner)
    if not isinstance(retriever, BaseRetriever):
        return None
    parameters = signature(type(retriever)._get_relevant_documents).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        behind = getattr(retriever, "base_retriever", None)  # compression retrievers pass on what they are given
        return names_taken(behind) if isinstance(behind, Runnable) else None
    return parameters.keys() - {"self", "query", "run_manager"}
