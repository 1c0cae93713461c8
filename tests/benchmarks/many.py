"""Many callers of one encoder: queries a second and waiting times, gathered into common passes and each by itself.

python tests/benchmarks/many.py [FOLDER] [--queries 100] [--torch-threads 1] [--json numbers.json]

FOLDER is a data set as `encode_quality` reads it. Every caller asks for one query after the other, in a closed loop, so
that throughput and waiting depend on nothing but the encoder. Coroutines go through `asyncio.to_thread`, as both
adapters do. "each by itself" lets every thread run the model at once, which is what a model does without gathering.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from latelens import load_encoder
from latelens.encoders.reading import TokenEncoder

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "squad_dev" / "small"
COLUMNS = "callers | queries | queries / s | x one caller | p50, ms | p99, ms | queries a pass | processor ms a query"


# A round's waiting times, seconds by the clock and of the processor, and forward passes.
Round = tuple[list[float], float, float, int]


class Counted:
    """Counts the encoder's forward passes, and switches gathering on and off."""

    def __init__(self, encoder: TokenEncoder) -> None:
        self.encoder, self.passes = encoder, 0
        self._forward, self._lanes, self._lock = encoder._forward, encoder._lanes, threading.Lock()
        encoder._forward = self._count  # type: ignore[method-assign]

    def _count(self, *given: object) -> object:
        with self._lock:
            self.passes += 1
        return self._forward(*given)  # type: ignore[arg-type]

    def gather(self, wanted: bool) -> None:
        self.encoder._lanes = self._lanes if wanted else lambda: sys.maxsize  # type: ignore[method-assign]

    def timed(self, query: str) -> float:
        start = time.perf_counter()
        self.encoder.encode_queries([query])
        return time.perf_counter() - start


def by_threads(ask: Callable[[str], float], queries: Sequence[str], callers: int) -> list[float]:
    """Seconds that each query took, with so many threads, each with its share of the queries."""
    found: list[list[float]] = [[] for _ in range(callers)]
    start = threading.Barrier(callers)

    def work(i: int) -> None:
        start.wait()
        found[i] = [ask(query) for query in queries[i::callers]]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [each for some in found for each in some]


def by_coroutines(ask: Callable[[str], float], queries: Sequence[str], callers: int) -> list[float]:
    """The same with coroutines; waiting for one of asyncio's threads counts."""

    async def work(i: int) -> list[float]:
        seconds = []
        for query in queries[i::callers]:
            start = time.perf_counter()
            await asyncio.to_thread(ask, query)
            seconds.append(time.perf_counter() - start)
        return seconds

    async def all_of_them() -> list[list[float]]:
        return await asyncio.gather(*(work(i) for i in range(callers)))

    return [each for some in asyncio.run(all_of_them()) for each in some]


WAYS = {"1 thread": (by_threads, 1), "8 threads": (by_threads, 8), "50 coroutines": (by_coroutines, 50)}


def measure(counted: Counted, queries: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Numbers of each number of callers, gathered and not, interleaved; rates are medians, waiting is of all rounds."""
    kinds = [(name, gathered) for gathered in (False, True) for name in WAYS]
    seen: dict[tuple[str, bool], list[Round]] = {kind: [] for kind in kinds}
    for turn in range(rounds + 1):
        for name, gathered in kinds if turn % 2 else reversed(kinds):
            run, callers = WAYS[name]
            counted.gather(gathered)
            counted.passes, start, worked = 0, time.perf_counter(), time.process_time()
            seconds = run(counted.timed, queries, callers)
            taken = time.perf_counter() - start, time.process_time() - worked
            if turn:  # the first warms up
                seen[name, gathered].append((seconds, *taken, counted.passes))
    return {
        f"{name}, {'gathered' if gathered else 'each by itself'}": numbers(seen[name, gathered], seen)
        for name, gathered in kinds
    }


def numbers(rounds: list[Round], seen: dict[tuple[str, bool], list[Round]]) -> dict[str, float]:
    """What one row of the table says; rates are compared within a round."""
    cuts = statistics.quantiles([second for seconds, *_ in rounds for second in seconds], n=100)
    count = len(rounds[0][0])
    alone = [wall for _, wall, _, _ in seen["1 thread", False]]
    return {
        "rate": count / statistics.median(wall for _, wall, _, _ in rounds),
        "ratio": statistics.median(one / wall for one, (_, wall, _, _) in zip(alone, rounds, strict=True)),
        "p50": 1000 * cuts[49],
        "p99": 1000 * cuts[98],
        "a pass": count * len(rounds) / sum(passes for *_, passes in rounds),
        "processor": 1000 * statistics.median(worked for _, _, worked, _ in rounds) / count,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DATA)
    parser.add_argument("--model", default="offline/all-MiniLM-L6-v2")
    parser.add_argument("--engine", choices=["torch", "onnx", "openvino"], default="torch")
    parser.add_argument("--queries", type=int, default=100, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch-threads", type=int, default=1, help="cores of one call of torch")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    torch.set_num_threads(given.torch_threads)
    encoder = load_encoder(given.model, device="cpu", engine=given.engine)
    asked = [json.loads(line) for line in (given.folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    queries = random.Random(0).choices([each["text"] for each in asked], k=given.queries)
    counted = Counted(encoder)
    found = measure(counted, queries, given.rounds)
    print(f"{encoder!r}, {given.torch_threads} threads a call, up to {counted._lanes()} calls at once\n")
    print(f"| {COLUMNS} |\n{'|---' * (COLUMNS.count('|') + 1)}|")
    for name, each in found.items():
        cells = [name, len(queries) * given.rounds, f"{each['rate']:.0f}", f"{each['ratio']:.2f}"]
        cells += [f"{each['p50']:.1f}", f"{each['p99']:.1f}", f"{each['a pass']:.1f}", f"{each['processor']:.1f}"]
        print("| " + " | ".join(map(str, cells)) + " |")
    if given.json:
        given.json.write_text(json.dumps({"model": given.model, "numbers": found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
