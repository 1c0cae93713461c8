"""Between LlamaIndex's nodes and the chunks of an index."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.storage.docstore import BaseDocumentStore

from latelens.bridge.arguments import check_type, streamed
from latelens.bridge.metadata import found_through, marked, ours
from latelens.bridge.parents import NODE_KEY, WHOLE_KEY, FindParents, Parent, keep_whole, passages_of, place_of
from latelens.bridge.retrieving import Retrieved
from latelens.bridge.sources import start_of
from latelens.index.protocol import Chunk
from latelens.pages.files import FilePage, file_page
from llama_index_latelens.evidence import with_metadata

Parents = Mapping[str, BaseNode] | BaseDocumentStore

# What to do with what is no node.
WRAP = "of a NodeWithScore take .node, of a text make TextNode(text=text)"

_KINDS: dict[str, type[BaseNode]] = {
    kind.class_name(): kind for kind in (TextNode, IndexNode, ImageNode, Node, Document)
}
# Kept elsewhere in a chunk, or not at all: the vector of another model, and an object that is no JSON.
_ELSEWHERE = {"id_", "text", "metadata", "embedding", "class_name", "obj"}


def text_of(node: BaseNode) -> str:
    """A node's text without metadata: every other mode prepends it and strips, and positions would no longer fit."""
    return node.get_content(metadata_mode=MetadataMode.NONE)


def bare_text(document: NodeWithScore | BaseNode | str) -> str:
    """The text of a node, scored or not, or a text itself."""
    check_type("document", document, (NodeWithScore, BaseNode, str))
    if isinstance(document, str):
        return document
    return text_of(document.node if isinstance(document, NodeWithScore) else document)


def image_of(node: BaseNode) -> FilePage | bytes | None:
    """The page image that a node stands for: the bytes that it holds, or where it or its metadata say."""
    resource = getattr(node, "image_resource", None)
    held, path = getattr(node, "image", None), getattr(node, "image_path", None)
    if isinstance(resource, MediaResource):
        held, path = held or resource.data, path or resource.path
    if held:
        return base64.b64decode(held)
    return FilePage(str(path)) if path else file_page(node.metadata)


def shown_keys(node: BaseNode, mode: MetadataMode) -> list[str]:
    """The keys of the metadata that a mode shows, in order, without ours."""
    embed, llm = node.excluded_embed_metadata_keys, node.excluded_llm_metadata_keys
    return keys_shown(plain_metadata(node), embed, llm, mode)


def keys_shown(
    metadata: Mapping[str, Any], not_to_embed: Iterable[str], not_to_llm: Iterable[str], mode: MetadataMode
) -> list[str]:
    """The keys of some metadata that a mode shows, where embeddings and prompts leave these out."""
    excluded: Mapping[MetadataMode, Iterable[str]] = {
        MetadataMode.EMBED: not_to_embed,
        MetadataMode.LLM: not_to_llm,
        MetadataMode.ALL: (),
        MetadataMode.NONE: metadata,
    }
    return [key for key in metadata if key not in excluded[mode]]


def start_in_document(node: BaseNode) -> int | None:
    """Where a node begins in its document; None where it does not say, or what it says cannot be so.

    Whatever replaces a node's text leaves the positions of the old one, and the nodes of a `HierarchicalNodeParser`
    count from their parent, not from the document that their source relationship names.
    """
    parent = node.relationships.get(NodeRelationship.PARENT)
    inside = isinstance(parent, RelatedNodeInfo) and parent.node_id != node.ref_doc_id
    start, end = (getattr(node, name, None) for name in ("start_char_idx", "end_char_idx"))
    return None if inside else fitting_start(text_of(node), start, end)


def fitting_start(text: str, start: object, end: object) -> int | None:
    """`start` where both are places and as far apart as the text is long; else None."""
    first, last = start_of(start), start_of(end)
    return first if first is not None and last is not None and last - first == len(text) else None


def to_chunks(nodes: Iterable[BaseNode], *, split: bool = False) -> Iterator[Chunk]:
    """Nodes as chunks, one at a time, for `index.add(to_chunks(nodes))` or `BM25(to_chunks(nodes))`.

    `split` cuts documents into nodes of their passages, which point to them and know their place there.
    """
    return map(chunk_of, nodes_of(nodes, split=split))


def passages(nodes: Iterable[BaseNode], *, whole: bool) -> dict[str, list[Chunk]]:
    """The passages of each document, by its id; with `whole`, the first keeps the document."""
    found: dict[str, list[Chunk]] = {}
    for node in nodes:
        chunks = to_chunks([node], split=True)
        kept = list(keep_whole(chunks, chunk_of(node)) if whole else chunks)
        if found.setdefault(node.node_id, kept) != kept:
            raise ValueError(f"two different nodes have the id {node.node_id!r}; give each its own")
    return found


def chunk_of(node: BaseNode) -> Chunk:
    """A node as a chunk, from which `node_of` makes it again.

    Not kept are a vector, an `obj` of an `IndexNode` that is no node, and our own metadata. A node without a source is
    its own document, as it is to LlamaIndex.
    """
    return Chunk(
        node.node_id, text_of(node), {**plain_metadata(node), NODE_KEY: kept_of(node)}, node.ref_doc_id or node.node_id
    )


def plain_metadata(node: BaseNode) -> dict[str, Any]:
    """A node's metadata without ours."""
    return marked(node.metadata, None)


