"""Reading our metadata from nodes, and taking it off again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.schema import BaseNode, NodeWithScore

from latelens.bridge.arguments import listed
from latelens.bridge.metadata import KEY, marked, ours, read_evidence, read_regions

__all__ = ["Marked", "read_evidence", "read_regions", "strip_evidence", "with_metadata"]

EXCLUDED = ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")


class Marked(dict[str, Any]):
    """Metadata with our key, which its `repr` leaves out; everything else sees it.

    `TextNode.hash` is made of ``str(metadata)``: so a node keeps its hash, by which fusion tells nodes apart, and the
    text of a node that a tool returned to a model holds no evidence.
    """

    def __repr__(self) -> str:
        return repr({key: value for key, value in self.items() if key != KEY})


def with_metadata(node: BaseNode, found: dict[str, object] | None) -> BaseNode:
    """A copy of a node that carries `found` under our key and shows it to no prompt and no embedding.

    None takes ours off. Metadata and key lists are new objects: node copies share theirs with the docstore.
    """
    metadata = marked(node.metadata, found)
    update: dict[str, object] = {"metadata": metadata if found is None else Marked(metadata)}
    if found is not None or ours(node.metadata):
        for name in EXCLUDED:
            keys = [key for key in getattr(node, name) if key != KEY]
            update[name] = keys if found is None else [*keys, KEY]
    return node.model_copy(update=update)


def strip_evidence(nodes: Sequence[NodeWithScore]) -> list[NodeWithScore]:
    """Copies of the nodes without our metadata, for stores that take flat metadata only; scores stay."""
    scored = listed("nodes", nodes, NodeWithScore, wrap="write NodeWithScore(node=node)")
    return [NodeWithScore(node=with_metadata(found.node, None), score=found.score) for found in scored]
