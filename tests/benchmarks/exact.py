"""What brute force costs with and without rounded rows, against the bare product. Run by hand: it prints a table.

    python tests/benchmarks/exact.py [--chunks 1000 20000] [--rows 100] [--dim 96]

Documents are unit rows around the words of topics, so that scores lie apart as they do for texts; queries are 32 rows
of one document's topic each. One thread, processor time, medians over the queries; every search is compared with the
one without rounded rows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

import latelens.index.exact.scoring as scoring
from latelens import TokenEmbeddings
from latelens.index.exact.segments import Segment
from latelens.index.exact.stored_rows import ROW_TYPES, StoredRows
from latelens.rounded import rounded

WORDS, TOPIC, QUERY_ROWS, K = 2000, 30, 32, 10


class Corpus:
    """Synthetic documents as one segment, and queries about some of them."""

    def __init__(self, chunks: int, rows: int, dim: int, queries: int) -> None:
        self.random = np.random.default_rng(0)
        self.words = self.random.standard_normal((WORDS, dim)).astype(np.float32)
        topics = self.random.integers(0, WORDS, (chunks, TOPIC))
        values = np.concatenate([self.rows(topic, rows) for topic in topics])
        offsets = np.arange(0, chunks * rows + 1, rows, dtype=np.int64)
        norm = float(np.linalg.norm(values, axis=1).max()) * 1.0001
        self.segment = Segment(tuple(map(str, range(chunks))), offsets, {}, StoredRows(values), norm, lambda: None)
        self.queries = [embedded(self.rows(topics[i * chunks // queries], QUERY_ROWS)) for i in range(queries)]

    def rows(self, topic: NDArray[np.int64], count: int) -> NDArray[np.float32]:
        words = self.words[topic[self.random.integers(0, len(topic), count)]]
        context = 0.6 * self.random.standard_normal(words.shape).astype(np.float32) + 0.5 * self.words[topic[0]]
        values = words + context
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


class NeverRounded(scoring.RoundedSegments):
    def of(self, segment: Segment, queries: int) -> None:
        return None


def embedded(values: NDArray[np.float32]) -> TokenEmbeddings:
    n = len(values)
    return TokenEmbeddings("x", values, ("x",) * n, np.zeros((n, 2), np.int32), np.zeros(n, np.uint8))


def timed(run: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def bare(query: NDArray[np.float32], values: NDArray[np.float32]) -> None:
    for first in range(0, len(values), 4096):
        query @ values[first : first + 4096].T


def measure(corpus: Corpus) -> tuple[dict[str, float], list[int], float]:
    """Seconds of a query by each way, the chunks that were scored exactly, and seconds to round the rows."""
    segment = corpus.segment
    near = scoring.RoundedSegments()
    rounding, near.kept._kept[segment] = timed(lambda: rounded(segment.stored, segment.norm))
    chosen, looked_at = [(segment, np.arange(len(segment)))], []

    def search(query: TokenEmbeddings, near: scoring.RoundedSegments) -> list[tuple[float, int]]:
        (found,) = scoring.candidates([query], chosen, K, near)
        looked_at.append(len(found))
        return sorted((-scoring.exact_score(query.vectors, segment.rows(i)), i) for i in found.tolist())[:K]

    times: dict[str, list[float]] = {"bare product": [], "float32": [], "rounded rows": []}
    for query in corpus.queries:
        times["bare product"].append(timed(lambda q=query: bare(q.vectors, segment.stored.values))[0])
        seconds, exact = timed(lambda q=query: search(q, NeverRounded()))
        times["float32"].append(seconds)
        seconds, found = timed(lambda q=query: search(q, near))
        times["rounded rows"].append(seconds)
        assert found == exact
    return {name: statistics.median(values) for name, values in times.items()}, looked_at[1::2], rounding


def measure_types(corpus: Corpus) -> list[tuple[str, float, float, float, float, float]]:
    """For each type of rows: bytes a chunk, seconds to make them, seconds a query, recall, the largest score error."""
    whole, best, found = corpus.segment, [], []
    for row_type in ROW_TYPES:
        seconds, rows = timed(lambda kind=row_type: whole.stored.as_type(kind))
        segment = replace(whole, stored=rows)
        chosen, times, off, recall = [(segment, np.arange(len(segment)))], [], 0.0, []
        for i, query in enumerate(corpus.queries):
            took, scores = timed(lambda q=query, c=chosen: scoring.scores_of([q], c[0][0], c[0][1])[0])
            times.append(took)
            if row_type == "float32":
                best.append((scores, set(np.argsort(-scores)[:K].tolist())))
            off = max(off, float(np.abs(scores - best[i][0]).max()))
            recall.append(len(best[i][1] & set(np.argsort(-scores)[:K].tolist())) / K)
        size = rows.nbytes / len(segment)
        found.append((row_type, size, seconds, statistics.median(times), statistics.fmean(recall), off))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1000, 20_000])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--dim", type=int, default=96)
    parser.add_argument("--queries", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| chunks | way | ms a query | x bare product | chunks scored exactly |\n|---|---|---|---|---|")
    for chunks in arguments.chunks:
        corpus = Corpus(chunks, arguments.rows, arguments.dim, arguments.queries)
        times, exact, rounding = measure(corpus)
        for name, seconds in times.items():
            share = f"{statistics.median(exact):.0f}" if name == "rounded rows" else "all"
            print(f"| {chunks:,} | {name} | {seconds * 1e3:.1f} | {seconds / times['bare product']:.2f} | {share} |")
        print(f"| {chunks:,} | rounding, once | {rounding * 1e3:.1f} | {rounding / times['bare product']:.2f} | |")
    print(
        "\\n| rows | bytes a chunk | s to make | ms a query, not rounded | recall@10 | largest score error |\\n"
        + "|---" * 6
        + "|"
    )
    for row_type, size, seconds, query, recall, off in measure_types(corpus):
        print(f"| {row_type} | {size:,.0f} | {seconds:.2f} | {query * 1e3:.1f} | {recall:.3f} | {off:.4f} |")


if __name__ == "__main__":
    main()
