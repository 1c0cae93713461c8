"""`LateInteractionRerank`: a node postprocessor that reorders nodes and says why."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    field_serializer,
    field_validator,
    model_validator,
)
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, QueryBundle
from typing_extensions import Self, Unpack

from latelens.bridge.arguments import listed
from latelens.bridge.calibrations import describe_calibration, read_calibration
from latelens.bridge.reranking import Given, RerankAsked, Reranker, RerankOptions, renamed
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.cache import describe_cache
from latelens.encoders.options import BackendName, Dtype, Engine, Speed
from latelens.explanation.matches import Explanation
from latelens.explanation.results import ExplainMode
from llama_index_latelens.evidence import with_metadata
from llama_index_latelens.nodes import bare_text, image_of, shown_keys, start_in_document, text_of

dispatcher = get_dispatcher(__name__)


class LateInteractionRerank(BaseNodePostprocessor):
    """Rerank nodes with a late-interaction model; each result carries its score and its exact evidence.

    Results are copies: ``NodeWithScore.score`` holds MaxSim, ``node.metadata["latelens"]`` the evidence
    (`read_evidence` reads it), kept out of prompts, embeddings, the node's hash and its `repr`. Only
    ``MetadataMode.ALL``, which extractors use, shows our key: `strip_evidence` before them. The model loads at first
    use.

    Parameters
    ----------
    model
        What `latelens.load_encoder` takes: a hub id, a folder, ``"offline/latelens-mini"``, or a loaded model.
    top_n
        How many nodes to return at most; None returns all.
    explain
        ``"evidence"``; ``"tokens"`` adds every token match; ``"off"`` leaves the score alone.
    min_score
        Leave out nodes with a lower MaxSim score.
    min_relevance
        Leave out nodes that answer with a lower probability, 0..1; the model needs a calibration.
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
        Show a progress bar while nodes are encoded.
    folders
        Where the files lie whose pages a model of ColPali's family reads: those that the nodes' metadata name, in the
        words of the usual readers, and ``image_path``. No other file is opened, and no address; an image inside a node
        needs none. `read_regions` reads where each page answers.
    metadata_mode
        Metadata to read before each text, as lines ``title: Louvre``: it counts in the score. ``MetadataMode.EMBED``
        and ``LLM`` leave out what the node excludes there. Evidence stays in the bare text; what matched in metadata
        stands under ``"in_metadata"``, with its key. None by default: titles change nothing on average (SQuAD: nDCG@10
        +.004, within chance), and much for questions whose words stand in the title alone (+.23).
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
    metadata_mode: MetadataMode = MetadataMode.NONE

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
            (RerankOptions.of(other), other.metadata_mode) == (RerankOptions.of(self), self.metadata_mode)
        )

    def __getstate__(self) -> dict[str, Any]:
        """The framework leaves out of a pickle what cannot be pickled: a model would come back as the default one."""
        state = BaseModel.__getstate__(self)
        kept = {name: value for name, value in state["__dict__"].items() if name != "callback_manager"}
        return {**state, "__dict__": kept}

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

    @classmethod
    def class_name(cls) -> str:
        """Name in serialized pipelines."""
        return "LateInteractionRerank"

    def explain(self, query: str, document: NodeWithScore | BaseNode | str) -> Explanation:
        """Every match between a query and one node, whatever `explain` was set to."""
        node = document.node if isinstance(document, NodeWithScore) else document
        image = image_of(node) if isinstance(node, BaseNode) else None
        return self._reranker.explain(query, bare_text(document), image)

    def postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
        **asked: Unpack[RerankAsked],
    ) -> list[NodeWithScore]:
        """Return the best nodes for a query as copies with score and evidence, best first.

        ``top_n``, ``explain``, ``min_score`` and ``min_relevance`` may be asked otherwise for this call.
        """
        return super(LateInteractionRerank, self._asked(asked)).postprocess_nodes(
            _checked(nodes), query_bundle, query_str
        )

    async def apostprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
        **asked: Unpack[RerankAsked],
    ) -> list[NodeWithScore]:
        """Like `postprocess_nodes`, off the event loop."""
        return await super(LateInteractionRerank, self._asked(asked)).apostprocess_nodes(
            _checked(nodes), query_bundle, query_str
        )

    def _asked(self, asked: RerankAsked) -> Self:
        """Itself, or a copy with the same model and cache and other options."""
        made = self._reranker.asked(asked)
        if made is self._made:
            return self
        other = self.model_copy(update=renamed(asked))
        other._made = made
        return other

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("there is no query to rerank for: pass query_bundle= or query_str=")
        nodes = _checked(nodes)
        query, model = query_bundle.query_str, self._reranker.encoder.name
        top_n = len(nodes) if self.top_n is None else self.top_n
        dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=top_n, model_name=model))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        results: list[NodeWithScore] = []
        try:
            with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
                results = self._rerank(nodes, query)
                event.on_end(payload={EventPayload.NODES: results})
        finally:
            dispatcher.event(ReRankEndEvent(nodes=results))
        return results

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)

    def _rerank(self, nodes: Sequence[NodeWithScore], query: str) -> list[NodeWithScore]:
        found = self._reranker.rerank(query, [_given(node, self.metadata_mode) for node in nodes])
        return [
            NodeWithScore(node=with_metadata(nodes[one.index].node, one.metadata), score=one.score) for one in found
        ]


def _checked(nodes: Iterable[NodeWithScore]) -> list[NodeWithScore]:
    return listed(
        "nodes", nodes, NodeWithScore, wrap="write NodeWithScore(node=node), and TextNode(text=text) for a text"
    )


def _given(found: NodeWithScore, mode: MetadataMode) -> Given:
    node = found.node
    keys = shown_keys(node, mode)
    lines = [(key, node.metadata_template.format(key=key, value=str(node.metadata[key]))) for key in keys]
    return Given(
        text_of(node),
        node.metadata,
        score=found.score,
        start=start_in_document(node),
        lines=lines,
        image=image_of(node),
    )
