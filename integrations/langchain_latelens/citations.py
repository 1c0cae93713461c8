"""`attach_citations`: an answer as LangChain's standard cited message, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.prompt_values import PromptValue

from langchain_latelens.annotations import V1, annotate, bare, describe, edit_blocks, standard_blocks, text_runs
from langchain_latelens.sources import listed_items, read_against, to_sources
from langchain_latelens.stored_attribution import read, record, written_on
from latelens.attribution.citations import Attribution, Claim, Source
from latelens.attribution.edits import Edit
from latelens.attribution.mark_checks import CheckedMark, Handling
from latelens.attribution.relocated import placed_at
from latelens.bridge.arguments import check_type, listed
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.marks import MarkReading, check_handling, handle_marks, marks_from_json
from latelens.bridge.metadata import KEY
from latelens.refusals import described


def attach_citations(
    message: AIMessage | str,
    sources: Iterable[Any],
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_keys: Sequence[str] = (),
    marks: Handling | None = None,
) -> AIMessage:
    """The message with a standard `Citation` for every source span that backs one of its claims.

    The result is a copy in standard content blocks (``output_version="v1"``) with the same id, tool calls, usage
    and metadata; without any citation its content stays as it is. A citation's ``start_index`` and
    ``end_index`` are characters of the text block that carries it;
    its ``extras`` hold ``source_index, source_id, source_start, source_end``, ``document_start, document_end``
    where the source knows its place, ``key`` where the span lies in metadata, ``page`` and ``boxes`` where the
    attributor has `files`, ``score``, ``relevance``, and the claim's ``label``. Citations of the provider's own stay
    beside ours; ours from an earlier call are replaced. ``response_metadata["latelens"]``
    keeps the rest in small JSON (claims without citations, labels, reasons), for `read_attribution`: it survives
    checkpoints and serialisation, and no chat model sends it. Take citations off before a model reads the
    message again: `strip_citations`.

    Parameters
    ----------
    message
        The answer. Only its text blocks are read.
    sources
        `Document`s, `ToolMessage`s, their artifacts (also as the dicts that a checkpoint makes of them), texts, or
        `latelens` sources, mixed as they come; `source_index` counts the documents in them from 0.
    attributor
        A `latelens.Attributor`: model, cache, verifier. None takes the default model's, of which a process has one.
    question
        What the user asked: names, dates and numbers that stand there need not stand in the sources as well.
    metadata_keys
        What of the documents' metadata your prompt shows the model beside the text, such as ``["title", "author"]``:
        it can be cited like the text.
    marks
        What to do with marks such as ``[1]`` that the model wrote itself. They are read against the numbered quotes of
        evidence tools where `sources` have their messages, else against the order of the sources, from 1; whether the
        source bears the claim is what `read_checked_marks` says. ``"keep"`` leaves them as they are, ``"move"`` names
        the source that bears the claim instead, or none, ``"flag"`` writes ``[2?]`` where it does not bear it,
        ``"strip"`` takes all away; positions are those of the text that results. None leaves marks unread.

    Raises
    ------
    TypeError, ValueError
        If `message` is neither an `AIMessage` nor a text, a source is none of the above, `question` is no text, or
        `marks` none of these.
    """
    keys, given = listed("metadata_keys", metadata_keys, str), listed_items(sources)
    found = to_sources(given, keys)
    check_handling(marks)
    return cite(message, found, Citing(chosen(attributor), question, keys, read_against(marks, given, found)))


def read_checked_marks(message: AIMessage) -> tuple[CheckedMark, ...]:
    """What the marks that the model wrote are worth; empty where `marks` was None or there were none.

    Their positions are those of the text as the model wrote it.
    """
    check_type("message", message, AIMessage)
    return marks_from_json((written_on(message) or {}).get("marks", ()))


def strip_citations(messages: Sequence[BaseMessage] | PromptValue) -> list[BaseMessage]:
    """The messages without our citations, each written as it was before `attach_citations`.

    Other annotations stay, and messages without ours are the same objects. Put it before the model wherever
    answers come back as history: ``prompt | strip_citations | chat_model``.
    """
    if isinstance(messages, PromptValue):
        messages = messages.to_messages()
    given = listed("messages", messages, BaseMessage)
    return [bare(message) if isinstance(message, AIMessage) else message for message in given]


def read_attribution(message: AIMessage, sources: Iterable[Any] | None = None) -> Attribution | None:
    """What `attach_citations` found for a message: every claim, cited or not; None if it was never cited.

    Give the `sources` that were cited to have their texts; without them a source holds what was cited from it, at
    its place, and blanks elsewhere.

    Raises
    ------
    ValueError
        If the text has changed since, the sources are others, or a newer version of latelens wrote it.
    """
    check_type("message", message, AIMessage)
    return read(message, sources)


@dataclass(frozen=True)
class Citing:
    """How an answer is cited."""

    attributor: Attributor
    question: str | None
    metadata_keys: Sequence[str] = ()
    marks: MarkReading | None = None


def cite(message: AIMessage | str, sources: Sequence[Source], citing: Citing) -> AIMessage:
    """A copy of the message with citations."""
    if isinstance(message, str):
        message = AIMessage(content=message)
    if not isinstance(message, AIMessage):
        raise TypeError(f"citations need an AIMessage or a text, got {described(message)}")
    plain: Any = message_chunk_to_message(message)
    whole: AIMessage = bare(plain)
    blocks = standard_blocks(whole)
    texts = text_runs(blocks) or [""]
    found = find_citations([citing.attributor(text, sources, question=citing.question) for text in texts], citing)
    blocks = edit_blocks(blocks, found.edits)
    annotated = annotate(blocks, found.attribution)
    before = describe(whole, rewritten=bool(found.edits))
    metadata = {**whole.response_metadata, KEY: record(found.attribution, before, citing.metadata_keys, found.marks)}
    if not any(annotated) and (not found.edits or isinstance(whole.content, str)):  # a text stays a text
        content: Any = found.attribution.answer if found.edits else whole.content
        return whole.model_copy(update={"content": content, "response_metadata": metadata})
    content = [
        {**block, "annotations": [*(block.get("annotations") or ()), *ours]} if ours else block
        for block, ours in zip(blocks, annotated, strict=True)
    ]
    return whole.model_copy(update={"content": content, "response_metadata": {**metadata, "output_version": V1}})


@dataclass(frozen=True)
class FoundCitations:
    """What was found for an answer: its attribution once the edits of its marks are made, and the marks' worth."""

    attribution: Attribution
    edits: tuple[Edit, ...] = ()
    marks: tuple[CheckedMark, ...] | None = None


def find_citations(parts: Sequence[Attribution], citing: Citing) -> FoundCitations:
    """One attribution of an answer whose texts were attributed apart, so that no claim goes across two of them."""
    if citing.marks is None:
        return FoundCitations(joined(parts))
    handled, edits, marks = [], list[Edit](), list[CheckedMark]()
    start = claims = 0
    for part in parts:
        written, own, checked = handle_marks(part, citing.attributor, citing.marks, citing.question)
        handled.append(written)
        edits += [edit.moved(start) for edit in own]
        marks += [each.moved(start, claims) for each in checked]
        start, claims = start + len(part.answer), claims + len(part.claims)
    return FoundCitations(joined(handled), tuple(edits), tuple(marks))


def joined(parts: Sequence[Attribution]) -> Attribution:
    """The attributions of texts as one of the texts put together."""
    claims: list[Claim] = []
    for part, start in zip(parts, accumulate((len(part.answer) for part in parts), initial=0), strict=False):
        claims += [placed_at(claim, claim.start + start, claim.end + start) for claim in part.claims]
    return replace(parts[0], answer="".join(part.answer for part in parts), claims=tuple(claims))
