"""What answers rest on: nodes as sources, gathered from an agent's events, or cut into blocks that models cite."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from llama_index.core.agent.workflow import AgentInput, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, CitableBlock, MessageRole, TextBlock
from llama_index.core.schema import BaseNode, MetadataMode, NodeRelationship, NodeWithScore, TextNode
from llama_index.core.tools import ToolOutput

from latelens.attribution import Source
from latelens.bridge.arguments import check_many, listed
from latelens.bridge.sources import source_of
from latelens.refusals import described
from latelens.text.sentences import split_sentences
from llama_index_latelens.evidence import EXCLUDED
from llama_index_latelens.model_written import is_by_model
from llama_index_latelens.nodes import fitting_start, keys_shown, shown_keys, start_in_document, text_of
from llama_index_latelens.pictures import region_blocks

Event = TypeVar("Event")
SourceLike = NodeWithScore | BaseNode | Source | Mapping[str, Any] | str

# Where `TitleExtractor`, `SummaryExtractor`, `QuestionsAnsweredExtractor` and `KeywordExtractor` write.
_BY_A_MODEL = {
    "document_title",
    "section_summary",
    "prev_section_summary",
    "next_section_summary",
    "questions_this_excerpt_can_answer",
    "excerpt_keywords",
}


def to_source(found: SourceLike, metadata_mode: MetadataMode = MetadataMode.NONE) -> Source:
    """A node, or what a checkpoint made of it, as a source: its bare text, its id, and its place in its document.

    `latelens.bridge.sources` reads its title and url from the metadata. Where the splitter noted ``start_char_idx``,
    citations also say their place in the document, unless the text has changed since. The metadata that
    `metadata_mode` shows can be cited like the text; not what a model wrote into it, as LlamaIndex's extractors do.
    A node that a model wrote while it answered is told (`model_written`) and never cited.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(found, Source):
        return found
    if isinstance(found, str):
        return Source(found)
    if isinstance(found, Mapping):
        return _from_dict(found, metadata_mode)
    node = found.node if isinstance(found, NodeWithScore) else found
    if not isinstance(node, BaseNode):
        raise TypeError(f"a source must be a node, its dict, a latelens Source or a text, got {described(found)}")
    shown = _by_people(shown_keys(node, metadata_mode))
    text, related = text_of(node), bool(node.relationships)
    by_model = is_by_model(text, node.metadata, related=related)
    return source_of(text, node.node_id, node.metadata, start_in_document(node), shown, by_model=by_model)


def to_sources(
    found: Iterable[SourceLike] | EvidenceCollector, metadata_mode: MetadataMode = MetadataMode.NONE
) -> list[Source]:
    """`to_source` of each; one that is given in place of several is refused."""
    if isinstance(found, EvidenceCollector):
        found = found.sources
    check_many("sources", found, (NodeWithScore, BaseNode, Source))
    return [to_source(each, metadata_mode) for each in found]


class EvidenceCollector:
    """Gathers what an agent's tools returned, from its events: the agent's output itself names no sources.

    ``sources`` are the nodes in the order of their first appearance; ``question`` is what the user said last, and
    ``told`` what the tools told the model. Give the collector itself as the sources of `attach_citations`. A tool may
    return nodes, lists of them, a query engine's response, or any of these as dicts; of a tool that returns none of
    these, the text counts that the model saw. Searches that found nothing, errors and handoffs between agents are left
    out.

    >>> collector = EvidenceCollector()
    >>> collector.add(ToolCallResult(tool_name="search", tool_kwargs={}, tool_id="call-1", return_direct=False,
    ...     tool_output=ToolOutput("search", "Elephants eat grass.", raw_input={})))
    >>> [node.node.node_id for node in collector.sources]
    ['call-1']
    """

    def __init__(self) -> None:
        self.sources: list[NodeWithScore] = []
        self.question: str | None = None
        self.told: list[str] = []
        self._seen: set[tuple[str, str]] = set()

    def add(self, event: Any) -> None:
        """Take the sources out of a `ToolCallResult`, and the question out of an `AgentInput`."""
        if isinstance(event, AgentInput):
            self.question = asked_in(event.input) or self.question
        if not isinstance(event, ToolCallResult) or event.tool_output.is_error or event.tool_name == "handoff":
            return
        output = event.tool_output
        self.told.append(output.content)
        found = list(_nodes(output.raw_output))
        if not found and not _searched(output.raw_output) and output.content.strip():
            told = TextNode(text=output.content, id_=event.tool_id or event.tool_name)
            told.metadata["title"] = event.tool_name
            told.excluded_llm_metadata_keys = ["title"]  # the model saw the text alone
            found = [NodeWithScore(node=told)]
        for node in found:
            key = node.node.node_id, text_of(node.node)
            if key not in self._seen:
                self._seen.add(key)
                self.sources.append(node)

    async def watch(self, events: AsyncIterable[Event]) -> AsyncIterator[Event]:
        """Pass events on as they come, and take their sources: ``collector.watch(handler.stream_events())``."""
        async for event in events:
            self.add(event)
            yield event

    async def gather(self, events: AsyncIterable[Any]) -> None:
        """Take the sources of all events until they end: ``await collector.gather(handler.stream_events())``."""
        async for event in events:
            self.add(event)


