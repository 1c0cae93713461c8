"""How the answers of LlamaIndex are cited: what each holds of text, sources and question, and where citations go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from llama_index.core.agent.workflow import AgentOutput, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.base.response.schema import AsyncStreamingResponse, PydanticResponse, Response, StreamingResponse
from llama_index.core.chat_engine.types import AgentChatResponse, StreamingAgentChatResponse
from llama_index.core.schema import MetadataMode
from llama_index.core.tools import ToolOutput

from latelens.attribution import AnswerStream, Attribution, CheckedMark
from latelens.attribution.edits import Edit
from latelens.attribution.mark_checks import Handling
from latelens.bridge.attributor import Attributor
from latelens.bridge.fields import attribute_fields
from latelens.bridge.marks import MarkReading, handle_marks, marks_json, numbered_sources
from latelens.bridge.metadata import KEY
from latelens.interchange import to_json
from latelens.interchange.fields import fields_json
from latelens.refusals import described
from llama_index_latelens.blocks import bare, citation_blocks, edit_blocks
from llama_index_latelens.sources import EvidenceCollector, SourceLike, to_sources
from llama_index_latelens.streaming import cite_async_stream, cite_stream

Answered = Response | AgentChatResponse | AgentOutput | ChatMessage | ChatResponse
Streamed = StreamingResponse | AsyncStreamingResponse

# How chat engines name what they searched for: `ContextChatEngine` and its like, and `CondenseQuestionChatEngine`.
_SEARCHES = {"retriever": "message", "query_engine": "query"}


@dataclass(frozen=True)
class Citing:
    """How an answer is cited; `own_marks` writes ours, such as ``[1]``, into the text of a query engine's answer."""

    attributor: Attributor
    question: str | None
    metadata_mode: MetadataMode
    marks: Handling | None = None
    own_marks: bool = False


def cite(response: Any, given: Iterable[SourceLike] | EvidenceCollector | None, citing: Citing) -> Any:
    """What `attach_citations` returns."""
    if isinstance(response, str) and given is None:
        raise ValueError("a text names no sources: pass sources=, the nodes that it was written from")
    response = _readable(response)
    given = _collected(response) if given is None else given
    answer = _Answer(response, given, citing)
    if isinstance(response, StreamingResponse):
        return cite_stream(response, answer)
    if isinstance(response, AsyncStreamingResponse):
        return cite_async_stream(response, answer)
    if isinstance(response, StreamingAgentChatResponse):
        stream: Any = cite_stream if response.achat_stream is None else cite_async_stream
        return stream(response, answer)
    if isinstance(response, PydanticResponse):
        written = {"version": 1, **answer.fields(response.response)}
        return replace(response, metadata={**(response.metadata or {}), KEY: written})
    if isinstance(response, Response | AgentChatResponse):
        metadata, nodes = dict(response.metadata or {}), list(response.source_nodes)
        text: Any = answer.write(metadata, response.response or "") or response.response  # no text stays None
        return replace(response, response=text, source_nodes=nodes, metadata=metadata)
    return _cite_message(response, answer)


class _Answer:
    """An answer with its sources, which may still be written: a `Following` of its stream."""

    def __init__(self, response: Any, given: Iterable[SourceLike] | EvidenceCollector, citing: Citing) -> None:
        self._citing = citing
        self._sources = to_sources(given, citing.metadata_mode)
        self._question = citing.question or _question_in(response, given)
        self._reading: MarkReading | None = None
        if citing.marks is not None:
            self._reading = MarkReading(citing.marks, numbered_sources(_told(response, given), self._sources))

    @cached_property
    def _stream(self) -> AnswerStream:
        return self._citing.attributor.stream(self._sources, question=self._question)

    def read(self, metadata: dict[str, Any], token: str) -> None:
        """Take a token; the citations of a sentence that it ends are in the metadata then."""
        if self._stream.feed(token):
            metadata[KEY] = self._json(self._citing.attributor.placed(self._stream.so_far))

    def finish(self, metadata: dict[str, Any]) -> str:
        """Write the citations of the whole; the text as it is to be shown."""
        return self._finished(metadata, self._citing.attributor.placed(self._stream.finish()))

    def write(self, metadata: dict[str, Any], text: str) -> str:
        """`finish` for an answer that is there as a whole."""
        return self._finished(metadata, self.attribution(text))

    def attribution(self, text: str) -> Attribution:
        """Where the claims of a text stand."""
        return self._citing.attributor(text, self._sources, question=self._question)

    def fields(self, structured: Any) -> dict[str, Any]:
        """The attributions of a structured answer's text fields, as JSON; nothing of None."""
        if structured is None:
            return {}
        found = attribute_fields(structured, self._sources, self._citing.attributor, self._question)
        return {"fields": {**fields_json(found), "metadata_mode": self._citing.metadata_mode.value}}

    def handled(self, attribution: Attribution) -> tuple[Attribution, tuple[Edit, ...], dict[str, Any]]:
        """The attribution once the model's marks are handled, the edits that lead there, and what travels with it."""
        if self._reading is None:
            return attribution, (), self._json(attribution)
        handled, edits, marks = handle_marks(attribution, self._citing.attributor, self._reading, self._question)
        return handled, edits, self._json(handled, marks)

    def _finished(self, metadata: dict[str, Any], attribution: Attribution) -> str:
        handled, _, metadata[KEY] = self.handled(attribution)
        return handled.marked() if self._citing.own_marks else handled.answer

    def _json(self, attribution: Attribution, marks: Sequence[CheckedMark] | None = None) -> dict[str, Any]:
        """What travels with an answer; the mode, so that the same sources can be made again."""
        written = {**to_json(attribution, source_texts=False), "metadata_mode": self._citing.metadata_mode.value}
        return written if marks is None else {**written, "marks": marks_json(marks)}