def kept_of(node: BaseNode) -> dict[str, Any]:
    """What a node has beyond its text and metadata, as JSON."""
    plain = with_metadata(node, None)
    kept: dict[str, Any] = {"class": plain.class_name()}
    if isinstance(plain, IndexNode) and plain.obj is not None:
        kept["obj"] = _kept_object(plain.obj)
        plain = plain.model_copy(update={"obj": None})
    if plain.ref_doc_id is not None:
        kept["parent"] = plain.ref_doc_id
    if (start := start_in_document(node)) is not None:
        kept["start"] = start
    fields = plain.model_dump(mode="json", exclude_defaults=True, exclude=_ELSEWHERE)
    kept["fields"] = {name: value for name, value in fields.items() if name not in _ELSEWHERE}
    if "text_resource" in kept["fields"]:
        kept["fields"]["text_resource"].pop("text", None)
    return kept


def node_of(chunk: Chunk) -> BaseNode:
    """The node that a chunk was made of; a `TextNode` for a chunk that was no node."""
    metadata = {key: value for key, value in chunk.metadata.items() if key not in (NODE_KEY, WHOLE_KEY)}
    kept = chunk.metadata.get(NODE_KEY)
    if not isinstance(kept, Mapping) or kept.get("class") not in _KINDS:
        return _text_node(chunk, metadata)
    kind = _KINDS[kept["class"]]
    fields = {**kept["fields"], "id_": chunk.id, "metadata": metadata}
    if isinstance(obj := kept.get("obj"), Mapping):
        fields["obj"] = node_of(Chunk(**obj))
    if issubclass(kind, TextNode):
        return kind(**fields, text=chunk.text)
    if "text_resource" in fields:
        fields["text_resource"] = {**fields["text_resource"], "text": chunk.text}
    return kind(**fields)


def nodes_of(nodes: Iterable[BaseNode], *, split: bool) -> Iterator[BaseNode]:
    """The nodes, or nodes of their passages that point to them as `SentenceSplitter` makes them."""
    for node in streamed("nodes", nodes, BaseNode, wrap=WRAP):
        if not split:
            yield node
            continue
        text = text_of(node)
        for passage, start, end in passages_of(node.node_id, text):
            yield TextNode(
                id_=passage,
                text=text[start:end],
                start_char_idx=start,
                end_char_idx=end,
                metadata=node.metadata,
                excluded_embed_metadata_keys=node.excluded_embed_metadata_keys,
                excluded_llm_metadata_keys=node.excluded_llm_metadata_keys,
                relationships={NodeRelationship.SOURCE: node.as_related_node_info()},
            )


def scored_node(found: Retrieved) -> NodeWithScore:
    """What was retrieved as a new node: the chunk, or the whole document that it stands for."""
    node = node_of(found.chunk) if found.parent is None else found.parent.source
    return NodeWithScore(node=with_metadata(node, found.metadata), score=found.score)


def found_node(found: Retrieved, objects: Mapping[str, Any]) -> NodeWithScore:
    """`scored_node`, or the node that an index node leads to, with the evidence.

    Raises
    ------
    ValueError
        If what it led to was no node, so that it is not kept with the index, and is not among `objects`, by index id.
    """
    scored = scored_node(found)
    door = scored.node
    if not isinstance(door, IndexNode):
        return scored
    obj = objects.get(door.index_id) if door.obj is None else door.obj
    lost = found.chunk.metadata.get(NODE_KEY, {}).get("obj")
    if obj is None and isinstance(lost, str):
        raise ValueError(
            f"index node {door.node_id!r} led to a {lost}, which no index keeps; give it again: "
            f"object_map={{{door.index_id!r}: ...}}"
        )
    return NodeWithScore(node=_led_to(door, obj), score=scored.score) if isinstance(obj, BaseNode) else scored


def parent_finder(parents: Parents) -> FindParents:
    """Look up whole documents in a mapping or a document store."""

    def find(ids: Sequence[str]) -> dict[str, Parent]:
        found = {id: _look_up(parents, id) for id in ids}
        return {id: Parent(id, text_of(node), node) for id, node in found.items() if node is not None}

    return find


def _led_to(door: IndexNode, obj: BaseNode) -> BaseNode:
    said, text = ours(door.metadata), text_of(door)
    if not said:
        return with_metadata(obj, None)
    at = text_of(obj).find(text) if text else -1
    return with_metadata(obj, found_through(said, door.node_id, text, at))


def _kept_object(obj: Any) -> dict[str, Any] | str:
    """A node as JSON, and of anything else the name of its type."""
    if not isinstance(obj, BaseNode):
        return type(obj).__name__
    chunk = chunk_of(obj)
    return {"id": chunk.id, "text": chunk.text, "metadata": dict(chunk.metadata)}


def _look_up(parents: Parents, id: str) -> BaseNode | None:
    if isinstance(parents, BaseDocumentStore):
        return parents.get_document(id, raise_error=False)
    return parents.get(id)


def _text_node(chunk: Chunk, metadata: dict[str, Any]) -> TextNode:
    parent, start = place_of(chunk.metadata)
    source = {} if parent is None else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=parent)}
    end = None if start is None else start + len(chunk.text)
    return TextNode(
        id_=chunk.id, text=chunk.text, metadata=metadata, start_char_idx=start, end_char_idx=end, relationships=source
    )
