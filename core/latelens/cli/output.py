"""What the command prints and writes."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Group, RenderableType

from latelens.bridge.boxes import place_json, rounded
from latelens.cli.files import STDIN
from latelens.cli.pages import FoundPage, describe_page
from latelens.cli.search import Finding, Passage
from latelens.explanation.evidence import EvidenceSpan
from latelens.pages.locating import Place, Spot
from latelens.pages.page import Page
from latelens.render.ledger import ledger
from latelens.render.terminal.ranking import format_ledger, format_ranking

VERSION = 1

Hit: TypeAlias = Finding | FoundPage


def show(hits: Sequence[Hit], *, why: bool) -> RenderableType:
    """The passages or pages, best first, each followed by its ledger if asked for."""
    names = [hit.place for hit in hits]
    if not why:
        return format_ranking([hit.ranked for hit in hits], names=names)
    parts: list[RenderableType] = []
    for rank, hit in enumerate(hits, start=1):
        ledger_of = format_ledger(hit.ranked.explanation, page=hit.ranked.page)
        parts += [format_ranking([hit.ranked], names=names, first_rank=rank), ledger_of]
    return Group(*parts)


def as_json(hits: Sequence[Hit], *, question: str, model: str | None, counted: Mapping[str, int], why: bool) -> str:
    """The result as JSON of builtin types; positions are characters (code points) of the file's text.

    `counted` says how many files, and how many passages or pages of them, were read.
    """
    described = {
        "version": VERSION,
        "question": question,
        "model": model,
        **counted,
        "results": [_describe(hit, rank, why=why) for rank, hit in enumerate(hits, start=1)],
    }
    return json.dumps(described, indent=2)


def _describe(hit: Hit, rank: int, *, why: bool) -> dict[str, Any]:
    described = describe_page(hit, rank) if isinstance(hit, FoundPage) else _describe_passage(hit, rank)
    if why:
        described["ledger"] = [
            {
                "query": line.label,
                "kind": line.kind.name.lower(),
                "matched": list(line.matched),
                "contribution": line.contribution,
                **({"boxes": [cell.box and list(rounded([cell.box])[0]) for cell in line.cells]} if line.cells else {}),
            }
            for line in ledger(hit.ranked.explanation, page=hit.ranked.page)
        ]
    return described


def _describe_passage(hit: Finding, rank: int) -> dict[str, Any]:
    passage, ranked = hit.passage, hit.ranked
    return {
        "rank": rank,
        "file": passage.file.name,
        "page": passage.file.page_at(passage.start),
        "line": passage.file.line_at(passage.start),
        "start": passage.start,
        "end": passage.end,
        "text": passage.text,
        "score": ranked.score,
        "mean_similarity": ranked.explanation.mean_similarity,
        "relevance": ranked.relevance,
        "complete": ranked.explanation.document.complete,
        "evidence": [_describe_span(span, passage) for span in ranked.evidence],
        "uncovered": list(ranked.explanation.uncovered),
    }


def _describe_span(span: EvidenceSpan, passage: Passage) -> dict[str, Any]:
    start = passage.start
    place = passage.file.place_at(start + span.start, start + span.end)
    return {
        "start": start + span.start,
        "end": start + span.end,
        "text": span.text,
        "score": span.score,
        "drop": span.drop,
        "query_words": list(span.query_words),
        "phrase_start": start + span.phrase_start,
        "phrase_end": start + span.phrase_end,
        **({"lexical": True} if span.lexical else {}),
        **({} if place is None else place_json(place)),
    }


def check_plot(target: str) -> None:
    """Refuse before the long work a picture that could not be drawn or written after it.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If it writes no pictures with such a suffix.
    """
    from latelens.render import plot

    known = sorted(plot.Picture().canvas.get_supported_filetypes())
    if Path(target).suffix.lower().removeprefix(".") not in known:
        raise ValueError(f"--plot {target!r} must end in one of .{', .'.join(known)}")


def check_target(target: str | None, sources: Sequence[str]) -> None:
    """Refuse to write over a file that is read, whatever it is called in the one place and the other.

    Raises
    ------
    ValueError
        If the target is one of the sources, also behind a link.
    """
    if target is None or not Path(target).exists():
        return
    source = next((name for name in sources if _is_same(name, target)), None)
    if source is not None:
        called = "" if source == target else f", {source!r}"
        raise ValueError(f"{target!r} is one of the files to read{called}, and would be overwritten; name another")


def _is_same(source: str, target: str) -> bool:
    try:
        found = os.fstat(sys.stdin.fileno()) if source == STDIN else Path(source).stat()
    except OSError:  # a broken link, or a standard input that is no file
        return False
    return os.path.samestat(found, Path(target).stat())


def write_plot(hits: Sequence[Hit], target: str) -> str:
    """Draw the best passage, or page, against the question, and say what was written."""
    from latelens.render import plot

    best = hits[0]
    explanation = best.ranked.explanation
    page = best.page if isinstance(best, FoundPage) else None
    drawn = plot.plot_similarity(explanation) if page is None else plot.plot_page(explanation, page)
    drawn.savefig(target, dpi=150, bbox_inches="tight")
    return target


def write_html(hits: Sequence[Hit], target: str) -> str:
    """Write a report on all hits, with pictures of their pages where they have any, and say what was written."""
    from latelens.render.html.ranking import report

    ranked, names = [hit.ranked for hit in hits], [hit.place for hit in hits]
    pages = [hit.page if isinstance(hit, FoundPage) else _page_of(hit.passage) for hit in hits]
    drawn = any(pages) and importlib.util.find_spec("PIL")
    report(ranked, names=names, pages=pages if drawn else None).save(target)
    return target


def _page_of(passage: Passage) -> Page | None:
    """The page on which a passage begins."""
    number = passage.file.page_at(passage.start)
    return passage.file.paper[number - 1] if number and passage.file.name != STDIN else None


def write_pdf(hits: Sequence[Hit], target: str) -> str:
    """Write a copy of the PDF that the best hit is from, with the evidence of all its hits marked.

    It is said what was written, and which other PDFs hits are from: a copy shows one.

    Raises
    ------
    ValueError
        If no hit is from a PDF file, or the PDF cannot be marked.
    ImportError
        If pypdf is not installed.
    """
    from latelens.pages.marking import PdfMark, write_marks

    papers = [pages for hit in hits if (pages := _papers(hit))]
    if not papers:
        raise ValueError("--pdf marks passages of a PDF file, and none of those found is from one")
    query, source = hits[0].ranked.explanation.query.text, papers[0][0].source
    marks = []
    for rank, hit in enumerate(hits, start=1):
        for place, title, words, score in _evidence(hit) if source in {page.source for page in _papers(hit)} else ():
            answers = f"\nanswers: {', '.join(words)}" if words else ""
            comment = f"{query}{answers}\nscore {score:.2f}, result {rank}"
            marks.append(PdfMark(place, f"{rank}. {title}", comment, rank - 1))
    own = dict.fromkeys(page for pages in papers for page in pages if page.source == source)
    write_marks(list(own), marks, target, heading=f"Evidence: {query}")
    others = dict.fromkeys(pages[0].source for pages in papers if pages[0].source != source)
    rest = f"; not in it: what was found in {', '.join(others)}" if others else ""
    return f"{target}, a marked copy of {source}{rest}"


def _papers(hit: Hit) -> Sequence[Page]:
    """The pages that a hit may be marked on: those of its PDF file that are read."""
    pages = ((hit.page,) if hit.is_pdf else ()) if isinstance(hit, FoundPage) else hit.passage.file.paper
    return [page for page in pages if page.source != STDIN]


def _evidence(hit: Hit) -> Iterator[tuple[Place, str, tuple[str, ...], float]]:
    """Each piece of a hit's evidence: its place, what stands there, the words that it answers, its score."""
    if isinstance(hit, FoundPage):
        for region in hit.ranked.regions:
            place = Place((Spot(hit.page.number, (), (region.box,)),), 1.0)
            yield place, region.words or "region", region.query_words, region.score
        return
    for span in hit.ranked.evidence:
        found = hit.passage.file.place_at(hit.passage.start + span.start, hit.passage.start + span.end)
        if found is not None:
            yield found, span.text, span.query_words, span.score
