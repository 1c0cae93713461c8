"""A million chunks in a `LanceIndex` on one machine: made, opened again and searched. Run by hand.

    python tests/benchmarks/million.py --work FOLDER [--chunks 1000000] [--rows int8] [--data FOLDER]

Chunks are those of `retrieve.py`, made of the rows of more paragraphs: 100 rows of 96 dimensions, each near a real row.
They stream: nothing but the index is kept, 21 KB a chunk with int8 rows. A run that was stopped goes on where it was
when it is started again. Recall is against MaxSim with the stored rows of all chunks, for the first 20 questions.
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
from retrieve_rows import SyntheticRows, real

from latelens import TokenEmbeddings, load_encoder
from latelens.index import Chunk
from latelens.index.exact.stored_rows import ROW_TYPES
from latelens.index.lance import LanceIndex
from latelens.index.lance.columns import ROWS, unpack

_CUTOFF, _BATCH, _SAMPLED, _CALLERS = 10, 4096, 20, (1, 4)


class Timed(SyntheticRows):
    """Notes the processor time that making rows takes: a build does not pay for it."""

    seconds = 0.0

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        start = time.process_time()
        found = super().encode_documents(texts)
        self.seconds += time.process_time() - start
        return found


def chunks(count: int) -> Iterator[Chunk]:
    return (Chunk(f"{i:07d}", str(i), {"part": i % 10}) for i in range(count))


def timed(step: Any) -> tuple[float, float]:
    """Seconds by the clock, and of all processors."""
    start, used = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - start, time.process_time() - used


def measure(encoder: Timed, folder: Path, count: int, row_type: Any, questions: list[str]) -> dict[str, Any]:
    index = LanceIndex(encoder, folder, rows=row_type, index_from=None)
    there = index.count()
    added = timed(partial(index.add, chunks(count), batch_size=_BATCH))
    print(f"added {count - there:,} in {added[0]:.0f} s, processor {added[1] - encoder.seconds:.0f} s", flush=True)
    built = timed(index.build_index)
    print(f"index in {built[0]:.0f} s, processor {built[1]:.0f} s", flush=True)
    found: dict[str, Any] = {"chunks": count, "rows": row_type, "there": there, "build_s": built}
    found["add_s"] = added[0], added[1] - encoder.seconds
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found["bytes_a_chunk"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / count
    found["of_lists"] = sum(file.stat().st_size for file in folder.glob("lists-*/*")) / count
    del index
    ids, times = searched(encoder, folder, questions)
    print(json.dumps(found | times), flush=True)
    best = of_all(encoder, folder, questions[:_SAMPLED])
    return {
        **found,
        **times,
        "recall": statistics.fmean(len(a & set(b)) / _CUTOFF for a, b in zip(best, ids, strict=False)),
    }


def searched(encoder: Timed, folder: Path, questions: list[str]) -> tuple[list[list[str]], dict[str, Any]]:
    """The folder opened anew, its first search, and searches of one and of several callers."""
    start = time.perf_counter()
    index = LanceIndex.open(folder, encoder)
    opening = time.perf_counter() - start
    first = timed(partial(index.search, questions[0], _CUTOFF))[0]
    print(f"opened in {opening:.2f} s, first search {first * 1e3:.0f} ms", flush=True)
    ids = [[hit.chunk.id for hit in index.search(question, _CUTOFF)] for question in questions]

    def search(question: str) -> float:
        return timed(partial(index.search, question, _CUTOFF))[0]

    found: dict[str, Any] = {"open_s": opening, "first_ms": first * 1e3}
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
    return ids, found


def of_all(encoder: Timed, folder: Path, questions: list[str]) -> list[set[str]]:
    """The best of all chunks for each question, by MaxSim with the rows as they are stored."""
    snapshot = LanceIndex.open(folder, encoder)._table.snapshot()
    assert snapshot is not None
    queries = [query.vectors for query in encoder.encode_queries(questions)]
    together, edges = np.concatenate(queries), np.cumsum([0, *map(len, queries)])[:-1]
    ids: list[str] = []
    scores = []
    for batch in snapshot.batches(["id", *ROWS], 64):
        offsets, rows = unpack(batch, snapshot.dim, snapshot.row_type)
        strongest = np.maximum.reduceat(together @ rows.exact().T, offsets[:-1], axis=1)  # (all query rows, chunks)
        scores.append(np.add.reduceat(strongest, edges, axis=0))
        ids += batch["id"].to_pylist()
    return [{ids[i] for i in np.argpartition(-row, _CUTOFF)[:_CUTOFF].tolist()} for row in np.hstack(scores)]


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
    folder = options.work / f"million-{options.rows}"
    questions = list(known.queries)[: options.questions]
    encoder = Timed(known, paragraphs=options.paragraphs)
    print(json.dumps(measure(encoder, folder, options.chunks, options.rows, questions), indent=1))


if __name__ == "__main__":
    main()
