"""`AttributionEvaluator`: are an answer's claims in its sources? In place of a model that judges."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.response.schema import Response, StreamingResponse
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.evaluation import BaseEvaluator, EvaluationResult
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.schema import MetadataMode

from latelens.bridge.arguments import check_type
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.judging import Measure, check_measure, judge_answer
from latelens.refusals import check_number
from llama_index_latelens.citations import read_attribution
from llama_index_latelens.sources import SourceLike, to_sources


class AttributionEvaluator(BaseEvaluator):
    """Score answers by the sources that they were made of: offline, and the same each time.

    Used as `FaithfulnessEvaluator` is, alone or in a `BatchEvalRunner`. `score` is the share of the answer's claims
    that the sources back; `passing` is whether that is at least `threshold`; `feedback` names the claims to check and
    says why. It says that words, names and numbers stand in the sources, not that the answer is true; give the
    attributor a verifier to judge meaning. An answer of which nothing can be checked, such as "I do not know.", has no
    score and is an invalid result.

    Parameters
    ----------
    attributor
        As for `attach_citations`.
    measure
        ``"supported"``: the share of claims that the sources back. Of an answer that cites by itself, ``[1]`` for its
        first source, also ``"citation_precision"``: the share of marks whose source backs the claim; and
        ``"citation_recall"``: the share of claims that a marked source backs.
    threshold
        The least score that passes, 0..1.
    metadata_mode
        As for `attach_citations`: the metadata that the prompt showed can back a claim.
    """

    def __init__(
        self,
        *,
        attributor: Attributor | None = None,
        measure: Measure = "supported",
        threshold: float = 1.0,
        metadata_mode: MetadataMode = MetadataMode.LLM,
    ) -> None:
        check_measure(measure)
        check_number("threshold", threshold, 0, 1)
        self._attributor, self._measure, self._threshold = chosen(attributor), measure, threshold
        self._metadata_mode = MetadataMode(metadata_mode)

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        """Nothing: no model is asked."""

    def evaluate(
        self,
        query: str | None = None,
        response: str | None = None,
        contexts: Sequence[SourceLike] | None = None,
        **kwargs: Any,  # noqa: ARG002  # a runner gives all its evaluators the same
    ) -> EvaluationResult:
        """Score a text by texts or nodes; other arguments, such as those that a runner gives all evaluators, are left.

        Raises
        ------
        ValueError
            If there is no response or there are no contexts.
        """
        if response is None or contexts is None:
            raise ValueError("contexts and response must be provided: pass the texts that the answer was made of")
        check_type("response", response, str, instead="evaluate_response takes a Response")
        return self._result(query, response, contexts)

    async def aevaluate(
        self,
        query: str | None = None,
        response: str | None = None,
        contexts: Sequence[SourceLike] | None = None,
        **kwargs: Any,
    ) -> EvaluationResult:
        """Like `evaluate`, off the event loop."""
        return await asyncio.to_thread(self.evaluate, query, response, contexts, **kwargs)

    def evaluate_response(
        self,
        query: str | None = None,
        response: Any = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> EvaluationResult:
        """Score what a query engine or a chat engine returned, by its source nodes; our own marks are left out."""
        if isinstance(response, StreamingResponse):
            response = response.get_response()
        if not isinstance(response, Response | AgentChatResponse):
            raise TypeError(
                f"response must be a Response, a StreamingResponse or an AgentChatResponse, got "
                f"{type(response).__name__}: pass its text and its nodes to evaluate"
            )
        cited = read_attribution(response)
        text = response.response if cited is None else cited.answer
        return self._result(query, text or "", response.source_nodes)

    async def aevaluate_response(
        self, query: str | None = None, response: Any = None, **kwargs: Any
    ) -> EvaluationResult:
        """Like `evaluate_response`, off the event loop."""
        return await asyncio.to_thread(self.evaluate_response, query, response, **kwargs)

    def _result(self, query: str | None, response: str, contexts: Sequence[SourceLike]) -> EvaluationResult:
        sources = to_sources(contexts, self._metadata_mode)
        score, comment = judge_answer(self._attributor, query, response, sources, self._measure)
        return EvaluationResult(
            query=query,
            response=response,
            contexts=[source.text for source in sources],
            passing=None if score is None else score >= self._threshold,
            score=score,
            feedback=comment,
            invalid_result=score is None,
            invalid_reason=comment if score is None else None,
        )
