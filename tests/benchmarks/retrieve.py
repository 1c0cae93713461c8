"""Indexes side by side: build time, disk, latency and recall@10 against exact MaxSim. Run by hand.

python tests/benchmarks/retrieve.py --work FOLDER [--data FOLDER] [--indexes exact,lance] [--sizes 2000,20000,100000]

Sizes up to the real text's (SQuAD's paragraphs, SciFact's abstracts: 4,567 chunks of the offline model, 384
dimensions) take it; larger ones synthetic chunks of 100 rows, 96 dimensions. A table's figures come from one run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from retrieve_rows import Collection, KnownRows, SyntheticRows, real

from latelens import load_encoder
from latelens.evaluation.measures import ndcg
from latelens.index import BM25, ExactIndex, Index

CUTOFF = 10
_CALLERS = 4
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Measured:
    """One line of a table; times are medians, `ratio` is of the exact index's latency in the same collection.

    `per_second` is searches by four callers at once.
    """

    index: str
    build_s: float
    disk_mb: float
    bytes_a_chunk: float
    latency_ms: float
    ratio: float
    recall: float
    per_second: float


def main() -> None:
    options = _arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    known, abstracts, relevant = real(load_encoder("offline/all-MiniLM-L6-v2"), options.data, options.work)
    found: dict[str, Any] = {}
    for size in options.sizes:
        collection = _collection(known, size, list(known.queries)[: options.questions])
        lines, bare = measure(collection, options.indexes, options.work / "index")
        found[f"{collection.name}, {size}"] = {"bare_ms": bare, "indexes": [asdict(line) for line in lines]}
        print(table(collection, lines, bare), flush=True)
    if options.scifact:
        found["scifact"] = scifact(known, abstracts, relevant)
        print("\n### SciFact, 300 claims, 2,500 abstracts, nDCG@10\n\n| | nDCG@10 |\n|---|---|")
        print("\n".join(f"| {name} | {value:.3f} |" for name, value in found["scifact"].items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def measure(collection: Collection, kinds: Sequence[str], work: Path) -> tuple[list[Measured], float]:
    """Fill each kind of index with the collection, and search; also the bare product's milliseconds."""
    shutil.rmtree(work, ignore_errors=True)
    opened: dict[str, tuple[Index, float, int]] = {}
    for kind in kinds:
        folder = work / kind
        start = time.perf_counter()
        index = _KINDS[kind](collection.encoder, folder)
        index.add(collection.chunks(), batch_size=1024)
        index.persist()
        seconds = time.perf_counter() - start - _reading(collection)
        opened[kind] = index, seconds, sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    searches = {kind: partial(_ids, index) for kind, (index, _, _) in opened.items()}
    times, ids = _latencies(searches, collection.questions)
    lines = [
        Measured(
            kind,
            seconds,
            disk / 2**20,
            disk / collection.size,
            times[kind] * 1e3,
            times[kind] / times["exact"],
            statistics.fmean(len(set(a) & set(b)) / len(b) for a, b in zip(ids[kind], ids["exact"], strict=True) if b),
            _per_second(searches[kind], collection.questions),
        )
        for kind, (_, seconds, disk) in opened.items()
    ]
    bare = _bare_product(collection)
    opened.clear()
    return lines, bare * 1e3


def table(collection: Collection, lines: Sequence[Measured], bare: float) -> str:
    """The lines as Markdown."""
    head = [
        f"\n### {collection.name}: {collection.size:,} chunks, {len(collection.questions)} questions",
        f"\nThe bare product (query rows times all rows) takes {bare:.1f} ms.\n",
        "| index | build s | disk MB | bytes a chunk | ms a query | x exact | recall@10 | a second |",
        "|---|---|---|---|---|---|---|---|",
    ]
    body = [
        f"| {line.index} | {line.build_s:.1f} | {line.disk_mb:.0f} | {line.bytes_a_chunk:,.0f} | "
        f"{line.latency_ms:.1f} | {line.ratio:.2f} | {line.recall:.3f} | {line.per_second:.1f} |"
        for line in lines
    ]
    return "\n".join(head + body)


