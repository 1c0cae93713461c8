"""`EvidenceCitationMiddleware`: citations on the answers of an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import run_in_executor
from typing_extensions import NotRequired

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "langchain":
        raise
    raise ImportError("EvidenceCitationMiddleware needs langchain: run `pip install 'langchain>=1,<2'`") from error

from langchain_latelens.citations import Citing, cite, strip_citations
from langchain_latelens.fields import written_fields
from langchain_latelens.graph_stream import cite_while_streaming
from langchain_latelens.sources import conversation_sources, question_in, read_against
from latelens.attribution.citations import Source
from latelens.attribution.mark_checks import Handling
from latelens.bridge.arguments import check_flag, check_name, listed
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.fields import attribute_fields, is_structured
from latelens.bridge.marks import check_handling


class CitedState(AgentState[Any]):
    """An agent's state with the citations of its structured response."""

    structured_response_citations: NotRequired[dict[str, Any]]


class EvidenceCitationMiddleware(AgentMiddleware[Any, Any]):
    """Cites an agent's answers from what its tools found.

    Use it as ``create_agent(..., middleware=[EvidenceCitationMiddleware()])``. When the agent is done, its last
    message is replaced by what `attach_citations` makes of it, under the same id. Sources are the documents in the
    artifacts of the tools' messages, as `create_retriever_tool` with ``response_format="content_and_artifact"``
    leaves them, fresh or from a checkpoint; of a tool without documents, its text. Those of this turn come first;
    those of earlier turns count too, because the model still reads them. The question is the last human message.

    Before each model call citations are taken off again, so that no model ever reads them; put this middleware
    first, and the others' model calls read none either. With ``stream_mode="messages"`` the answer streams without
    citations, unless `while_streaming`; they come with ``"updates"`` and with the final state. Of a structured
    response each text field is attributed: the state has ``structured_response_citations``, for `read_fields`.

    Parameters
    ----------
    attributor
        As for `attach_citations`.
    sources_key
        A key of the agent's state that holds documents too, such as what a middleware retrieved before the model.
    metadata_keys, marks
        As for `attach_citations`.
    while_streaming
        With ``stream_mode="messages"``, when a sentence of a streamed answer has ended, a chunk with its citations
        follows: an `AIMessageChunk` with the answer's id and a text block that is empty but for its annotations.
        Their positions are characters of the message's text. The final state has the whole, whatever was streamed.
    """

    state_schema = CitedState

    def __init__(
        self,
        *,
        attributor: Attributor | None = None,
        sources_key: str | None = None,
        metadata_keys: Sequence[str] = (),
        marks: Handling | None = None,
        while_streaming: bool = False,
    ) -> None:
        super().__init__()
        self._attributor = chosen(attributor)
        if sources_key is not None:
            check_name("sources_key", sources_key)
        self._sources_key = sources_key
        check_handling(marks)
        check_flag("while_streaming", while_streaming)
        self._marks, self._while_streaming = marks, while_streaming
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
        return handler(self._prepared(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Call the model with messages that back no citations."""
        return await handler(self._prepared(request))

    def _prepared(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request without citations, and with a model that cites while it streams where that is asked for."""
        request = request.override(messages=strip_citations(request.messages))  # type: ignore[arg-type]
        if not self._while_streaming or request.response_format is not None:
            return request
        sources, question = self._sources(request.state, request.messages), question_in(request.messages)
        return request.override(model=cite_while_streaming(request.model, self._attributor, sources, question))

    def _sources(self, state: Mapping[str, Any], messages: Sequence[Any]) -> list[Source]:
        documents = state.get(self._sources_key) if self._sources_key else None
        return conversation_sources(messages, documents or (), self._metadata_keys)

    def _cited(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        messages = state["messages"]
        if state.get("structured_response") is not None:
            return self._cited_fields(state, messages)
        answer = messages[-1] if messages else None
        if not isinstance(answer, AIMessage) or answer.tool_calls or not answer.text.strip():
            return None
        sources = self._sources(state, messages)
        reading = read_against(self._marks, messages, sources)
        citing = Citing(self._attributor, question_in(messages), self._metadata_keys, reading)
        return {"messages": [cite(answer, sources, citing)]}

    def _cited_fields(self, state: Mapping[str, Any], messages: Sequence[Any]) -> dict[str, Any] | None:
        answer, sources = state["structured_response"], self._sources(state, messages)
        if not is_structured(answer):
            return None
        found = attribute_fields(answer, sources, self._attributor, question_in(messages))
        return {"structured_response_citations": written_fields(found, self._metadata_keys)}