def asked_in(messages: Iterable[ChatMessage]) -> str | None:
    """What the user said last; a ReAct agent writes what it observed as a user's message."""
    said = [message.content or "" for message in messages if message.role == MessageRole.USER]
    return next((text for text in reversed(said) if text.strip() and not text.startswith("Observation:")), None)


def to_citable_blocks(
    nodes: Sequence[NodeWithScore | BaseNode],
    *,
    crops: bool = False,
    folders: Sequence[str | os.PathLike[str]] = (),
) -> list[CitableBlock]:
    """Nodes for a model that cites by itself: one block a node, in it one text a sentence, so that it cites sentences.

    The texts are those of `latelens.text.split_sentences` on the node's text, in order. A node without text is
    left out. A page image that a reranker or retriever found is one block a region: its words, titled
    ``report.pdf, page 7, region 1``, from a source that ends with ``#box=500,200,1000,400``: left, top, right and
    bottom in thousandths of the page. Only for models that take them: OpenAI's integration raises on such blocks.

    Parameters
    ----------
    crops
        Of page images, put the picture of the region before its words.
    folders
        Where the files of those pages lie; no other is opened.

    Raises
    ------
    ValueError
        If a picture is asked for, and its page is no file that may be opened.
    """
    blocks: list[CitableBlock] = []
    given: list[Any] = listed("nodes", nodes, (NodeWithScore, BaseNode))
    for found in given:
        node, source = found.node if isinstance(found, NodeWithScore) else found, to_source(found)
        title, link = source.title or source.id or "", source.url or source.id or ""
        parts = region_blocks(node, folders=folders if crops else None)
        if parts:
            blocks += [
                CitableBlock(title=part.title, source=f"{link}#{part.place}", content=part.content) for part in parts
            ]
        elif source.text:
            sentences = [TextBlock(text=source.text[start:end]) for start, end in split_sentences(source.text)]
            blocks += [CitableBlock(title=title, source=link, content=list[Any](sentences))] if sentences else []
    return blocks


def _nodes(returned: Any) -> Iterator[NodeWithScore]:
    """The nodes in what a tool returned, however deep in lists and responses."""
    if isinstance(returned, NodeWithScore):
        yield returned
    elif isinstance(returned, BaseNode):
        yield NodeWithScore(node=returned)
    elif isinstance(returned, list | tuple):
        for item in returned:
            yield from _nodes(item)
    elif isinstance(returned, ToolOutput):
        yield from _nodes(returned.raw_output)
    elif isinstance(returned, Mapping):
        if "source_nodes" in returned:
            yield from _nodes(returned["source_nodes"])
        elif _text_of(returned) is not None:
            yield _node(returned)
    else:
        yield from _nodes(getattr(returned, "source_nodes", ()))


def _searched(returned: Any) -> bool:
    """Whether a tool without nodes looked for some: what it tells the model then is no evidence."""
    if isinstance(returned, list | tuple | Mapping):
        return not returned or "source_nodes" in returned
    return hasattr(returned, "source_nodes")


def _node(written: Mapping[str, Any]) -> NodeWithScore:
    source = _from_dict(written)
    node = written.get("node", written)
    end = None if source.start is None else source.start + len(source.text)
    metadata = dict(node.get("metadata") or {})
    made = TextNode(text=source.text, metadata=metadata, start_char_idx=source.start, end_char_idx=end)
    return NodeWithScore(node=made if source.id is None else made.model_copy(update={"id_": source.id}))


def _from_dict(written: Mapping[str, Any], mode: MetadataMode = MetadataMode.NONE) -> Source:
    text = _text_of(written)
    if text is None:
        raise TypeError(f"this dict is no node: it has no text, only {', '.join(map(str, written))}")
    node = written.get("node", written)
    metadata = node.get("metadata") or {}
    start = None if _inside_another(node) else fitting_start(text, node.get("start_char_idx"), node.get("end_char_idx"))
    shown = _by_people(keys_shown(metadata, node.get(EXCLUDED[0]) or (), node.get(EXCLUDED[1]) or (), mode))
    by_model = is_by_model(text, metadata, related=bool(node.get("relationships")))
    id = node.get("id_") or node.get("node_id")
    return source_of(text, id, metadata, start, shown, by_model=by_model)


def _by_people(keys: Iterable[str]) -> list[str]:
    """The keys without those under which LlamaIndex's extractors put what a model wrote: that is no evidence."""
    return [key for key in keys if key not in _BY_A_MODEL]


def _inside_another(node: Mapping[str, Any]) -> bool:
    """Whether a written node counts its place from a parent that is not its document; see `start_in_document`."""
    related = node.get("relationships") or {}
    source, parent = (related.get(kind.value) or {} for kind in (NodeRelationship.SOURCE, NodeRelationship.PARENT))
    return bool(parent) and parent.get("node_id") != source.get("node_id")


def _text_of(written: Mapping[str, Any]) -> str | None:
    node = written.get("node", written)
    if not isinstance(node, Mapping):
        return None
    text = node.get("text")
    if text is None:
        text = (node.get("text_resource") or {}).get("text")
    return text if isinstance(text, str) else None
