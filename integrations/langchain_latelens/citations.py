"""`attach_citations`: an answer as LangChain's standard cited message, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.prompt_values import PromptValue

from langchain_latelens.annotations import V1, Block, annotate, bare, describe, standard_blocks, text_runs
from langchain_latelens.sources import to_sources
from langchain_latelens.stored_attribution import read, record
from latelens.attribution.citations import Attribution, Claim, Source
from latelens.bridge.arguments import check_type, listed
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.metadata import KEY
from latelens.refusals import described


def attach_citations(
    message: AIMessage | str,
    sources: Iterable[Any],
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_keys: Sequence[str] = (),
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

    Raises
    ------
    TypeError
        If `message` is neither an `AIMessage` nor a text, a source is none of the above, or `question` is no text.
    """
    keys = listed("metadata_keys", metadata_keys, str)
    return cite(message, to_sources(sources, keys), chosen(attributor), question, keys)


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


def cite(
    message: AIMessage | str,
    sources: Sequence[Source],
    attributor: Attributor,
    question: str | None,
    metadata_keys: Sequence[str] = (),
) -> AIMessage:
    """A copy of the message with citations."""
    if isinstance(message, str):
        message = AIMessage(content=message)
    if not isinstance(message, AIMessage):
        raise TypeError(f"citations need an AIMessage or a text, got {described(message)}")
    plain: Any = message_chunk_to_message(message)
    whole: AIMessage = bare(plain)
    blocks = standard_blocks(whole)
    found, written = find_citations(blocks, sources, attributor, question, describe(whole), metadata_keys)
    if not any(found):  # then nothing needs standard blocks: a text stays a text
        return whole.model_copy(update={"response_metadata": {**whole.response_metadata, KEY: written[KEY]}})
    cited = [
        {**block, "annotations": [*(block.get("annotations") or ()), *ours]} if ours else block
        for block, ours in zip(blocks, found, strict=True)
    ]
    metadata = {**whole.response_metadata, **written}
    return whole.model_copy(update={"content": cited, "response_metadata": metadata})


def find_citations(
    blocks: Sequence[Block],
    sources: Sequence[Source],
    attributor: Attributor,
    question: str | None,
    before: Mapping[str, Any],
    metadata_keys: Sequence[str],
) -> tuple[list[list[Any]], dict[str, Any]]:
    """Our annotations for each block, and what the message's ``response_metadata`` gets."""
    attribution = _attribute(text_runs(blocks), sources, attributor, question)
    return annotate(blocks, attribution), {"output_version": V1, KEY: record(attribution, before, metadata_keys)}


def _attribute(
    texts: Sequence[str], sources: Sequence[Source], attributor: Attributor, question: str | None
) -> Attribution:
    """One attribution of the texts put together, with no claim across two of them."""
    parts = [attributor(text, sources, question=question) for text in texts or [""]]
    claims: list[Claim] = []
    for part, start in zip(parts, accumulate((len(text) for text in texts), initial=0), strict=False):
        claims += [_moved(claim, start) for claim in part.claims]
    return replace(parts[0], answer="".join(texts), claims=tuple(claims))


def _moved(claim: Claim, by: int) -> Claim:
    citations = tuple(
        replace(citation, answer_start=citation.answer_start + by, answer_end=citation.answer_end + by)
        for citation in claim.citations
    )
    return replace(claim, start=claim.start + by, end=claim.end + by, citations=citations)
