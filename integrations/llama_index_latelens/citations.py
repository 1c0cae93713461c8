"""`attach_citations`: an answer of LlamaIndex with the source spans that back its claims, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

from llama_index.core.agent.workflow import AgentOutput, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CitationBlock, TextBlock
from llama_index.core.base.response.schema import AsyncStreamingResponse, PydanticResponse, Response, StreamingResponse
from llama_index.core.chat_engine.types import AgentChatResponse, StreamingAgentChatResponse
from llama_index.core.schema import MetadataMode, NodeWithScore

from latelens.attribution import Attribution, Citation
from latelens.attribution.answer import check_question
from latelens.bridge.arguments import check_type, listed
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.boxes import per_mille
from latelens.bridge.metadata import KEY
from latelens.interchange import from_json, to_json
from latelens.interchange.stand_ins import fits
from latelens.refusals import described
from llama_index_latelens.sources import EvidenceCollector, SourceLike, to_sources
from llama_index_latelens.streaming import cite_async_stream, cite_stream

Answered = Response | AgentChatResponse | AgentOutput | ChatMessage | ChatResponse
Streamed = StreamingResponse | AsyncStreamingResponse
AnswerT = TypeVar("AnswerT", bound=Answered | Streamed)

# A citation block is ours where it says all of this; a model's own blocks are the model's to read again.
_EDGES = ("left", "top", "right", "bottom")
_PLACES = ("answer_start", "answer_end", "source_start", "source_end", "source_index", "mark")


@overload
def attach_citations(
    response: AnswerT,
    sources: Iterable[SourceLike] | None = None,
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_mode: MetadataMode = MetadataMode.LLM,
) -> AnswerT: ...


@overload
def attach_citations(
    response: str,
    sources: Iterable[SourceLike] | None = None,
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_mode: MetadataMode = MetadataMode.LLM,
) -> Response: ...


def attach_citations(
    response: Any,
    sources: Iterable[SourceLike] | None = None,
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_mode: MetadataMode = MetadataMode.LLM,
) -> Any:
    """A copy of the answer that carries, for each of its claims, the source spans that back it.

    `read_attribution` reads them. A `Response` holds them as JSON in ``metadata["latelens"]``; an agent's output as
    the item ``output["latelens"]``; a chat response or a message in its ``additional_kwargs``. Messages, also those
    inside, get a `CitationBlock` for each citation: the cited text, and in ``additional_location_info`` the integers
    ``answer_start, answer_end`` (characters of ``message.content``), ``source_start, source_end`` (of the node's
    text, or of the metadata whose key follows the title), ``source_index``, ``mark`` (the number of the span, from
    1), ``document_start, document_end`` where the node knows its place, and ``page`` with ``left, top, right,
    bottom`` in thousandths of the page where the attributor has `files`. Take them off before a model reads a
    message again: `strip_citations`.

    A stream passes its tokens on as they come, and carries the citations once it has ended: the same as those of
    the whole answer. Only one that is read to its end has any.

    Parameters
    ----------
    response
        The answer of a query engine, streaming or not, or of a chat engine; what an agent, a chat model or a chat
        returned; or a text, which becomes a `Response`.
    sources
        Nodes, their dicts, texts or `latelens` sources. None takes ``response.source_nodes``; of an agent's output,
        what its tools returned in this run. Of earlier runs, and of an output that was stored, `EvidenceCollector`
        gathers them.
    attributor
        A `latelens.Attributor`: model, cache, verifier. None takes the default model's, of which a process has one.
    question
        What the user asked: names, dates and numbers that stand there need not stand in the sources as well.
        A query engine that cites knows it; the answers of chats and agents do not say it.
    metadata_mode
        What the model saw of the nodes' metadata, which can then be cited like the text. LlamaIndex's own engines
        and tools show a model `MetadataMode.LLM`, but for `CitationQueryEngine`, which shows none.

    Raises
    ------
    TypeError, ValueError
        If `response` is nothing that holds an answer, there are no `sources` where it has none of its own, or
        `question` is no text.
    """
    check_question(question)  # a stream would find out at its end
    mode = MetadataMode(metadata_mode)
    return cite(response, None if sources is None else to_sources(sources, mode), chosen(attributor), question, mode)


def read_attribution(response: Answered | Streamed, sources: Sequence[SourceLike] | None = None) -> Attribution | None:
    """What `attach_citations` found: every claim, cited or not; None if there is nothing, or not yet.

    The sources' texts do not travel with an answer. Without `sources` they are the response's own nodes where it
    was attributed to these; else each holds what was cited from it, at its place, and blanks elsewhere.

    Raises
    ------
    ValueError
        If a newer version of latelens wrote it, or `sources` do not hold what was cited.
    """
    check_type("response", response, (Answered, Streamed, PydanticResponse))  # type: ignore[arg-type]
    if isinstance(response, AgentOutput):
        written = response.get(KEY)
    elif isinstance(response, ChatMessage | ChatResponse):
        written = response.additional_kwargs.get(KEY)
    else:
        written = (response.metadata or {}).get(KEY)
    if written is None:
        return None
    mode = MetadataMode(written.get("metadata_mode", MetadataMode.NONE))
    if sources is None:
        own = to_sources(getattr(response, "source_nodes", None) or (), mode)
        return from_json(written, own if own and fits(written["sources"], own) else None)
    return from_json(written, to_sources(sources, mode))


def strip_citations(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages without our citations, for a model to read; a model's own citations stay.

    Agents and chat engines remember the answer as the model gave it, so this is for a history that you keep
    yourself. Messages without ours are the same objects.
    """
    return [_bare(message) for message in listed("messages", messages, ChatMessage)]


