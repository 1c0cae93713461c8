"""What travels with a chunk: one JSON object of builtin types under one key, versioned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from latelens.explanation.evidence import EvidenceSpan
from latelens.explanation.maps import page_maps
from latelens.explanation.matches import Match
from latelens.explanation.regions import Region
from latelens.explanation.results import Ranked
from latelens.pages.page import Page
from latelens.patches import PatchGrid
from latelens.refusals import shown

KEY = "latelens"
VERSION = 1
# Bytes of the words under one region, in UTF-8, and decimals of its box: a tenth of a point of a page.
_WORDS, _DIGITS = 240, 4


def to_metadata(
    ranked: Ranked,
    *,
    query: str,
    model: str,
    rank: int,
    retrieval_score: float | None = None,
    source_start: int | None = None,
    stages: Mapping[str, float] | None = None,
    tokens: bool = False,
    page: Page | None = None,
) -> dict[str, Any]:
    """Describe a ranked chunk as JSON; under 2 KB for a 512-token chunk unless `tokens` asks for every match.

    `rank` counts from 1. `source_start` is where the chunk starts in its document, in characters; each piece of
    evidence then also says where it stands in that document. `stages` are the scores of a search's other stages
    (`Hit.stages`); there is no such key where there are none. A page image has no evidence but ``regions``, which
    `read_regions` reads, and ``off_page``, the part of the score that rows of the prompt and of padding won; `page`
    adds its number, from 1, its label and its size in points.
    """
    explanation = ranked.explanation
    metadata: dict[str, Any] = {
        "version": VERSION,
        "model": model,
        "query": query,
        "score": ranked.score,
        "mean_similarity": explanation.mean_similarity,
        "relevance": ranked.relevance,
        "rank": rank,
        "retrieval_score": retrieval_score,
        "complete": explanation.document.complete,
        "evidence": [_evidence(span, source_start) for span in ranked.evidence],
        "uncovered": list(explanation.uncovered),
    }
    if explanation.document.page is not None:
        metadata |= _page(ranked, explanation.document.page)
        if page is not None:
            size = {"width": page.width, "height": page.height, "unit": "point"}
            metadata["page"] = {"number": page.number, "label": page.label, **size}
    if stages:
        metadata["stages"] = dict(stages)
    if tokens:
        document = explanation.document.text
        metadata["tokens"] = [_token(match, query, document) for match in explanation.matches]
        if explanation.document.page is not None:
            _place(metadata["tokens"], explanation.document.page, [match.document_row for match in explanation.matches])
    return metadata


def _page(ranked: Ranked, page: PatchGrid) -> dict[str, Any]:
    """What only a page image has."""
    return {
        "kind": "page",
        "image": page.image,
        "grid": [page.grids[0].n_cols, page.grids[0].n_rows],
        "off_page": page_maps(ranked.explanation).off_page,
        "regions": [_region(region) for region in ranked.regions],
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "box": [round(edge, _DIGITS) for edge in region.box],
        "area": round(region.area, _DIGITS),
        "score": round(region.score, 6),
        "drop": round(region.drop, 6),
        "query_words": list(region.query_words),
        "words": None if region.words is None else _cut(region.words),
        "coarse": region.coarse,
    }


def _cut(words: str) -> str:
    encoded = words.encode("utf-8", "replace")
    return words if len(encoded) <= _WORDS else encoded[: _WORDS - 3].decode("utf-8", "ignore") + "…"


def _place(tokens: list[dict[str, Any]], page: PatchGrid, rows: list[int]) -> None:
    """Give each match the box of its cell; None off the page."""
    for item, box, on_page in zip(tokens, page.boxes(rows).tolist(), page.on_page[rows].tolist(), strict=True):
        item["box"] = [round(edge, _DIGITS) for edge in box] if on_page else None


def read_regions(source: Any) -> list[Region]:
    """Regions of a page image that a chunk carries; none of a text, or where ``explain="off"`` left them out.

    Takes what `read_evidence` takes. Their cells are not kept, and `Region.crop` needs the picture.

    >>> chunk = {"metadata": {"latelens": {"version": 1, "evidence": [], "regions": [{
    ...     "box": [0.5, 0.2, 1.0, 0.4], "area": 0.1, "score": 0.8, "drop": 1.5, "query_words": ["revenue"],
    ...     "words": "Net revenue 4,512", "coarse": False}]}}}
    >>> read_regions(chunk)[0].words
    'Net revenue 4,512'
    """
    return [
        Region(
            box=(item["box"][0], item["box"][1], item["box"][2], item["box"][3]),
            score=item["score"],
            drop=item["drop"],
            query_words=tuple(item["query_words"]),
            words=item["words"],
            coarse=item["coarse"],
            cells=(),
        )
        for item in read_metadata(source).get("regions", [])
    ]


def read_evidence(source: Any) -> list[EvidenceSpan]:
    """Evidence that a chunk carries: none if it was not reranked, or reranked with ``explain="off"``.

    Takes a LangChain `Document`, a LlamaIndex node with or without score, or any of them as a dict, as
    checkpoints and tool artifacts hold them.

    >>> chunk = {"metadata": {"latelens": {"version": 1, "evidence": [{
    ...     "start": 0, "end": 5, "text": "Grass", "score": 2.5, "drop": 1.5, "query_words": ["eat"],
    ...     "phrase_start": 0, "phrase_end": 5}]}}}
    >>> read_evidence(chunk)[0].text
    'Grass'
    """
    found = read_metadata(source)
    return [
        EvidenceSpan(
            start=item["start"],
            end=item["end"],
            text=item["text"],
            score=item["score"],
            drop=item["drop"],
            query_words=tuple(item["query_words"]),
            phrase_start=item["phrase_start"],
            phrase_end=item["phrase_end"],
            source_start=item.get("source_start"),
            source_end=item.get("source_end"),
            lexical=item.get("lexical", False),
        )
        for item in found.get("evidence", [])
    ]


def read_metadata(source: Any) -> dict[str, Any]:
    """The object under our key in a chunk's metadata, ``{}`` where there is none.

    Raises
    ------
    TypeError
        If `source` is not a chunk.
    ValueError
        If a newer version of latelens wrote it.
    """
    found = ours(metadata_of(source))
    if found and found.get("version") != VERSION:
        raise ValueError(
            f"this evidence has version {found.get('version')!r} and this latelens reads version {VERSION}: "
            "run `pip install --upgrade latelens`, or rerank again"
        )
    return dict(found)


def ours(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What latelens wrote under its key, ``{}`` for nothing: a user's own value under that name has no version."""
    found = metadata.get(KEY)
    known = isinstance(found, Mapping) and isinstance(found.get("version"), int)
    return found if known and isinstance(found, Mapping) else {}


