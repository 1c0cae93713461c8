"""Boxes on pages: how much of a quoted text they cover and nothing else, and what it costs.

    python tests/benchmarks/pages.py --data ../shared/data/pdfs
    python tests/benchmarks/pages.py --data ../shared/data/pdfs --texts texts.jsonl --pages 40

Quotes are sentences of text that latelens, pypdf or pdfplumber extracted from a page, or another program: ``--texts``
names what `page_texts.py` wrote. The truth is pdfplumber's: every character it sees has a box, and of its own text it
says which character is which. For the others, what stands under the boxes is read back in the order of the file and
compared with the quote, letter by letter.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from made_pdfs import column, made_pdf
from rapidfuzz.distance import LCSseq

from latelens.pages import Page, Place, locate, locate_span, open_pages
from latelens.pages.marking import PdfMark, write_marks
from latelens.pages.skeleton import skeleton

SENTENCE = re.compile(r"[A-Z][^.?!]{40,400}[.?!]", re.DOTALL)


class Seen(NamedTuple):
    """A page as pdfplumber sees it."""

    chars: list[dict[str, Any]]
    centres: np.ndarray  # (chars, 2) as fractions of the page
    text: str
    sources: list[int]  # for each character of the text, the index of its char, -1 for spaces it added


class Row(NamedTuple):
    """One quote: None where it was not located."""

    coverage: float | None
    precision: float | None
    right_page: bool | None


def seen_by_pdfplumber(page: Any) -> Seen:
    left, top, right, bottom = page.bbox
    chars = [char for char in page.chars if char["text"].strip()]
    centres = [((c["x0"] + c["x1"]) / 2, (c["top"] + c["bottom"]) / 2) for c in chars]
    scaled = (np.array(centres).reshape(-1, 2) - (left, top)) / (right - left, bottom - top)
    order = {id(char): i for i, char in enumerate(chars)}
    textmap = page.get_textmap()
    pairs = [(text, -1 if char is None else order.get(id(char), -1)) for text, char in textmap.tuples]
    return Seen(chars, scaled, "".join(text for text, _ in pairs), [i for _, i in pairs])


def inside(seen: Seen, place: Place, number: int) -> np.ndarray:
    """Which of the page's characters have their middle in a box, (chars,) bool."""
    found = np.zeros(len(seen.chars), dtype=bool)
    for spot in place.spots:
        if spot.page == number:
            for left, top, right, bottom in spot.boxes:
                x, y = seen.centres.T
                found |= (left <= x) & (x <= right) & (top <= y) & (y <= bottom)
    return found


def quotes(text: str, most: int, generator: random.Random) -> list[tuple[int, int]]:
    spans = [match.span() for match in SENTENCE.finditer(text) if len(skeleton(match[0]).text) >= 30]
    return generator.sample(spans, min(most, len(spans)))


def by_characters(seen: Seen, start: int, end: int, place: Place, number: int) -> tuple[float, float]:
    """Coverage and precision where the truth of each character is known."""
    true = np.zeros(len(seen.chars), dtype=bool)
    true[[i for i in seen.sources[start:end] if i >= 0]] = True
    under = inside(seen, place, number)
    return float((true & under).sum() / true.sum()), float((true & under).sum() / max(under.sum(), 1))


def by_reading_back(seen: Seen, quote: str, place: Place, number: int) -> tuple[float, float]:
    """Coverage and precision by the letters that stand under the boxes, in the order of the file."""
    under = inside(seen, place, number)
    read = skeleton("".join(char["text"] for char, hit in zip(seen.chars, under, strict=True) if hit)).text
    wanted = skeleton(quote).text
    common = LCSseq.similarity(wanted, read)
    return common / len(wanted), common / max(len(read), 1)


class Asked(NamedTuple):
    """What is measured: quotes of each page and text, pages of each file, and texts by program of file and page."""

    quotes: int
    pages: int
    seed: int
    texts: dict[tuple[str, int], dict[str, str]]


