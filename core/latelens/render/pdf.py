"""Evidence and citations as highlights in a copy of the PDF that they come from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from latelens.attribution import Attribution
from latelens.bridge.metadata import metadata_of, read_metadata, text_of
from latelens.explanation.results import Ranked
from latelens.pages.files import FilePage, file_page, find_in
from latelens.pages.marking import PdfMark, write_marks
from latelens.pages.opening import open_pages
from latelens.paths import checked_file


@dataclass(frozen=True)
class Highlighted:
    """A marked copy.

    Attributes
    ----------
    path
        Where it was written.
    marks
        What was marked, in the order of the outline.
    missed
        The texts that do not stand in the PDF, or not in one place alone: nothing is marked for them.
    """

    path: Path
    marks: tuple[PdfMark, ...]
    missed: tuple[str, ...]


class _Wanted(NamedTuple):
    """A text to mark: a span of a chunk, and what to say of it."""

    chunk: str
    start: int
    end: int
    where: FilePage | None
    title: str
    comment: str
    colour: int


def highlight(
    path: str | os.PathLike[str],
    found: Sequence[Any] | Attribution,
    target: str | os.PathLike[str],
    *,
    password: str | None = None,
) -> Highlighted:
    """Write a copy of a PDF with the evidence marked, and an outline entry for each mark.

    Each mark is a highlight annotation with a comment: the question, the words of it that the evidence answers, and
    the score; or the claim of an answer that it backs. A source has a colour. The PDF's own bytes stay as they are.

    Parameters
    ----------
    path
        The PDF.
    found
        What `rerank` returned, chunks of LangChain or LlamaIndex that carry evidence, or an attribution. Chunks whose
        metadata names another file are skipped.
    target
        Where to write the copy.
    password
        As `open_pages` takes it; an encrypted PDF cannot be marked.

    Raises
    ------
    TypeError
        If `found` is none of these.
    ValueError
        If the file is no PDF, is encrypted or damaged, or `target` is the file itself.
    """
    target = checked_file("target", target)
    pages = open_pages(path, password=password)
    if not pages.is_pdf:
        raise ValueError(f"{pages.path}: is an image; only a PDF can be marked")
    wanted = list(_cited(found) if isinstance(found, Attribution) else _evidence(found))
    marks, missed = [], []
    for item in wanted:
        if item.where is not None and Path(item.where.path).name != Path(pages.path).name:
            continue
        place = find_in(pages, item.where, item.chunk, item.start, item.end)
        if place is None:
            missed.append(item.chunk[item.start : item.end])
        else:
            marks.append(PdfMark(place, item.title, item.comment, item.colour))
    heading = "Sources of the answer" if isinstance(found, Attribution) else f"Evidence: {_question(found)}"
    numbers = {spot.page for mark in marks for spot in mark.place.spots}
    shown = [pages[number - 1] for number in sorted(numbers)] or [pages[0]]
    return Highlighted(write_marks(shown, marks, target, heading=heading), tuple(marks), tuple(missed))


def _evidence(found: Sequence[Any]) -> Iterator[_Wanted]:
    """The evidence of each result, best first; the results count as sources."""
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise TypeError(f"expected a ranking, chunks with evidence or an attribution, got {type(found).__name__}")
    for number, item in enumerate(found):
        if isinstance(item, Ranked):
            chunk, where, query = item.explanation.document.text, None, item.explanation.query.text
            spans = [(span.start, span.end, span.query_words, span.score) for span in item.evidence]
        else:
            chunk, where = text_of(item), file_page(metadata_of(item))
            carried = read_metadata(item)
            query = str(carried.get("query", ""))
            evidence = carried.get("evidence", ())
            spans = [(one["start"], one["end"], one["query_words"], one["score"]) for one in evidence]
        for start, end, words, score in spans:
            answers = f"\nanswers: {', '.join(words)}" if words else ""
            comment = f"{query}{answers}\nscore {score:.2f}, result {number + 1}"
            yield _Wanted(chunk, start, end, where, f"{number + 1}. {chunk[start:end]}", comment, number)


def _cited(attribution: Attribution) -> Iterator[_Wanted]:
    """The distinct cited texts by their marks, each with the claims that it backs."""
    backs: dict[tuple[int, int, int], list[str]] = {}
    for claim in attribution.claims:
        for citation in claim.citations:
            key = citation.source_index, citation.source_start, citation.source_end
            backs.setdefault(key, []).append(f"{claim.label}: {claim.text} (score {citation.score:.2f})")
    for mark, citation in enumerate(attribution.references, start=1):
        i, start, end = citation.source_index, citation.source_start, citation.source_end
        source = attribution.sources[i]
        comment = "\n".join([f"[{mark}]", *backs[i, start, end]])
        yield _Wanted(source.text, start, end, source.file, f"[{mark}] {citation.cited_text}", comment, i)


def _question(found: Sequence[Any]) -> str:
    if not found:
        return ""
    first = found[0]
    return first.explanation.query.text if isinstance(first, Ranked) else str(read_metadata(first).get("query", ""))
