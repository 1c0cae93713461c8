"""`EvidenceCitationQueryEngine`: any query engine, its answers with marks that lead to spans of the sources."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import RESPONSE_TYPE, AsyncStreamingResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.llms import LLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts.mixin import PromptDictType, PromptMixinType
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from latelens.attribution.mark_checks import Handling
from latelens.bridge.arguments import check_type
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.marks import check_handling
from llama_index_latelens.citing import Citing, cite

dispatcher = get_dispatcher(__name__)


class EvidenceCitationQueryEngine(BaseQueryEngine):
    """Cite the answers of a query engine: ``[1]`` after a claim leads to the sentence that backs it.

    The model is asked for no citations, and is shown none: they are found by comparing the answer with the nodes,
    which keep their ids and texts. ``read_attribution(response)`` has the answer without marks, and under
    ``references`` what each mark stands for, the first for ``[1]``. The engine may have node postprocessors,
    `LateInteractionRerank` among them, and may stream: tokens come as the model gives them, without marks;
    ``str(response)`` and ``get_response()`` have the marks when the stream has ended. The query is the `question` of
    `attach_citations`.

    Parameters
    ----------
    query_engine
        Any that returns texts with source nodes, such as ``index.as_query_engine(...)``, or objects, as with
        ``output_cls``: `read_fields` has the citations of each text field. Streams of objects are refused.
    marks
        True writes ours, in the place of any that the model wrote. False leaves the text as the model gave it: for an
        engine that is an agent's tool. ``"keep"``, ``"move"``, ``"flag"`` and ``"strip"`` are for an engine whose model
        is asked for marks, such as `CitationQueryEngine`: see `attach_citations`. An answer in fields gets none.
    attributor, metadata_mode
        As for `attach_citations`.
    callback_manager
        None takes the query engine's.
    """

    def __init__(
        self,
        query_engine: BaseQueryEngine,
        *,
        attributor: Attributor | None = None,
        marks: bool | Handling = True,
        metadata_mode: MetadataMode = MetadataMode.LLM,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        instead = "of an index pass index.as_query_engine()"
        check_type("query_engine", query_engine, BaseQueryEngine, instead=instead)
        self._query_engine = query_engine
        if not isinstance(marks, bool):
            check_handling(marks)
        _check_no_stream_of_objects(query_engine)
        self._marks = marks
        self._attributor = chosen(attributor)
        self._metadata_mode = MetadataMode(metadata_mode)
        super().__init__(callback_manager or query_engine.callback_manager)

    @classmethod
    def from_retriever(
        cls,
        retriever: BaseRetriever,
        *,
        llm: LLM | None = None,
        node_postprocessors: Sequence[BaseNodePostprocessor] = (),
        streaming: bool = False,
        attributor: Attributor | None = None,
        marks: bool | Handling = True,
        metadata_mode: MetadataMode = MetadataMode.LLM,
    ) -> EvidenceCitationQueryEngine:
        """Answer from what a retriever finds; for more settings, make a `RetrieverQueryEngine` and wrap it."""
        engine = RetrieverQueryEngine.from_args(
            retriever, llm=llm, node_postprocessors=list(node_postprocessors), streaming=streaming
        )
        return cls(engine, attributor=attributor, marks=marks, metadata_mode=metadata_mode)

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """What the query engine would answer from."""
        return self._query_engine.retrieve(query_bundle)

    def synthesize(
        self,
        query_bundle: QueryBundle,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
    ) -> RESPONSE_TYPE:
        """Answer from given nodes, with citations."""
        return self._cite(self._query_engine.synthesize(query_bundle, nodes, additional_source_nodes), query_bundle)

    async def asynthesize(
        self,
        query_bundle: QueryBundle,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
    ) -> RESPONSE_TYPE:
        """Answer from given nodes, with citations."""
        return await self._acite(
            await self._query_engine.asynthesize(query_bundle, nodes, additional_source_nodes), query_bundle
        )

    # The prompts are the inner engine's, under its own names: the framework cannot update modules of modules.
    def _get_prompts(self) -> PromptDictType:
        return self._query_engine._get_prompts()

    def _update_prompts(self, prompts: PromptDictType) -> None:
        self._query_engine._update_prompts(prompts)

    def _get_prompt_modules(self) -> PromptMixinType:
        return self._query_engine._get_prompt_modules()

    @dispatcher.span
    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        return self._cite(self._query_engine.query(query_bundle), query_bundle)

    @dispatcher.span
    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        return await self._acite(await self._query_engine.aquery(query_bundle), query_bundle)

    def _cite(self, response: RESPONSE_TYPE, asked: QueryBundle) -> RESPONSE_TYPE:
        own, handling = self._marks is True, None if isinstance(self._marks, bool) else self._marks
        citing = Citing(self._attributor, asked.query_str, self._metadata_mode, handling, own_marks=own)
        cited: RESPONSE_TYPE = cite(response, None, citing)
        return cited

    async def _acite(self, response: RESPONSE_TYPE, asked: QueryBundle) -> RESPONSE_TYPE:
        if isinstance(response, AsyncStreamingResponse):
            return self._cite(response, asked)  # finds its citations in a thread, when it has ended
        return await asyncio.to_thread(self._cite, response, asked)


def _check_no_stream_of_objects(engine: BaseQueryEngine) -> None:
    """Refuse an engine that streams objects: half of one has no claims, and the framework gives no whole one."""
    for module in engine._get_prompt_modules().values():
        structured = getattr(module, "_output_cls", None) or isinstance(getattr(module, "_llm", None), StructuredLLM)
        if structured and getattr(module, "_streaming", False):
            raise ValueError(
                "an engine with output_cls that streams cannot be cited: make it with streaming=False, or without "
                "output_cls"
            )