def read_texts(path: Path | None) -> dict[tuple[str, int], dict[str, str]]:
    """What `page_texts.py` wrote: a text by each program of each file and page."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path else ():
        row = json.loads(line)
        found.setdefault((row["file"], row["page"]), {})[row["by"]] = row["text"]
    return found


def measure(folder: Path, asked: Asked) -> dict[tuple[str, str], list[Row]]:
    import pdfplumber
    import pypdf

    generator, rows = random.Random(asked.seed), {}
    for path in sorted(folder.glob("*.pdf")):
        pages = open_pages(path).all()
        reader = pypdf.PdfReader(path)
        with pdfplumber.open(path) as document:
            for i in np.unique(np.linspace(0, len(pages) - 1, min(asked.pages, len(pages))).astype(int)).tolist():
                page, seen = pages[i], seen_by_pdfplumber(document.pages[i])
                texts = {"latelens": page.text, "pypdf": reader.pages[i].extract_text(), "pdfplumber": seen.text}
                texts |= asked.texts.get((path.name, page.number), {})
                for name, text in texts.items():
                    for start, end in quotes(text, asked.quotes, generator):
                        row = located(pages, page, seen, text, (start, end), own=name == "pdfplumber")
                        rows.setdefault((path.name, name), []).append(row)
                document.pages[i].close()
    return rows


def located(pages: Sequence[Page], page: Page, seen: Seen, text: str, span: tuple[int, int], *, own: bool) -> Row:
    start, end = span
    anywhere = locate_span(pages, text, start, end)
    right = None if anywhere is None else anywhere.page == page.number
    place = locate_span([page], text, start, end)
    if place is None:
        return Row(None, None, right)
    if own:
        return Row(*by_characters(seen, start, end, place, page.number), right)
    return Row(*by_reading_back(seen, text[start:end], place, page.number), right)


def print_table(rows: dict[tuple[str, str], list[Row]]) -> None:
    print(f"{'file':38}{'text by':12}{'quotes':>7}{'found':>7}{'cover':>8}{'precise':>8}{'wrong page':>11}")
    totals: dict[str, list[Row]] = {}
    for (file, name), found in rows.items():
        print_row(file, name, found)
        totals.setdefault(name, []).extend(found)
    for name, found in totals.items():
        print_row("all", name, found)


def print_row(file: str, name: str, rows: Sequence[Row]) -> None:
    placed = [row for row in rows if row.coverage is not None]
    cover, precise = (np.mean([row[i] for row in placed]) for i in (0, 1))
    wrong = sum(row.right_page is False for row in rows)
    share = len(placed) / len(rows)
    print(f"{file[:37]:38}{name:12}{len(rows):7}{share:7.1%}{cover:8.2%}{precise:8.2%}{wrong:11}")


def milliseconds(work: Callable[[], object], times: int) -> float:
    started = time.process_time()
    for _ in range(times):
        work()
    return 1000 * (time.process_time() - started) / times


def costs(folder: Path) -> Iterator[tuple[str, float, str]]:
    """What is measured, CPU milliseconds, the aim."""
    for path in sorted(folder.glob("*.pdf")):
        pages = open_pages(path)
        taken = milliseconds(lambda pages=pages: [page.words for page in pages], 1) / len(pages)
        yield f"words with boxes, a page of {path.name[:24]}", taken, "70 ms"
    page = open_pages(folder / "qed_tacl2021.pdf")[3]
    quote = page.text[500:800]
    locate([page], quote)
    yield "locate, 300 characters as they stand", milliseconds(lambda: locate([page], quote), 50), "5 ms"
    near = quote.replace("annotation", "anotation").replace("we", "wc")
    yield "locate, 300 characters with faults", milliseconds(lambda: locate([page], near), 50), "5 ms"
    with tempfile.TemporaryDirectory() as scratch:
        texts = [f"Machine {i} is checked after {7 * i} hours. {page.text[:2500]}" for i in range(1, 101)]
        path = Path(scratch, "hundred.pdf")
        path.write_bytes(made_pdf(*(column(text, top=770, leading=11) for text in texts), font=9))
        yield "open, find and mark 20 spans in 100 pages", milliseconds(lambda: mark(path, texts), 1), "2,000 ms"
        yield "image at 144 dpi", milliseconds(lambda: page.image(144), 3), ""


def mark(path: Path, texts: Sequence[str]) -> None:
    pages = open_pages(path)
    every = pages.all()
    wanted = [text[: text.index(".") + 1] for text in texts[::5]]
    places = [locate(every, text) for text in wanted]
    marks = [PdfMark(place, text) for place, text in zip(places, wanted, strict=True) if place]
    if len(marks) != 20:
        raise RuntimeError(f"{len(marks)} of 20 spans were found")
    write_marks(every, marks, path.with_suffix(".marked.pdf"), heading="benchmark")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of PDFs")
    parser.add_argument("--quotes", type=int, default=4, help="quotes of each page and text (default: %(default)s)")
    parser.add_argument("--pages", type=int, default=100, help="pages of each file at most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of the choice of quotes (default: %(default)s)")
    parser.add_argument("--texts", type=Path, help="texts by other programs, which page_texts.py wrote")
    parser.add_argument("--no-costs", action="store_true", help="measure no times")
    parsed = parser.parse_args()
    for what, taken, aim in () if parsed.no_costs else costs(parsed.data):
        print(f"{what:58}{taken:9.2f} ms{f'  aim {aim}' if aim else ''}")
    asked = Asked(parsed.quotes, parsed.pages, parsed.seed, read_texts(parsed.texts))
    print_table(measure(parsed.data, asked))


if __name__ == "__main__":
    main()
