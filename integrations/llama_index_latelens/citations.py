"""`attach_citations`: an answer of LlamaIndex with the source spans that back its claims, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, overload

from llama_index.core.agent.workflow import AgentOutput
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.base.response.schema import PydanticResponse, Response
from llama_index.core.chat_engine.types import AgentChatResponse, StreamingAgentChatResponse
from llama_index.core.schema import MetadataMode

from latelens.attribution import Attribution, CheckedMark
from latelens.attribution.answer import check_question
from latelens.attribution.mark_checks import Handling
from latelens.bridge.arguments import check_type, listed
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.fields import attribute_fields
from latelens.bridge.marks import check_handling, marks_from_json
from latelens.bridge.metadata import KEY
from latelens.interchange import from_json
from latelens.interchange.fields import fields_from_json
from latelens.interchange.stand_ins import fits
from llama_index_latelens.blocks import bare
from llama_index_latelens.citing import Answered, Citing, Streamed, cite
from llama_index_latelens.sources import EvidenceCollector, SourceLike, to_sources

Sources = Iterable[SourceLike] | EvidenceCollector
AnswerT = TypeVar("AnswerT", bound=Answered | Streamed | PydanticResponse)


@overload
def attach_citations(
    response: StreamingAgentChatResponse,
    sources: Sources | None = None,
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_mode: MetadataMode = MetadataMode.LLM,
    marks: Handling | None = None,
) -> Streamed | AgentChatResponse: ...


@overload
def attach_citations(
    response: AnswerT,
    sources: Sources | None = None,
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_mode: MetadataMode = MetadataMode.LLM,
    marks: Handling | None = None,
) -> AnswerT: ...


@overload
def attach_citations(
    response: str,
    sources: Sources | None = None,
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_mode: MetadataMode = MetadataMode.LLM,
    marks: Handling | None = None,
) -> Response: ...


def attach_citations(
    response: Any,
    sources: Sources | None = None,
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_mode: MetadataMode = MetadataMode.LLM,
    marks: Handling | None = None,
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

    A stream passes its tokens on as they come. While it is read, `read_attribution` gives what has been written and
    the claims whose sentences have ended; once it has ended, the same as for the whole answer. The stream of a chat
    engine becomes a `StreamingResponse`, that of ``astream_chat`` an `AsyncStreamingResponse`.

    Of a structured answer, a `PydanticResponse` or an agent's ``structured_response``, each text field is attributed
    under its path: `read_fields` reads them.

    Parameters
    ----------
    response
        The answer of a query engine, streaming or not, or of a chat engine; what an agent, a chat model or a chat
        returned; or a text, which becomes a `Response`.
    sources
        Nodes, their dicts, texts or `latelens` sources. None takes ``response.source_nodes``; of an agent's output,
        what its tools returned in this run. Of earlier runs, and of an output that was stored, `EvidenceCollector`
        gathers them; give it whole, and its question counts and its tools' numbered quotes.
    attributor
        A `latelens.Attributor`: model, cache, verifier. None takes the default model's, of which a process has one.
    question
        What the user asked: names, dates and numbers that stand there need not stand in the sources as well.
        None takes it where the answer or the sources know it: of a chat engine with sources what it searched for, of
        an `EvidenceCollector` what the user said last.
    metadata_mode
        What the model saw of the nodes' metadata, which can then be cited like the text. LlamaIndex's own engines
        and tools show a model `MetadataMode.LLM`, but for `CitationQueryEngine`, which shows none.
    marks
        What to do with marks such as ``[1]`` that the model wrote itself. They are read against the numbered quotes of
        evidence tools where the sources are an `EvidenceCollector`, else against the labels "Source 1:" of
        `CitationQueryEngine`'s nodes or the order of the sources, from 1; whether the source bears the claim is what
        `read_checked_marks` says. ``"keep"`` leaves them as they are, ``"move"`` names the source that bears the claim
        instead, or none, ``"flag"`` writes ``[2?]`` where it does not bear it, ``"strip"`` takes all away; positions
        are those of the text that results. A stream has them handled at its end. None leaves marks unread.

    Raises
    ------
    TypeError, ValueError
        If `response` is nothing that holds an answer, there are no `sources` where it has none of its own,
        `question` is no text, or `marks` none of these.
    """
    check_question(question)  # a stream would find out at its end
    check_handling(marks)
    return cite(response, sources, Citing(chosen(attributor), question, MetadataMode(metadata_mode), marks))


