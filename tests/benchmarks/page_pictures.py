"""What explaining and showing a page image costs: maps, regions, words, overlay, HTML, metadata.

    python tests/benchmarks/page_pictures.py --data ../shared/data/pdfs

The rows are planted: each of 32 x 32 cells is the mean of vectors of the words that stand there, and random between
them. They say nothing of how well a model finds; sizes and times are those of a real page with 1,030 rows of 128.
Times are CPU milliseconds on one thread, medians over the pages, each the best of three.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from page_images import page_rows
from PIL.Image import Image

from latelens import TokenEmbeddings, cell_matches, explain, find_regions, page_maps
from latelens.bridge.metadata import to_metadata
from latelens.explanation.matches import Explanation
from latelens.explanation.results import Ranked
from latelens.pages import Page, open_pages
from latelens.pages.under import words_in
from latelens.patches import Grid
from latelens.render.html import report
from latelens.render.pictures import overlay
from latelens.text.characters import words

GRID, DIM, PROMPT = Grid(32, 32), 128, 6
QUERY_WORDS = 20


def vector(word: str) -> np.ndarray:
    drawn = np.random.default_rng(zlib.crc32(word.lower().encode())).standard_normal(DIM)
    return drawn / np.linalg.norm(drawn)


def planted(page: Page) -> TokenEmbeddings:
    """Rows of a page: six of a prompt, then its cells."""
    rng = np.random.default_rng(0)
    rows = [0.3 * rng.standard_normal((PROMPT, DIM))]
    for left, top, right, bottom in GRID.boxes().tolist():
        noise = 0.05 * rng.standard_normal((1, DIM))
        rows.append(noise + sum(map(vector, words_in(page, (left, top, right, bottom))), np.zeros(DIM)))
    stacked = np.concatenate(rows)
    return page_rows(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), (GRID,), prompt=PROMPT, text=page.text)


def query_of(page: Page) -> TokenEmbeddings:
    """Twenty words from the middle of the page, a row each."""
    middle = len(page.words) // 2
    text = " ".join(word.text for word in page.words[middle : middle + QUERY_WORDS])
    spans = words(text)
    tokens = tuple(text[start:end] for start, end in spans)
    vectors = np.stack([vector(token) for token in tokens]).astype(np.float32)
    return TokenEmbeddings(text, vectors, tokens, spans.astype(np.int32), np.zeros(len(tokens), dtype=np.uint8))


def milliseconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(3):
        start = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - start))
    return min(taken)


@dataclass(frozen=True)
class _Drawn:
    """Gives a page's picture without drawing it again."""

    picture: Image

    def draw(self, number: int, dpi: int | None) -> Image:
        return self.picture


def measured(page: Page, explanation: Explanation) -> dict[str, float]:
    regions = find_regions(explanation, page=page)
    ranked = Ranked(0, explanation.score, explanation, (), None, regions, page)
    told = to_metadata(ranked, query=explanation.query.text, model="planted", rank=1, page=page)
    drawn = replace(page, drawn_by=_Drawn(page.image()))

    def explained() -> None:
        page_maps(explanation)
        find_regions(explanation, page=page)
        cell_matches(explanation, page=page)

    return {
        "maps, regions, words and cells": milliseconds(explained),
        "overlay of a drawn page": milliseconds(lambda: overlay(explanation, drawn)),
        "drawing the page at 144 dpi": milliseconds(page.image),
        "metadata with regions, bytes": float(len(json.dumps(told))),
    }


def reports(found: Sequence[Ranked]) -> dict[str, float]:
    """Reports of three pages each; the query of the first counts for all."""
    sizes, taken = [], []
    for i in range(0, len(found) - 2, 3):
        query = found[i].explanation.query
        three = []
        for number, each in enumerate(found[i : i + 3]):
            explanation = explain(query, each.explanation.document)
            regions = find_regions(explanation, page=each.page)
            three.append(Ranked(number, explanation.score, explanation, (), None, regions, each.page))
        start = time.process_time()
        sizes.append(len(report(three).page().encode()))
        taken.append(1000 * (time.process_time() - start))
    return {
        "HTML of three pages": statistics.median(taken),
        "HTML of three pages, KB": statistics.median(sizes) / 1000,
        "HTML of three pages, KB, largest": max(sizes) / 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of PDFs")
    parser.add_argument("--pages", type=int, default=12, help="pages of each file at most (default: %(default)s)")
    parsed = parser.parse_args()
    rows: list[dict[str, float]] = []
    found: list[Ranked] = []
    for path in sorted(parsed.data.glob("*.pdf")):
        pages = open_pages(path)
        for i in np.unique(np.linspace(0, len(pages) - 1, min(parsed.pages, len(pages))).astype(int)).tolist():
            page = pages[i]
            if len(page.words) < 2 * QUERY_WORDS:
                continue
            explanation = explain(query_of(page), planted(page))
            rows.append(measured(page, explanation))
            found.append(Ranked(0, explanation.score, explanation, (), None, (), page))
    print(f"{len(rows)} pages, {statistics.median(len(each.page.text) for each in found if each.page):.0f} characters")
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:40}{statistics.median(values):9.1f} median {max(values):9.1f} largest")
    for name, value in reports(found).items():
        print(f"{name:40}{value:9.1f}")


if __name__ == "__main__":
    main()
