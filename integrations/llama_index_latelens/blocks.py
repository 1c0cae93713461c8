"""Citations in a message's content blocks: put in, and taken off again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, CitationBlock, TextBlock

from latelens.attribution import Attribution, Citation
from latelens.attribution.edits import Edit, edited, edits_within
from latelens.bridge.boxes import per_mille
from latelens.bridge.metadata import KEY

# A citation block is ours where it says all of this; a model's own blocks are the model's to read again.
_EDGES = ("left", "top", "right", "bottom")
_PLACES = ("answer_start", "answer_end", "source_start", "source_end", "source_index", "mark")


def citation_blocks(attribution: Attribution) -> list[CitationBlock]:
    """A block for each citation, in the order of the claims."""
    names = [source.id or str(i) for i, source in enumerate(attribution.sources)]
    return [
        CitationBlock(
            cited_content=TextBlock(text=citation.cited_text),
            source=names[citation.source_index],
            title=_titled(citation, names[citation.source_index]),
            additional_location_info=_place(citation, attribution.number_of(citation)),
        )
        for citation in attribution.citations
    ]


def _titled(citation: Citation, name: str) -> str:
    """What a citation is from; the key where that is metadata, which the integers of a block cannot name."""
    title = citation.title or name
    return title if citation.key is None else f"{title} ({citation.key})"


def _place(citation: Citation, mark: int) -> dict[str, int]:
    place = {name: mark if name == "mark" else int(getattr(citation, name)) for name in _PLACES}
    if citation.document_start is not None and citation.document_end is not None:
        place |= {"document_start": citation.document_start, "document_end": citation.document_end}
    if citation.page is not None:
        place |= {"page": citation.page, **dict(zip(_EDGES, per_mille(citation.boxes), strict=True))}
    return place


def _is_ours(block: Any) -> bool:
    return isinstance(block, CitationBlock) and all(name in block.additional_location_info for name in _PLACES)


def bare(message: ChatMessage) -> ChatMessage:
    """The message without our citations; itself where it has none."""
    blocks = [block for block in message.blocks if not _is_ours(block)]
    rest = {key: value for key, value in message.additional_kwargs.items() if key != KEY}
    if len(blocks) == len(message.blocks) and len(rest) == len(message.additional_kwargs):
        return message
    return message.model_copy(update={"blocks": blocks, "additional_kwargs": rest})


def edit_blocks(message: ChatMessage, edits: Sequence[Edit]) -> list[Any]:
    """A message's blocks with edits of its content made, which is its texts, a line each."""
    written: list[Any] = []
    start = 0
    for block in message.blocks:
        if isinstance(block, TextBlock):
            end = start + len(block.text)
            text = edited(block.text, edits_within(edits, start, end))
            written.append(block if text == block.text else block.model_copy(update={"text": text}))
            start = end + 1
        else:
            written.append(block)
    return written
