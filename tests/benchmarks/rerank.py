"""What scoring, winners and evidence cost, as ratios within one run. Run by hand: it prints a table.

python tests/benchmarks/rerank.py [FOLDER]    FOLDER: a corpus.jsonl of {"id", "text"} and a queries.jsonl beside it
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import rivals
from numpy.typing import NDArray

from latelens import find_evidence, load_encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.evaluation.data import read_lines
from latelens.explanation.matches import explain
from latelens.maxsim import maxsim, pack
from latelens.ranking import rerank

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data" / "squad_dev" / "norm"


def read(path: Path, count: int) -> list[str]:
    return [line["text"] for line in islice(read_lines(path), count)]


def medians(
    paths: dict[str, Callable[[], object]], repetitions: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each path, interleaved so that a noisy moment hits all of them."""
    for run in paths.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(repetitions):
        for name, run in paths.items():
            time.sleep(0.02)  # torch's threads spin on for a while and would slow whatever comes next
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def table(title: str, times: dict[str, float], base: str) -> None:
    print(f"\n### {title}\n\n| path | ms | x {base} |\n|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {seconds * 1e3:.2f} | {seconds / times[base]:.2f} |")


def scoring(
    query: NDArray[np.float32],
    documents: Sequence[NDArray[np.float32]],
    repetitions: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    packed = pack(documents)
    offsets, values = packed.offsets, np.asarray(packed.values)

    def bare() -> None:
        for start in range(0, len(values), 4096):
            query @ values[start : start + 4096].T

    paths: dict[str, Callable[[], object]] = {
        "bare product (blocks of 4,096 rows)": bare,
        "bare product (one)": lambda: query @ values.T,
        "maxsim, scores": lambda: maxsim(query, packed),
        "maxsim, scores and winners": lambda: maxsim(query, packed, winners=True),
    }
    paths |= rivals.scoring(query, documents)
    assert len(offsets) == len(documents) + 1
    return medians(paths, repetitions, clock)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--model", default="offline/all-MiniLM-L6-v2")
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--chunks", type=int, nargs="+", default=[100, 1000])
    arguments = parser.parse_args()
    folder, repetitions = arguments.folder, arguments.repetitions
    if not (folder / "corpus.jsonl").is_file():
        print(f"no corpus.jsonl in {folder}", file=sys.stderr)
        return 1

    encoder = load_encoder(arguments.model)
    texts, question = read(folder / "corpus.jsonl", max(arguments.chunks)), read(folder / "queries.jsonl", 1)[0]
    encoded = encoder.encode_documents(texts, show_progress=True)
    rows = sum(map(len, encoded))
    print(f"{arguments.model}: {len(texts)} chunks, {rows / len(texts):.0f} rows each, {encoder.dim} dimensions")
    random = np.random.default_rng(0)
    asked = random.standard_normal((32, encoder.dim)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)

    for count in arguments.chunks:
        vectors = [document.vectors for document in encoded[:count]]
        table(
            f"Scoring 32 query rows against {count} chunks",
            scoring(asked, vectors, repetitions),
            "bare product (blocks of 4,096 rows)",
        )
    for count in arguments.chunks:
        times = warm(encoder, texts[:count], question, repetitions)
        table(f"Warm rerank of {count} chunks, the question encoded anew", times, "explain='off'")
    cold(encoder, texts[: min(arguments.chunks)], question)
    return 0


def warm(encoder, texts, question, repetitions, clock=time.perf_counter) -> dict[str, float]:
    cache = EmbeddingCache(max_bytes=4 * 2**30)
    # A new question each time, as users ask: its encoding is part of a warm rerank.
    questions = iter(f"{question} {i}" for i in range(10_000))

    def run(explain_mode: str, top_n: int | None) -> Callable[[], object]:
        return lambda: rerank(next(questions), texts, encoder, explain=explain_mode, top_n=top_n, cache=cache)

    paths = {
        "explain='off'": run("off", None),
        "explain='evidence', top_n=5": run("evidence", 5),
        "explain='evidence', top_n=10": run("evidence", 10),
        "explain='evidence', all chunks": run("evidence", None),
    }
    return medians(paths, repetitions, clock)


def cold(encoder, texts, question) -> None:
    query = encoder.encode_queries([question])[0]
    documents = encoder.encode_documents(texts)
    plain = rivals.plain_model(encoder.name)

    def evidence_alone() -> None:
        for document in documents:
            find_evidence(explain(query, document))

    paths = {
        "plain encoding, batch 32": lambda: rivals.plain_encode(plain, texts, 32),
        "plain encoding, batch 8": lambda: rivals.plain_encode(plain, texts, 8),
        "encode_documents, with spans": lambda: encoder.encode_documents(texts),
        "rerank, explain='off'": lambda: rerank(question, texts, encoder, explain="off"),
        "rerank, explain='evidence', all chunks": lambda: rerank(question, texts, encoder),
        "evidence alone, all chunks": evidence_alone,
    }
    table(f"Cold rerank of {len(texts)} chunks", medians(paths, 3), "plain encoding, batch 32")


if __name__ == "__main__":
    sys.exit(main())