def cite(
    response: Any,
    given: Sequence[SourceLike] | None,
    attributor: Attributor,
    question: str | None,
    metadata_mode: MetadataMode,
    *,
    marks: bool = False,
) -> Any:
    """What `attach_citations` returns; `marks` writes ``[1]`` into the text of a query engine's answer."""
    if isinstance(response, str) and given is None:
        raise ValueError("a text names no sources: pass sources=, the nodes that it was written from")
    response = _readable(response)
    sources = to_sources(_sources(response, given), metadata_mode)

    def finish(metadata: dict[str, Any], text: str) -> str:
        attribution = attributor(text, sources, question=question)
        metadata[KEY] = _written(attribution, metadata_mode)
        return attribution.marked() if marks else text

    if isinstance(response, StreamingResponse):
        return cite_stream(response, finish)
    if isinstance(response, AsyncStreamingResponse):
        return cite_async_stream(response, finish)
    if isinstance(response, Response | AgentChatResponse):
        metadata, nodes = dict(response.metadata or {}), list(response.source_nodes)
        text: Any = finish(metadata, response.response or "") or response.response  # no text stays None
        return replace(response, response=text, source_nodes=nodes, metadata=metadata)
    return _cite_message(response, lambda text: attributor(text, sources, question=question), metadata_mode)


def _readable(response: Any) -> Answered | Streamed:
    if isinstance(response, str):
        return Response(response)
    if isinstance(response, StreamingAgentChatResponse):
        if not response.is_done:
            raise ValueError("the chat engine's stream has not ended: read it to its end, then attach citations")
        return AgentChatResponse(response.response, list(response.sources), source_nodes=list(response.source_nodes))
    if not isinstance(response, Answered | Streamed):
        what = "; pass the text that makes claims, and the nodes" if isinstance(response, PydanticResponse) else ""
        raise TypeError(
            "citations need a Response, StreamingResponse, AsyncStreamingResponse, AgentChatResponse, AgentOutput, "
            f"ChatResponse, ChatMessage or text, got {described(response)}{what}"
        )
    return response