def read_attribution(
    response: Answered | Streamed | PydanticResponse, sources: Sources | None = None
) -> Attribution | None:
    """What `attach_citations` found: every claim, cited or not; None if there is nothing, or not yet.

    The sources' texts do not travel with an answer. Without `sources` they are the response's own nodes where it
    was attributed to these; else each holds what was cited from it, at its place, and blanks elsewhere.

    Raises
    ------
    ValueError
        If a newer version of latelens wrote it, or `sources` do not hold what was cited.
    """
    written = _written_on(response)
    if written is None or "answer" not in written:
        return None
    mode = MetadataMode(written.get("metadata_mode", MetadataMode.NONE))
    if sources is None:
        own = to_sources(getattr(response, "source_nodes", None) or (), mode)
        return from_json(written, own if own and fits(written["sources"], own) else None)
    return from_json(written, to_sources(sources, mode))


def read_checked_marks(response: Answered | Streamed) -> tuple[CheckedMark, ...]:
    """What the marks that the model wrote are worth; empty where `marks` was None or there were none.

    Their positions are those of the text as the model wrote it.
    """
    return marks_from_json((_written_on(response) or {}).get("marks", ()))


def cite_fields(
    answer: Any,
    sources: Sources,
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_mode: MetadataMode = MetadataMode.LLM,
) -> dict[str, Attribution]:
    """Attribute each text field of a structured answer, under its path such as ``author.name`` or ``items[2].text``.

    Parameters
    ----------
    answer
        What a structured model or an agent with ``output_cls`` gives: a Pydantic object, a dataclass or a dict.
    sources, attributor, question, metadata_mode
        As for `attach_citations`.

    Raises
    ------
    TypeError
        If the answer has no fields, or an argument is of the wrong type.
    """
    check_question(question)
    asked = question or (sources.question if isinstance(sources, EvidenceCollector) else None)
    return attribute_fields(answer, to_sources(sources, MetadataMode(metadata_mode)), chosen(attributor), asked)


def read_fields(response: PydanticResponse | AgentOutput, sources: Sources | None = None) -> dict[str, Attribution]:
    """The attributions by path that `attach_citations` found for a structured answer; empty where there are none.

    Give the `sources` that were cited to have their texts; without them a source holds what was cited from it, at
    its place, and blanks elsewhere.
    """
    written = (_written_on(response) or {}).get("fields")
    if written is None:
        return {}
    mode = MetadataMode(written["metadata_mode"])
    return fields_from_json(written, None if sources is None else to_sources(sources, mode))


def _written_on(response: Answered | Streamed | PydanticResponse) -> dict[str, Any] | None:
    """What `attach_citations` wrote; None where an answer has nothing of it."""
    check_type("response", response, (Answered, Streamed, PydanticResponse))  # type: ignore[arg-type]
    written: dict[str, Any] | None
    if isinstance(response, AgentOutput):
        written = response.get(KEY)
    elif isinstance(response, ChatMessage | ChatResponse):
        written = response.additional_kwargs.get(KEY)
    else:
        written = (response.metadata or {}).get(KEY)
    return written


def strip_citations(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages without our citations, for a model to read; a model's own citations stay, as do rewritten marks.

    Agents and chat engines remember the answer as the model gave it, so this is for a history that you keep
    yourself. Messages without ours are the same objects.
    """
    return [bare(message) for message in listed("messages", messages, ChatMessage)]