def _readable(response: Any) -> Any:
    if isinstance(response, str):
        return Response(response)
    if isinstance(response, StreamingAgentChatResponse):
        if not response.is_done or not response.unformatted_response:
            return response
        return AgentChatResponse(response.response, list(response.sources), source_nodes=list(response.source_nodes))
    if not isinstance(response, Answered | Streamed | PydanticResponse):
        raise TypeError(
            "citations need a Response, PydanticResponse, StreamingResponse, AsyncStreamingResponse, "
            "AgentChatResponse, StreamingAgentChatResponse, AgentOutput, ChatResponse, ChatMessage or text, got "
            f"{described(response)}"
        )
    return response


def _collected(response: Any) -> Iterable[SourceLike] | EvidenceCollector:
    """What an answer says of its sources; of an agent's, what the tools of its last run found."""
    given: Any = None
    if isinstance(response, AgentOutput):
        results = [call for call in response.tool_calls if isinstance(call, ToolCallResult)]
        given = EvidenceCollector() if results else None
        for result in results:
            given.add(result)
    elif not isinstance(response, ChatMessage | ChatResponse):
        given = response.source_nodes
    if given is None:
        raise ValueError(
            f"{type(response).__name__} names no sources: pass sources=, for an agent those of an EvidenceCollector"
        )
    sources: Iterable[SourceLike] | EvidenceCollector = given
    return sources


def _question_in(response: Any, given: Iterable[SourceLike] | EvidenceCollector) -> str | None:
    """What was asked, where the sources or the answer say it."""
    if isinstance(given, EvidenceCollector) and given.question is not None:
        return given.question
    for found in _outputs(response):
        asked = (found.raw_input or {}).get(_SEARCHES.get(found.tool_name, ""))
        if isinstance(asked, str):
            return asked
    return None


def _told(response: Any, given: Iterable[SourceLike] | EvidenceCollector) -> list[str]:
    """What tools told the model."""
    own = [found.content for found in _outputs(response)]
    return [*(given.told if isinstance(given, EvidenceCollector) else ()), *own]


def _outputs(response: Any) -> Sequence[ToolOutput]:
    """What a chat engine's tools gave."""
    return response.sources if isinstance(response, AgentChatResponse | StreamingAgentChatResponse) else ()


def _cite_message(
    response: AgentOutput | ChatResponse | ChatMessage, answer: _Answer
) -> AgentOutput | ChatResponse | ChatMessage:
    message = bare(response if isinstance(response, ChatMessage) else _message_of(response))
    attribution, edits, written = answer.handled(answer.attribution(message.content or ""))
    blocks = [*edit_blocks(message, edits), *citation_blocks(attribution)]
    cited = message.model_copy(update={"blocks": blocks})
    if isinstance(response, AgentOutput):
        output = response.model_copy(update={"response": cited})
        written |= answer.fields(response.structured_response)
        output._data = {**dict(response.items()), KEY: written}  # a copied event shares its items
        return output
    if isinstance(response, ChatResponse):
        # Beside the message, not in it: what a message has in `additional_kwargs` may be put into a prompt.
        more = {**response.additional_kwargs, KEY: written}
        return response.model_copy(update={"message": cited, "additional_kwargs": more})
    return cited.model_copy(update={"additional_kwargs": {**message.additional_kwargs, KEY: written}})


def _message_of(response: AgentOutput | ChatResponse) -> ChatMessage:
    return response.response if isinstance(response, AgentOutput) else response.message