def _sources(response: Answered | Streamed, given: Sequence[SourceLike] | None) -> Sequence[SourceLike]:
    if given is None and isinstance(response, AgentOutput):
        given = _found_by_agent(response)
    elif given is None and not isinstance(response, ChatMessage | ChatResponse):
        given = response.source_nodes
    if given is None:
        raise ValueError(
            f"{type(response).__name__} names no sources: pass sources=, for an agent those of an EvidenceCollector"
        )
    return given


def _found_by_agent(output: AgentOutput) -> list[NodeWithScore] | None:
    """What the tools of an agent's last run found; None where the output holds no results of tools."""
    results = [call for call in output.tool_calls if isinstance(call, ToolCallResult)]
    collector = EvidenceCollector()
    for result in results:
        collector.add(result)
    return collector.sources if results else None


def _cite_message(
    response: AgentOutput | ChatResponse | ChatMessage, attribute: Callable[[str], Attribution], mode: MetadataMode
) -> AgentOutput | ChatResponse | ChatMessage:
    message = _bare(response if isinstance(response, ChatMessage) else _message_of(response))
    attribution = attribute(message.content or "")
    written = _written(attribution, mode)
    cited = message.model_copy(update={"blocks": [*message.blocks, *_blocks(attribution)]})
    if isinstance(response, AgentOutput):
        output = response.model_copy(update={"response": cited})
        output._data = {**dict(response.items()), KEY: written}  # a copied event shares its items
        return output
    if isinstance(response, ChatResponse):
        # Beside the message, not in it: what a message has in `additional_kwargs` may be put into a prompt.
        more = {**response.additional_kwargs, KEY: written}
        return response.model_copy(update={"message": cited, "additional_kwargs": more})
    return cited.model_copy(update={"additional_kwargs": {**message.additional_kwargs, KEY: written}})


def _written(attribution: Attribution, metadata_mode: MetadataMode) -> dict[str, Any]:
    """What travels with an answer; the mode, so that the same sources can be made again."""
    return {**to_json(attribution, source_texts=False), "metadata_mode": metadata_mode.value}


def _message_of(response: AgentOutput | ChatResponse) -> ChatMessage:
    return response.response if isinstance(response, AgentOutput) else response.message


def _blocks(attribution: Attribution) -> list[CitationBlock]:
    names = [source.id or str(i) for i, source in enumerate(attribution.sources)]
    return [
        CitationBlock(
            cited_content=TextBlock(text=citation.cited_text),
            source=names[citation.source_index],
            title=_titled(citation, names[citation.source_index]),
            additional_location_info=_place(citation, attribution.number_of(citation)),
        )
        for citation in attribution.citations
    ]


def _titled(citation: Citation, name: str) -> str:
    """What a citation is from; the key where that is metadata, which the integers of a block cannot name."""
    title = citation.title or name
    return title if citation.key is None else f"{title} ({citation.key})"


def _place(citation: Citation, mark: int) -> dict[str, int]:
    place = {name: mark if name == "mark" else int(getattr(citation, name)) for name in _PLACES}
    if citation.document_start is not None and citation.document_end is not None:
        place |= {"document_start": citation.document_start, "document_end": citation.document_end}
    if citation.page is not None:
        place |= {"page": citation.page, **dict(zip(_EDGES, per_mille(citation.boxes), strict=True))}
    return place


def _is_ours(block: Any) -> bool:
    return isinstance(block, CitationBlock) and all(name in block.additional_location_info for name in _PLACES)


def _bare(message: ChatMessage) -> ChatMessage:
    """The message without our citations; itself where it has none."""
    blocks = [block for block in message.blocks if not _is_ours(block)]
    rest = {key: value for key, value in message.additional_kwargs.items() if key != KEY}
    if len(blocks) == len(message.blocks) and len(rest) == len(message.additional_kwargs):
        return message
    return message.model_copy(update={"blocks": blocks, "additional_kwargs": rest})
