"""Citations in a message's standard content blocks: put in, and taken off again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import AIMessage
from langchain_core.messages.content import create_citation

from latelens.attribution.citations import Attribution, Citation, Claim
from latelens.attribution.edits import Edit, edited, edits_within, place_after
from latelens.bridge.metadata import KEY

VERSION = 1
V1 = "v1"

Block = dict[str, Any]

M = TypeVar("M", bound=AIMessage)

# Where a message's content was a plain text, LangChain derives these blocks from the message's other fields.
_DERIVED = {"text", "reasoning", "tool_call", "tool_call_chunk", "invalid_tool_call"}


def standard_blocks(message: AIMessage) -> list[Block]:
    """The message's content as standard blocks, of which the text blocks join to ``message.text``."""
    blocks: Iterable[Any] = message.content_blocks
    return [{"type": "text", "text": block} if isinstance(block, str) else dict(block) for block in blocks]


def is_text(block: Any) -> bool:
    """Whether a block holds text of the answer."""
    return isinstance(block, Mapping) and block.get("type") == "text" and isinstance(block.get("text"), str)


def is_ours(annotation: Any) -> bool:
    """Whether `annotate` made it."""
    extras = annotation.get("extras") if isinstance(annotation, Mapping) else None
    return isinstance(extras, Mapping) and KEY in extras


def text_runs(blocks: Sequence[Block]) -> list[str]:
    """The answer's texts: a tool call or a reasoning between two text blocks ends a sentence."""
    runs: list[str] = []
    joined = False
    for block in blocks:
        if is_text(block) and joined:
            runs[-1] += block["text"]
        elif is_text(block):
            runs.append(block["text"])
        joined = is_text(block)
    return runs


def annotate(
    blocks: Sequence[Block], attribution: Attribution, *, first: int = 0, withdrawn: int = 0
) -> list[list[Any]]:
    """For each block the citations of the claims in it, from the `first` on; positions count from the block's start.

    A claim that goes on in the next block is cited in both, each for its part. Claims are numbered behind those
    `withdrawn`.
    """
    found: list[list[Any]] = []
    start = 0
    for block in blocks:
        end = start + len(block["text"]) if is_text(block) else start
        found.append([*_within(attribution.claims, start, end, first, withdrawn)] if end > start else [])
        start = end
    return found


def edit_blocks(blocks: Sequence[Block], edits: Sequence[Edit]) -> list[Block]:
    """The blocks with edits of their joined text made; annotations move along."""
    written: list[Block] = []
    start = 0
    for block in blocks:
        end = start + len(block["text"]) if is_text(block) else start
        own = edits_within(edits, start, end)
        written.append({**block, "text": edited(block["text"], own), **_moved_notes(block, own)} if own else block)
        start = end
    return written


def _moved_notes(block: Block, edits: Sequence[Edit]) -> dict[str, Any]:
    places = {"start_index": True, "end_index": False}
    notes = [
        {
            key: place_after(value, edits, begins=places[key]) if key in places and isinstance(value, int) else value
            for key, value in dict(note).items()
        }
        for note in annotations_of(block)
    ]
    return {"annotations": notes} if notes else {}


def describe(message: AIMessage, *, rewritten: bool = False) -> dict[str, Any]:
    """How a message's content was written before it was cited.

    A content in a provider's own blocks is kept whole: only so can the model be sent exactly what it wrote; so is one
    that is `rewritten`.
    """
    version = message.response_metadata.get("output_version")
    if isinstance(message.content, str):
        return {"content": "text", "output_version": version, **({"text": message.content} if rewritten else {})}
    if version == V1 and not rewritten:
        return {"content": "blocks", "output_version": version}
    return {"content": list(message.content), "output_version": version}


def bare(message: M) -> M:
    """The message without our citations, written as it was; itself where it has none."""
    metadata = dict(message.response_metadata)
    written = metadata.pop(KEY, None)
    blocks = [] if isinstance(message.content, str) else message.content
    if written is None and not any(is_ours(annotation) for block in blocks for annotation in annotations_of(block)):
        return message
    content: Any = message.content
    if not isinstance(content, str):
        content = [_without_ours(block) for block in content]
    before = written["before"] if written else {"content": "blocks"}
    restored = isinstance(content, str)
    same = bool(written) and written["answer"] == digest(message.text)
    if before["content"] == "text" and (isinstance(content, str) or _is_plain(content)):
        content, restored = before["text"] if same and "text" in before else str(message.text), True
    elif isinstance(before["content"], list) and same:
        content, restored = deepcopy(before["content"]), True  # chat models may change in place what they are sent
    if restored and written:
        metadata.pop("output_version", None)
        if before["output_version"] is not None:
            metadata["output_version"] = before["output_version"]
    return message.model_copy(update={"content": content, "response_metadata": metadata})


def digest(text: str) -> str:
    """Tells whether a text is the one that was cited."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _within(claims: Sequence[Claim], start: int, end: int, first: int, withdrawn: int) -> Iterator[Any]:
    """Citations of the claims between two positions of the answer, for the text between them."""
    for number, claim in enumerate(claims):
        if number >= first and claim.start < end and claim.end > start:
            place = max(claim.start, start) - start, min(claim.end, end) - start
            for citation in claim.citations:
                yield _annotation(number + withdrawn, claim, citation, place)


def _annotation(number: int, claim: Claim, citation: Citation, place: tuple[int, int]) -> Any:
    extras: dict[str, Any] = {KEY: VERSION, "claim": number, "label": claim.label, **described(citation)}
    # The same answer and sources give the same id: a random one would tell a stream from the whole.
    where = f"{citation.source_index}:{citation.key or ''}:{citation.source_start}"
    name = f"latelens:{number}:{place}:{where}:{citation.cited_text}"
    return create_citation(
        url=citation.url,
        title=citation.title,
        start_index=place[0],
        end_index=place[1],
        cited_text=citation.cited_text,
        id=f"lc_{uuid5(NAMESPACE_URL, name.encode('utf-8', 'replace').decode())}",
        **extras,
    )


def described(citation: Citation) -> dict[str, Any]:
    """What a standard citation has no field for, as JSON."""
    extras: dict[str, Any] = {
        "score": float(citation.score),
        "relevance": None if citation.relevance is None else float(citation.relevance),
        "source_index": citation.source_index,
        "source_id": citation.source_id,
        "source_start": citation.source_start,
        "source_end": citation.source_end,
        "document_start": citation.document_start,
        "document_end": citation.document_end,
    }
    if citation.key is not None:
        extras["key"] = citation.key
    if citation.page is not None:
        extras |= {"page": citation.page, "boxes": [list(box) for box in citation.boxes]}
    return extras


def annotations_of(block: Any) -> Sequence[Any]:
    """A block's annotations, whoever made them."""
    found = block.get("annotations") if isinstance(block, Mapping) else None
    return found if isinstance(found, list) else ()


def _without_ours(block: Any) -> Any:
    found = annotations_of(block)
    if not any(is_ours(annotation) for annotation in found):
        return block
    others = [annotation for annotation in found if not is_ours(annotation)]
    rest = {key: value for key, value in block.items() if key != "annotations"}
    return {**rest, "annotations": others} if others else rest


def _is_plain(content: Any) -> bool:
    """Whether nothing but the text is in the content that another field of the message does not hold too."""
    return not isinstance(content, str) and all(
        isinstance(block, Mapping) and block.get("type") in _DERIVED and not annotations_of(block) for block in content
    )
