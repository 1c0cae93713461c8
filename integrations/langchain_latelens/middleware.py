"""`EvidenceCitationMiddleware`: citations on the answers of an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import run_in_executor

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "langchain":
        raise
    raise ImportError("EvidenceCitationMiddleware needs langchain: run `pip install 'langchain>=1,<2'`") from error

from langchain_latelens.citations import cite, strip_citations
from langchain_latelens.sources import conversation_sources, question_in
from latelens.bridge.arguments import check_name, listed
from latelens.bridge.attributor import Attributor, chosen


class EvidenceCitationMiddleware(AgentMiddleware[Any, Any]):
    """Cites an agent's answers from what its tools found.

    Use it as ``create_agent(..., middleware=[EvidenceCitationMiddleware()])``. When the agent is done, its last
    message is replaced by what `attach_citations` makes of it, under the same id. Sources are the documents in the
    artifacts of the tools' messages, as `create_retriever_tool` with ``response_format="content_and_artifact"``
    leaves them, fresh or from a checkpoint; of a tool without documents, its text. Those of this turn come first;
    those of earlier turns count too, because the model still reads them. The question is the last human message.

    Before each model call citations are taken off again, so that no model ever reads them; put this middleware
    first, and the others' model calls read none either. A structured response is left alone. With
    ``stream_mode="messages"`` the answer streams without citations; they come with ``"updates"`` and with the
    final state.

    Parameters
    ----------
    attributor
        As for `attach_citations`.
    sources_key
        A key of the agent's state that holds documents too, such as what a middleware retrieved before the model.
    metadata_keys
        As for `attach_citations`.
    """

    def __init__(
        self,
        *,
        attributor: Attributor | None = None,
        sources_key: str | None = None,
        metadata_keys: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._attributor = chosen(attributor)
        if sources_key is not None:
            check_name("sources_key", sources_key)
        self._sources_key = sources_key
        self._metadata_keys = listed("metadata_keys", metadata_keys, str)

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002  # the hook's signature
        """Replace the answer by the cited answer."""
        return self._cited(state)

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002
        """Like `after_agent`, off the event loop."""
        return await run_in_executor(None, self._cited, state)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Call the model with messages that back no citations."""
        return handler(_without_citations(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Call the model with messages that back no citations."""
        return await handler(_without_citations(request))

    def _cited(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        messages = state["messages"]
        answer = messages[-1] if messages else None
        if not isinstance(answer, AIMessage) or answer.tool_calls or not answer.text.strip():
            return None
        if state.get("structured_response") is not None:
            return None
        documents = state.get(self._sources_key) if self._sources_key else None
        sources = conversation_sources(messages, documents or (), self._metadata_keys)
        return {"messages": [cite(answer, sources, self._attributor, question_in(messages), self._metadata_keys)]}


def _without_citations(request: ModelRequest[Any]) -> ModelRequest[Any]:
    return request.override(messages=strip_citations(request.messages))  # type: ignore[arg-type]
