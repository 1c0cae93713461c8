"""Whole documents in place of the chunks that were found in them, with the evidence at its place there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latelens.bridge.sources import start_of
from latelens.embeddings import PooledSpans, TokenEmbeddings, moved
from latelens.explanation.matches import Explanation, explain
from latelens.index.protocol import Chunk, Index
from latelens.refusals import shown
from latelens.text.passages import split_passages
from latelens.text.sentences import split_sentences

# In a chunk's metadata: the document that it was cut from, and where it begins there, in characters.
PARENT_KEY = "parent_id"
START_KEY = "start_index"
# What a framework's node has beyond text and metadata; `parent` and `start` in it are read here, the rest is theirs.
NODE_KEY = "_node"
# The whole document, in the first of its passages: so it is replaced and deleted with them, in whatever index.
WHOLE_KEY = "_document"
# What an adapter's `parents` may be beside a mapping or a store.
KEPT: Literal["index"] = "index"

# A whole document is scored and explained by so many of its best chunks, with so many sentences of evidence.
MAX_CHUNKS = 5
MAX_SPANS = 5


@dataclass(frozen=True)
class Parent:
    """A whole document: its id, its text, and what the framework calls it."""

    id: str
    text: str
    source: Any


FindParents = Callable[[Sequence[str]], Mapping[str, Parent]]


def place_of(metadata: Mapping[str, Any], parent_key: str = PARENT_KEY) -> tuple[str | None, int | None]:
    """The document that a chunk was cut from and where it begins there; None for what its metadata does not say."""
    node = metadata.get(NODE_KEY)
    kept = node if isinstance(node, Mapping) else {}
    parent = metadata.get(parent_key, kept.get("parent"))
    start = start_of(kept.get("start", metadata.get(START_KEY)))
    return (str(parent) if isinstance(parent, str | int) else None), start


def passages_of(id: str, text: str) -> list[tuple[str, int, int]]:
    """Id, start and end of each passage of a document, as `split_passages` cuts it; the first is always ``id#0``."""
    return [(f"{id}#{start if i else 0}", start, end) for i, (start, end) in enumerate(split_passages(text))]


def keep_whole(passages: Iterable[Chunk], whole: Chunk) -> Iterator[Chunk]:
    """A document's passages, of which the first keeps the whole, as `kept_parents` finds it."""
    for i, chunk in enumerate(passages):
        kept = {WHOLE_KEY: {"text": whole.text, "metadata": dict(whole.metadata)}}
        yield chunk if i else replace(chunk, metadata={**chunk.metadata, **kept})


def kept_parents(index: Index, source: Callable[[Chunk], Any]) -> FindParents:
    """Find whole documents in the passages that keep them; `source` makes the framework's object of one."""

    def find(ids: Sequence[str]) -> dict[str, Parent]:
        found: dict[str, Parent] = {}
        for id, first in zip(ids, index.get([f"{id}#0" for id in ids]), strict=True):
            whole = None if first is None else first.metadata.get(WHOLE_KEY)
            if isinstance(whole, Mapping):
                found[id] = Parent(id, whole["text"], source(Chunk(id, whole["text"], whole["metadata"])))
        return found

    return find


def check_parents(searcher: object, parents: object) -> None:
    """Refuse documents kept with the index where there is no index, and a name for anything else."""
    if isinstance(parents, str) and parents != KEPT:
        raise ValueError(f"parents must be a mapping, a store or {KEPT!r}, got {shown(parents)}")
    if parents == KEPT and not isinstance(searcher, Index):
        raise TypeError(
            f"parents={KEPT!r} are kept with an index, and {type(searcher).__name__} is none; give a mapping or a store"
        )


