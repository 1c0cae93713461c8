"""A million chunks in a `LanceIndex` on one machine: made, searched and opened again. Run by hand.

    python tests/benchmarks/million.py --work FOLDER [--chunks 1000000] [--rows int8] [--data FOLDER]

Chunks are those of `retrieve.py`, made of the rows of more paragraphs: 100 rows of 96 dimensions, each near a real row.
They stream: nothing but the index is kept, 21 KB a chunk with int8 rows. Recall is against the scores of all chunks for
the first 20 questions, computed from the rows as they are kept while they stream by.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from retrieve import DATA
from retrieve_rows import KnownRows, SyntheticRows, real

from latelens import TokenEmbeddings, load_encoder
from latelens.index import Chunk
from latelens.index.exact.stored_rows import ROW_TYPES, StoredRows
from latelens.index.lance import LanceIndex

_CUTOFF, _BATCH, _SAMPLED, _CALLERS = 10, 4096, 20, (1, 4)


class Scored(SyntheticRows):
    """Scores each chunk exactly, by its rows as they will be kept, when it makes them; `seconds` is what both took."""

    def __init__(self, known: KnownRows, paragraphs: int, count: int, row_type: str, questions: list[str]) -> None:
        super().__init__(known, paragraphs=paragraphs)
        queries = [query.vectors for query in self.encode_queries(questions)]
        self._together = np.concatenate(queries)
        self._edges = np.cumsum([0, *map(len, queries)])[:-1]
        self._row_type, self.seconds = row_type, 0.0
        self.scores = np.full((len(queries), count), -np.inf, dtype=np.float32)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        start = time.process_time()
        found = super().encode_documents(texts)
        for first in range(0, len(found), 32):
            self._score(found[first : first + 32], [int(text) for text in texts[first : first + 32]])
        self.seconds += time.process_time() - start
        return found

    def _score(self, some: Sequence[TokenEmbeddings], chunks: list[int]) -> None:
        rows = StoredRows(np.concatenate([one.vectors for one in some])).as_type(self._row_type).exact()
        starts = np.cumsum([0, *map(len, some)])[:-1]
        strongest = np.maximum.reduceat(self._together @ rows.T, starts, axis=1)  # (all query rows, chunks)
        self.scores[:, chunks] = np.add.reduceat(strongest, self._edges, axis=0)

    def best(self) -> list[set[str]]:
        """The best chunks for each question."""
        return [{f"{i:07d}" for i in np.argpartition(-row, _CUTOFF)[:_CUTOFF].tolist()} for row in self.scores]


def chunks(count: int) -> Iterator[Chunk]:
    return (Chunk(f"{i:07d}", str(i), {"part": i % 10}) for i in range(count))


def timed(step: Any) -> tuple[float, float]:
    """Seconds by the clock, and of all processors."""
    start, used = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - start, time.process_time() - used


def measure(encoder: Scored, folder: Path, count: int, row_type: Any, questions: list[str]) -> dict[str, Any]:
    index = LanceIndex(encoder, folder, rows=row_type, index_from=None)
    added = timed(partial(index.add, chunks(count), batch_size=_BATCH))
    making = encoder.seconds
    print(f"added in {added[0]:.0f} s, processor {added[1]:.0f} s, rows and scores {making:.0f} s of it", flush=True)
    built = timed(index.build_index)
    print(f"index in {built[0]:.0f} s ({built[1]:.0f})", flush=True)
    found: dict[str, Any] = {"chunks": count, "rows": row_type, "add": [added[0], added[1] - making], "build": built}
    found["peak_gb_of_building"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found["disk_bytes_a_chunk"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / count
    found["lists_bytes_a_chunk"] = sum(file.stat().st_size for file in folder.glob("lists-*/*")) / count
    del index
    found.update(searched(encoder, folder, questions))
    found["recall"] = recall(found.pop("ids"), encoder.best())
    return found


def searched(encoder: Scored, folder: Path, questions: list[str]) -> dict[str, Any]:
    """The folder opened anew, its first search, and searches of one and of several callers."""
    start = time.perf_counter()
    index = LanceIndex.open(folder, encoder)
    opening = time.perf_counter() - start
    first = timed(partial(index.search, questions[0], _CUTOFF))[0]
    print(f"opened in {opening:.2f} s, first search {first * 1e3:.0f} ms", flush=True)
    ids = [[hit.chunk.id for hit in index.search(question, _CUTOFF)] for question in questions]

    def search(question: str) -> float:
        return timed(partial(index.search, question, _CUTOFF))[0]

    found: dict[str, Any] = {"open_s": opening, "first_ms": first * 1e3, "ids": ids}
    for callers in _CALLERS:
        with ThreadPoolExecutor(callers) as pool:
            start, used = time.perf_counter(), time.process_time()
            clock = [1e3 * seconds for seconds in pool.map(search, questions)]
            seconds, processor = time.perf_counter() - start, time.process_time() - used
        found[f"callers_{callers}"] = {
            "p50_ms": statistics.median(clock),
            "p99_ms": float(np.quantile(clock, 0.99)),
            "a_second": len(questions) / seconds,
            "processor_ms": 1e3 * processor / len(questions),
        }
        print(callers, "callers:", found[f"callers_{callers}"], flush=True)
    return found


def recall(found: list[list[str]], expected: list[set[str]]) -> float:
    return statistics.fmean(len(set(ids) & true) / len(true) for ids, true in zip(found, expected, strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for encoded rows and the index")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of squad_dev and scifact")
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--rows", choices=ROW_TYPES, default="int8")
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--paragraphs", type=int, default=4000, help="whose rows the chunks are made of")
    options = parser.parse_args()
    known, _, _ = real(load_encoder("offline/all-MiniLM-L6-v2"), options.data, options.work)
    folder = options.work / f"million-{options.chunks}-{options.rows}"
    questions = list(known.queries)[: options.questions]
    encoder = Scored(known, options.paragraphs, options.chunks, options.rows, questions[:_SAMPLED])
    print(json.dumps(measure(encoder, folder, options.chunks, options.rows, questions), indent=1))


if __name__ == "__main__":
    main()
