"""`page_blocks`: pages, or the regions that answer, as blocks of a message to a model that sees."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.schema import BaseNode, NodeWithScore

from latelens.bridge.arguments import listed
from latelens.bridge.boxes import per_mille
from latelens.bridge.page_pictures import MAX_PIXELS, MIME_TYPE, PagePicture, page_pictures
from latelens.bridge.regions import page_name, regions_of, words_of
from llama_index_latelens.nodes import image_of, text_of


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
    return picture_blocks(page_pictures(chunks, folders=folders, crops=crops, margin=margin, max_pixels=max_pixels))


def picture_blocks(pictures: Iterable[PagePicture]) -> list[TextBlock | ImageBlock]:
    """For each picture a block of text with its caption, and one with the image."""
    blocks: list[TextBlock | ImageBlock] = []
    for picture in pictures:
        blocks += [TextBlock(text=picture.caption), ImageBlock(image=picture.data, image_mimetype=MIME_TYPE)]
    return blocks


@dataclass(frozen=True)
class RegionContent:
    """A region of a page image for a model: what it is called, where it is, and its picture and words."""

    title: str
    place: str
    content: list[Any]


def region_blocks(node: BaseNode, *, folders: Sequence[str | os.PathLike[str]] | None) -> list[RegionContent]:
    """The regions that a node carries, with pictures where there are `folders`; none of a node that carries none.

    A region whose words are not known is left out without its picture.
    """
    regions = regions_of(node.metadata)
    pictures: Sequence[PagePicture | None] = [None] * len(regions)
    if regions and folders is not None:
        pictures = list(page_pictures([(node.metadata, image_of(node))], folders=folders))
    name, found = page_name(node.metadata) or node.node_id, []
    for i, (region, picture) in enumerate(zip(regions, pictures, strict=True), start=1):
        words = words_of(region, text_of(node))
        content: list[Any] = [] if picture is None else [ImageBlock(image=picture.data, image_mimetype=MIME_TYPE)]
        content += [TextBlock(text=words)] if words else []
        if content:
            box = ",".join(map(str, per_mille([region.box])))
            found.append(RegionContent(f"{name}, region {i}", f"box={box}", content))
    return found