def group_by_parent(
    chunks: Sequence[Chunk], find_parents: FindParents, parent_key: str
) -> list[tuple[Parent | None, list[int]]]:
    """Positions of the chunks of each document, both best first; a chunk without a known document stands alone.

    Raises
    ------
    ValueError
        If no chunk says which document it was cut from.
    """
    ids = [place_of(chunk.metadata, parent_key)[0] for chunk in chunks]
    if chunks and not any(ids):
        raise ValueError(
            f"whole documents were asked for, but no chunk that was found has {parent_key!r} in its metadata; name "
            "the key that holds the document's id with parent_key="
        )
    parents = find_parents(list(dict.fromkeys(id for id in ids if id is not None)))
    groups: dict[str, list[int]] = {}
    for i, id in enumerate(ids):
        key = f"parent {id}" if id in parents else f"chunk {i}"
        groups.setdefault(key, []).append(i)
    return [(parents.get(ids[members[0]] or ""), members) for members in groups.values()]


def join(document: str, found: Sequence[tuple[Explanation, int | None]]) -> tuple[Explanation, list[tuple[int, int]]]:
    """Explain a whole document by the rows of its chunks, each with the place it says it has; the best come first.

    Every span is one of the document: ``document[start:end]``. What a better chunk holds already counts once. Also
    returned are the chunks' sentences, in order and disjoint, for `find_evidence`.
    """
    taken = np.zeros(len(document), dtype=np.bool_)
    parts, pooled, sentences = [], [], []
    for explanation, start in found:
        rows = explanation.document
        spans, behind, lines = _placed(document, rows, start)
        new = np.array([begin < 0 or not taken[begin] for begin in spans[:, 0].tolist()], dtype=np.bool_)
        fresh = [(begin, end) for begin, end in lines if not taken[begin:end].any()]
        for begin, end in fresh:
            taken[begin:end] = True
        sentences += fresh
        parts.append((rows, spans, new))
        pooled.append(behind and behind.take(np.flatnonzero(new)))
    joined = TokenEmbeddings(
        text=document,
        vectors=np.concatenate([rows.vectors[new] for rows, _, new in parts]),
        tokens=tuple(token for rows, _, new in parts for token, keep in zip(rows.tokens, new, strict=True) if keep),
        spans=np.concatenate([spans[new] for _, spans, new in parts]),
        kinds=np.concatenate([rows.kinds[new] for rows, _, new in parts]),
        complete=all(rows.complete for rows, _, _ in parts),
        pooled=PooledSpans.joined(pooled),
    )
    return explain(found[0][0].query, joined), sorted(sentences)


def _placed(
    document: str, rows: TokenEmbeddings, start: int | None
) -> tuple[NDArray[np.int32], PooledSpans | None, list[tuple[int, int]]]:
    """A chunk's spans, (n, 2) int32, what its pooled rows stand for, and its sentences, as places in the document.

    (-1, -1) for what is not there.
    """
    read = rows.spans if rows.pooled is None else np.concatenate([rows.spans, rows.pooled.spans])
    spans, lines = _spans_in(document, rows.text, read, start)
    behind = None if rows.pooled is None else PooledSpans(spans[len(rows) :], rows.pooled.starts)
    return spans[: len(rows)], behind, lines


def _spans_in(
    document: str, text: str, read: NDArray[np.int32], start: int | None
) -> tuple[NDArray[np.int32], list[tuple[int, int]]]:
    lines = split_sentences(text)
    offset = _locate(document, text, start)
    if offset is not None:
        return moved(read, offset), [(begin + offset, end + offset) for begin, end in lines]
    # A splitter may have changed the white space of a chunk: its sentences are then looked for one by one.
    spans = np.full_like(read, -1)
    found = []
    for begin, end in lines:
        place = document.find(text[begin:end])
        if place >= 0:
            inside = (read[:, 0] >= begin) & (read[:, 1] <= end)
            spans[inside] = read[inside] + np.int32(place - begin)
            found.append((place, place + end - begin))
    return spans, _disjoint(found)


def _locate(document: str, text: str, start: int | None) -> int | None:
    """Where a chunk begins in its document: where it says, else where its text stands first; None if nowhere."""
    if start is not None and document.startswith(text, start):
        return start
    found = document.find(text)
    return None if found < 0 else found


def _disjoint(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if not kept or kept[-1][1] <= start:
            kept.append((start, end))
    return kept
