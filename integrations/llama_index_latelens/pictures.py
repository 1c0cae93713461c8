"""`page_blocks`: pages, or the regions that answer, as blocks of a message to a model that sees."""

from __future__ import annotations

import os
from collections.abc import Sequence

from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.schema import NodeWithScore

from latelens.bridge.arguments import listed
from latelens.bridge.page_pictures import MAX_PIXELS, MIME_TYPE, page_pictures
from llama_index_latelens.nodes import image_of


def page_blocks(
    nodes: Sequence[NodeWithScore],
    *,
    folders: Sequence[str | os.PathLike[str]] = (),
    crops: bool = True,
    margin: float = 0.02,
    max_pixels: int = MAX_PIXELS,
) -> list[TextBlock | ImageBlock]:
    """Draw the pages of retrieved nodes: for each picture a block of text that names it, and one with the image.

    >>> from llama_index.core.base.llms.types import ChatMessage
    >>> message = ChatMessage(blocks=page_blocks(found, folders=["reports"]))  # doctest: +SKIP

    Parameters
    ----------
    nodes
        Whose metadata name a page of a PDF or an image, or that hold an image.
    folders
        Where the files lie; no other is opened, and no address.
    crops
        Cut out the regions that a reranker or retriever found; a page without regions is drawn whole.
    margin
        Around a region, in fractions of the page.
    max_pixels
        Of each picture; larger ones are made smaller.

    Raises
    ------
    ValueError
        If a node names no page that may be opened.
    """
    scored = listed("nodes", nodes, NodeWithScore, wrap="write NodeWithScore(node=node)")
    chunks = [(found.node.metadata, image_of(found.node)) for found in scored]
    blocks: list[TextBlock | ImageBlock] = []
    for picture in page_pictures(chunks, folders=folders, crops=crops, margin=margin, max_pixels=max_pixels):
        blocks += [TextBlock(text=picture.caption), ImageBlock(image=picture.data, image_mimetype=MIME_TYPE)]
    return blocks