def marked(metadata: Mapping[str, Any], found: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy with `found` under our key, None for nothing of ours.

    Raises
    ------
    ValueError
        If the key holds something that is not ours, which would be lost.
    """
    if found is None:
        return {key: value for key, value in metadata.items() if key != KEY or not ours(metadata)}
    if KEY in metadata and not ours(metadata):
        raise ValueError(
            f"the metadata key {KEY!r} is where evidence goes, and a chunk has {shown(metadata[KEY])} there: rename "
            "yours, or set explain='off'"
        )
    return {**{key: value for key, value in metadata.items() if key != KEY}, KEY: dict(found)}


def found_through(found: Mapping[str, Any], id: str, text: str, at: int) -> dict[str, Any]:
    """What was said of a text, for another that it led to; `at` is where the text begins there, -1 for nowhere.

    Positions are then the other's; without a place there are none. Under ``found_by`` stands what led there, with its
    evidence in its own text.
    """
    said = {name: value for name, value in found.items() if name != "tokens" or at >= 0}
    for name in ("evidence", "tokens") if at >= 0 else ():
        if name in found:
            said[name] = [_moved(item, at) for item in found[name]]
    if at < 0:
        said["evidence"] = []
    return {**said, "found_by": {"id": id, "text": text, "evidence": list(found["evidence"])}}


def _moved(item: Mapping[str, Any], by: int) -> dict[str, Any]:
    places = ("start", "end", "phrase_start", "phrase_end")
    kept = {name: value for name, value in item.items() if name not in ("source_start", "source_end")}
    moved = {name: value + by if name in places and value is not None else value for name, value in kept.items()}
    return {**moved, "one_of": [_moved(word, by) for word in item["one_of"]]} if "one_of" in item else moved


def earlier_score(metadata: Mapping[str, Any], score: object) -> float | None:
    """The score that retrieval gave a chunk: the one noted by an earlier pass, else `score` if it is a number."""
    if noted := ours(metadata):
        score = noted.get("retrieval_score")
    if isinstance(score, bool) or not hasattr(score, "__float__"):
        return None
    value = float(score)
    return value if math.isfinite(value) else None


def text_of(source: Any) -> str:
    """The text of a chunk, which the spans of its evidence count: of a `Document`, a node, or either as a dict.

    Raises
    ------
    TypeError
        If it has none.
    """
    inner = source.get("node", source) if isinstance(source, Mapping) else getattr(source, "node", source)
    for holder in (inner, _part(inner, "text_resource")):
        for name in ("page_content", "text"):
            text = _part(holder, name)
            if isinstance(text, str):
                return text
    raise TypeError(f"expected a Document, a node or a dict with a text, got {type(source).__name__}")


def _part(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def metadata_of(source: Any) -> Mapping[str, Any]:
    """The metadata of a chunk: of a `Document`, a node, or either as a dict.

    Raises
    ------
    TypeError
        If it has none.
    """
    if isinstance(source, Mapping):
        if KEY in source:
            return source
        inner = source.get("metadata", source.get("node"))
    else:
        inner = getattr(source, "metadata", None)
    if isinstance(source, Mapping) and isinstance(inner, Mapping) and "metadata" in inner and KEY not in inner:
        inner = inner["metadata"]  # a NodeWithScore as a dict: {"node": {"metadata": ...}}
    if not isinstance(inner, Mapping):
        raise TypeError(f"expected a Document, a node or a dict with metadata, got {type(source).__name__}")
    return inner


def _evidence(span: EvidenceSpan, source_start: int | None) -> dict[str, Any]:
    item: dict[str, Any] = {
        "start": span.start,
        "end": span.end,
        "text": span.text,
        "score": round(span.score, 6),
        "drop": round(span.drop, 6),
        "query_words": list(span.query_words),
        "phrase_start": span.phrase_start,
        "phrase_end": span.phrase_end,
    }
    if span.lexical:
        item["lexical"] = True
    if source_start is not None:
        item["source_start"], item["source_end"] = source_start + span.start, source_start + span.end
    return item


def _token(match: Match, query: str, document: str) -> dict[str, Any]:
    """One match; similarities keep every digit, so that they still sum to the score."""
    query_text, query_span = _labelled(query, match.query_span, match.query_token)
    text, span = _labelled(document, match.document_span, match.document_token)
    token: dict[str, Any] = {
        "query": query_text,
        "query_start": query_span[0],
        "query_end": query_span[1],
        "document": text,
        "start": span[0],
        "end": span[1],
        "similarity": match.similarity,
        "kind": match.kind.name.lower(),
        "document_kind": match.document_kind.name.lower(),
    }
    if match.one_of:
        token["one_of"] = [{"document": document[a:b], "start": a, "end": b} for a, b in match.one_of]
    return token


def _labelled(text: str, span: tuple[int, int], token: str) -> tuple[str, tuple[int | None, int | None]]:
    if span[0] < 0:
        return token, (None, None)
    return text[span[0] : span[1]], span