def scifact(known: KnownRows, abstracts: dict[str, str], relevant: dict[str, dict[str, int]]) -> dict[str, float]:
    """nDCG@10 of exact MaxSim, of BM25, and of MaxSim over BM25's first 100."""
    from latelens.index import Chunk, TwoStage

    chunks = [Chunk(name, text) for text, name in abstracts.items()]
    exact = ExactIndex(known)
    exact.add(chunks)
    bm25 = BM25(chunks)
    paths: dict[str, Callable[[str], list[str]]] = {
        "MaxSim, all-MiniLM-L6-v2 token-wise": partial(_ids, exact),
        "BM25": lambda query: [candidate.chunk.id for candidate in bm25.candidates(query, CUTOFF)],
        "BM25, first 100 by MaxSim": partial(_ids, TwoStage(bm25, known, candidates=100)),
    }
    return {
        name: statistics.fmean(ndcg(search(query), found) for query, found in relevant.items())
        for name, search in paths.items()
    }


def _ids(index: Any, query: str) -> list[str]:
    return [hit.chunk.id for hit in index.search(query, CUTOFF)]


def _latencies(
    searches: dict[str, Callable[[str], list[str]]], questions: Sequence[str]
) -> tuple[dict[str, float], dict[str, list[list[str]]]]:
    """Median seconds a question, interleaved so that a noisy moment hits all; and what was found."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    ids: dict[str, list[list[str]]] = {name: [] for name in searches}
    for search in searches.values():
        search(questions[0])
    for question in questions:
        for name, search in searches.items():
            start = time.perf_counter()
            ids[name].append(search(question))
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}, ids


def _per_second(search: Callable[[str], list[str]], questions: Sequence[str]) -> float:
    """Searches a second by four callers at once."""
    with ThreadPoolExecutor(_CALLERS) as callers:
        start = time.perf_counter()
        list(callers.map(search, questions))
        return len(questions) / (time.perf_counter() - start)


def _reading(collection: Collection) -> float:
    """Seconds that the collection's own encoder takes: a build does not pay for them."""
    start = time.perf_counter()
    texts = list(collection.texts())
    for first in range(0, len(texts), 1024):
        collection.encoder.encode_documents(texts[first : first + 1024])
    return time.perf_counter() - start


def _bare_product(collection: Collection, block: int = 4096) -> float:
    """Median seconds of a query's rows times all rows, in blocks, nothing else."""
    texts, values = list(collection.texts()), []
    for first in range(0, len(texts), 1024):
        encoded = collection.encoder.encode_documents(texts[first : first + 1024])
        values.append(np.concatenate([document.vectors for document in encoded]))
    queries = [query.vectors for query in collection.encoder.encode_queries(collection.questions[:10])]
    times = []
    for query in queries:
        start = time.perf_counter()
        for rows in values:
            _product(query, rows, block)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _product(query: NDArray[np.float32], rows: NDArray[np.float32], block: int) -> None:
    for first in range(0, len(rows), block):
        query @ rows[first : first + block].T


def _collection(known: KnownRows, size: int, questions: Sequence[str]) -> Collection:
    if size <= len(known.documents):
        return Collection("SQuAD and SciFact, 384 dimensions", known, size, questions, synthetic=False)
    return Collection(
        "synthetic, 100 rows a chunk, 96 dimensions", SyntheticRows(known), size, questions, synthetic=True
    )


def _lance(encoder: Any, folder: Path) -> Index:
    from latelens.index.lance import LanceIndex

    return LanceIndex(encoder, folder)


def _qdrant(encoder: Any, folder: Path) -> Index:
    from qdrant_client import QdrantClient

    from latelens.index.qdrant import QdrantIndex

    return QdrantIndex(encoder, QdrantClient(path=str(folder)), "chunks")


def _plaid(encoder: Any, folder: Path) -> Index:
    from latelens.index.plaid import PlaidIndex

    return PlaidIndex(encoder, folder)


def _shards(count: int, encoder: Any, folder: Path) -> Index:
    from latelens.index.sharded import ShardedIndex

    return ShardedIndex(encoder, folder, count)


_KINDS: dict[str, Callable[[Any, Path], Index]] = {
    "exact": ExactIndex,
    "lance": _lance,
    "qdrant": _qdrant,
    "plaid": _plaid,
    "shards1": partial(_shards, 1),
    "shards2": partial(_shards, 2),
    "shards4": partial(_shards, 4),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for encoded rows and indexes")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of squad_dev and scifact")
    parser.add_argument("--indexes", type=lambda text: text.split(","), default=["exact", "lance"])
    parser.add_argument(
        "--sizes", type=lambda text: [int(size) for size in text.split(",")], default=[2000, 4567, 20000]
    )
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--no-scifact", dest="scifact", action="store_false")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    unknown = set(options.indexes) - set(_KINDS)
    if unknown or "exact" not in options.indexes:
        parser.error(f"--indexes takes some of {', '.join(_KINDS)}, with exact among them, got {options.indexes}")
    return options


if __name__ == "__main__":
    main()
