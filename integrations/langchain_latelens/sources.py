"""What an answer may rest on, from whatever LangChain keeps documents in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from latelens.attribution.citations import Source
from latelens.attribution.mark_checks import Handling
from latelens.bridge.arguments import check_many
from latelens.bridge.marks import MarkReading, numbered_sources
from latelens.bridge.parents import START_KEY
from latelens.bridge.sources import source_of
from latelens.refusals import described


def to_sources(items: Iterable[Any], metadata_keys: Sequence[str] = ()) -> list[Source]:
    """Sources in the order given: `source_index` of a citation counts them from 0.

    Takes `Document`s, the dicts that a checkpoint makes of them, whole `ToolMessage`s, their artifacts, texts,
    `latelens` sources, and sequences of these. A `ToolMessage` stands for the documents of its artifact; without
    such an artifact for its text, named after the tool; a failed call for nothing. `latelens.bridge.sources` reads a
    document's title and url from its metadata; where a splitter noted ``start_index``, citations also say their
    place in the whole document. What a document has under `metadata_keys` can be cited like its text.

    Raises
    ------
    TypeError
        If something is none of these.
    """
    return [source for item in listed_items(items) for source in _sources(item, metadata_keys)]


def conversation_sources(
    messages: Sequence[BaseMessage], documents: Iterable[Any] = (), metadata_keys: Sequence[str] = ()
) -> list[Source]:
    """What the tools found, the turn since the last question first, then `documents`, then earlier turns.

    Earlier turns count because the model still reads them: a follow-up question is often answered without another
    search. What two calls found is one source.
    """
    questions = [position for position, message in enumerate(messages) if isinstance(message, HumanMessage)]
    turn = questions[-1] if questions else 0
    found = [message for message in messages if isinstance(message, ToolMessage)]
    recent = [message for message in messages[turn:] if isinstance(message, ToolMessage)]
    return list(dict.fromkeys(to_sources([*recent, *documents, *found], metadata_keys)))


def listed_items(items: Iterable[Any]) -> list[Any]:
    """The items, read once; one that is given in place of several is refused."""
    check_many("sources", items, (Document, BaseMessage, Source))
    return list(items)


def read_against(marks: Handling | None, items: Iterable[Any], sources: Sequence[Source]) -> MarkReading | None:
    """How a model's marks are read: by the quotes in tools' messages among the items, else by the sources' order."""
    if marks is None:
        return None
    told = [str(item.text) for item in items if isinstance(item, ToolMessage) and item.status != "error"]
    return MarkReading(marks, numbered_sources(told, sources))


def question_in(messages: Sequence[BaseMessage]) -> str | None:
    """What the user said last; not a summary, which LangChain writes as a user's message but a model made."""
    said = [message for message in messages if isinstance(message, HumanMessage)]
    own = [message for message in said if "lc_source" not in message.additional_kwargs]
    return str(own[-1].text) if own else None


def _sources(item: Any, keys: Sequence[str]) -> Iterator[Source]:
    if isinstance(item, Source):
        yield item
    elif isinstance(item, str):
        yield Source(item)
    elif isinstance(item, Document):
        yield _source(item.page_content, item.id, item.metadata, keys)
    elif isinstance(item, ToolMessage):
        yield from _found_by_tool(item, keys)
    elif isinstance(item, Mapping) and isinstance(item.get("page_content"), str):
        yield _source(item["page_content"], item.get("id"), item.get("metadata") or {}, keys)
    elif isinstance(item, Sequence) and not isinstance(item, bytes):
        for inner in item:
            yield from _sources(inner, keys)
    else:
        raise TypeError(
            f"a source must be a Document, a dict of one, a ToolMessage, a text or a Source, got {described(item)}"
        )


def _found_by_tool(message: ToolMessage, keys: Sequence[str]) -> Iterator[Source]:
    if message.status == "error":
        return
    found = message.artifact if isinstance(message.artifact, list | tuple) else [message.artifact]
    if all(_is_document(item) for item in found):
        yield from _sources(found, keys)
    elif text := str(message.text):
        yield Source(text, id=message.tool_call_id, title=message.name)


def _is_document(item: Any) -> bool:
    written = isinstance(item, Mapping) and isinstance(item.get("page_content"), str)
    return written or isinstance(item, Document | Source)


def _source(text: str, name: object, metadata: Mapping[str, Any], keys: Sequence[str]) -> Source:
    return source_of(text, name, metadata, metadata.get(START_KEY), keys)
