"""`add_boxes`: where on the page the evidence of nodes stands."""

from __future__ import annotations

from collections.abc import Iterable

from llama_index.core.schema import NodeWithScore

from latelens.bridge.arguments import listed
from latelens.bridge.boxes import with_boxes
from latelens.bridge.metadata import ours
from latelens.pages.files import PageFiles, file_page
from llama_index_latelens.evidence import with_metadata
from llama_index_latelens.nodes import text_of


def add_boxes(nodes: Iterable[NodeWithScore], files: PageFiles) -> list[NodeWithScore]:
    """Copies of nodes whose evidence says its page and boxes, for those read from a PDF or an image.

    Each item of ``metadata["latelens"]["evidence"]`` gets ``page``, from 1, ``boxes``, a line each: left, top, right
    and bottom as fractions of the page as it is shown, and ``place_confidence``, 0..1. Where the text runs on,
    ``continued`` holds further pages with their boxes. The file and the page are those that a reader wrote into the
    metadata (`latelens.pages.file_page`); the text decides, so a node whose page is another has no boxes.

    Parameters
    ----------
    nodes
        From a reranker or a retriever, with evidence; others are copied as they are.
    files
        ``latelens.pages.PageFiles(["docs/"])``: only files below these folders are opened. Use one for many calls.

    Raises
    ------
    TypeError
        If an argument is of another type.
    """
    if not isinstance(files, PageFiles):
        raise TypeError(f"files must be a PageFiles, got {type(files).__name__}: write PageFiles([folder])")
    return [_boxed(found, files) for found in listed("nodes", nodes, NodeWithScore)]


def _boxed(scored: NodeWithScore, files: PageFiles) -> NodeWithScore:
    found = ours(scored.node.metadata)
    if not found:
        return NodeWithScore(node=scored.node.model_copy(), score=scored.score)
    boxed = with_boxes(found, text_of(scored.node), file_page(scored.node.metadata), files)
    return NodeWithScore(node=with_metadata(scored.node, boxed), score=scored.score)
