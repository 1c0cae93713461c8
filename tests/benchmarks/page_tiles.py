"""How well tiles of patches find page images, how large they are and how long a search takes.

    python tests/benchmarks/page_tiles.py [--pages 1000] [--seed 2] [--index exact lance]

Pages are synthetic: blocks of text on 32 x 32 patches, a topic each, whose words cover two patches; questions are 6 to
15 rows from a place of 3 x 10 patches, with noise. The order of the schemes is the finding; the numbers are those of
such pages, not of a model's. The size of a tile was chosen on seeds 0 and 1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens import TilePooling, TokenEmbeddings, TokenKind
from latelens.embeddings import NO_SPAN
from latelens.index import EncodedChunk, ExactIndex, Index, TiledIndex
from latelens.patches import Grid, PatchGrid

_SIDE, _DIM, _PROMPT = 32, 128, 6
_TOPICS, _WORDS = 200, 24


class SyntheticPages:
    """An encoder of pages that are drawn by chance: page ``"7"`` is always the same, as is question ``"7"``."""

    def __init__(self, seed: int, pages: int, side: int = _SIDE) -> None:
        self.name, self.fingerprint, self.dim = "synthetic pages", f"synthetic-{seed}-{side}", _DIM
        self._seed, self._pages, self._side = seed, pages, side
        draw = np.random.default_rng(seed)
        self._topics = _unit(draw.normal(size=(_TOPICS, _WORDS, _DIM)))
        self._base = _unit(draw.normal(size=_DIM))

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        raise ValueError("synthetic pages have no texts")

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return [self.question(int(text)) for text in texts]

    def encode_pages(self, pages: Sequence[Any], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        return [self.page(int(page)) for page in pages]

    def source(self, question: int) -> int:
        """The page that a question is taken from."""
        return int(np.random.default_rng([self._seed, 1, question]).integers(self._pages))

    def page(self, i: int) -> TokenEmbeddings:
        """Rows of a page: those of the prompt, then the patches."""
        patches = self._patches(i)
        vectors = np.concatenate([np.tile(self._base, (_PROMPT, 1)), patches]).astype(np.float32)
        cells = np.maximum(np.arange(len(vectors)) - _PROMPT, -1).astype(np.int32)
        kinds = np.where(cells >= 0, TokenKind.PATCH, TokenKind.MARKER).astype(np.uint8)
        tokens = tuple("<image>" if cell >= 0 else "<bos>" for cell in cells.tolist())
        spans = np.full((len(vectors), 2), NO_SPAN, dtype=np.int32)
        grid = PatchGrid((Grid(self._side, self._side),), cells, f"{i:032x}")
        return TokenEmbeddings("", vectors, tokens, spans, kinds, page=grid)

    def chunks(self) -> Iterator[EncodedChunk]:
        """All pages for an index."""
        for i in range(self._pages):
            yield EncodedChunk(f"{i:05d}", "", {"part": i % 10}, rows=self.page(i), fingerprint=self.fingerprint)

    def _patches(self, i: int) -> NDArray[np.float32]:
        """Blocks of text, a quarter of the patches blank, each with some of its neighbours; (side * side, dim)."""
        draw, side = np.random.default_rng([self._seed, 0, i]), self._side
        laid, top = np.zeros((side, side, _DIM), dtype=np.float32), 0
        while top < side:
            height, left = int(draw.integers(3, 9)), 0
            while left < side:
                width = int(draw.integers(6, 25))
                words = self._topics[draw.integers(_TOPICS)][draw.integers(_WORDS, size=(height, (width + 1) // 2))]
                place = laid[top : top + height, left : left + width]
                place[:] = words.repeat(2, axis=1)[: place.shape[0], : place.shape[1]]
                left += width
            top += height
        laid[draw.random((side, side)) < 0.25] = 0
        laid = 0.8 * laid + 0.5 * self._base + 0.35 * _unit(draw.normal(size=laid.shape))
        return _unit(_blurred(laid).reshape(-1, _DIM))

    @cache  # noqa: B019 - lives as long as the benchmark
    def question(self, i: int) -> TokenEmbeddings:
        """Rows of a question, all of which expand it."""
        draw = np.random.default_rng([self._seed, 1, i])
        patches = self._patches(int(draw.integers(self._pages))).reshape(self._side, self._side, _DIM)
        row, col, count = draw.integers(self._side - 3), draw.integers(self._side - 10), draw.integers(6, 16)
        place = patches[row : row + 3, col : col + 10].reshape(-1, _DIM)
        vectors = _unit(place[draw.integers(len(place), size=count)] + 0.7 * _unit(draw.normal(size=(count, _DIM))))
        spans, kinds = np.full((count, 2), NO_SPAN, dtype=np.int32), np.full(count, TokenKind.EXPANSION, np.uint8)
        return TokenEmbeddings(str(i), vectors, ("",) * int(count), spans, kinds)


def _blurred(laid: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    blurred: NDArray[np.float32] = gaussian_filter(laid, (0.35, 0.35, 0))
    return blurred


def _unit(rows: NDArray[Any]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return unit


def recall(exact: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """The share of the exact best that is among what was found."""
    return float(np.mean([len({*best} & {*some}) / len(best) for best, some in zip(exact, found, strict=True)]))


def measure(index: Index, questions: Sequence[str], k: int) -> tuple[list[list[str]], float]:
    """What is found for each question, and the milliseconds of processor time of one search."""
    for question in questions:  # which are made at first use
        index.encoder.encode_queries([question])
    index.search(questions[0], k)
    start = time.process_time()
    found = [[hit.chunk.id for hit in index.search(question, k)] for question in questions]
    return found, 1000 * (time.process_time() - start) / len(questions)


def _open(kind: str, encoder: Any, path: Path) -> Index:
    if kind == "exact":
        return ExactIndex(encoder, path)
    from latelens.index import LanceIndex

    return LanceIndex(encoder, path)


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def table(encoder: SyntheticPages, count: int, questions: int, kind: str, work: Path) -> Iterator[str]:
    """A row for all patches and one for each size of tile."""
    asked = [str(i) for i in range(questions)]
    pages = _open(kind, encoder, work / kind)
    pages.upsert(encoder.chunks(), batch_size=64)
    exact, taken = measure(pages, asked, 10)
    yield f"| {kind} | all patches | {_bytes(work / kind) // count:,} | 1 | 1 | {taken:.0f} |"
    for side in (2, 4, 8):
        folder = work / f"{kind}-{side}"
        tiled = TiledIndex(pages, _open(kind, TilePooling(encoder, side), folder))
        tiled.catch_up()
        found, taken = measure(tiled, asked, 10)
        first = [[hit.chunk.id for hit in tiled.tiles.search(question, 30)] for question in asked]
        shares = f"{recall(exact, first):.3f} | {recall(exact, found):.3f}"
        yield f"| {kind} | {side} x {side} | {_bytes(folder) // count:,} | {shares} | {taken:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--index", nargs="+", default=["exact", "lance"])
    given = parser.parse_args()
    encoder = SyntheticPages(given.seed, given.pages)
    print("| index | tiles | bytes a page | recall@10 in 30 | recall@10 in 100 | ms a query |")
    print("|---|---|---|---|---|---|")
    for kind in given.index:
        with tempfile.TemporaryDirectory() as work:
            for line in table(encoder, given.pages, given.questions, kind, Path(work)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
