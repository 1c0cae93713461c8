"""What faster ways to encode gain and cost, and what batches pad. Run by hand: it prints Markdown tables.

python tests/benchmarks/encode.py [FOLDER] [--routes exact fast] [--threads 2] [--memory 100000] [--json numbers.json]

FOLDER is a data set as `encode_quality` reads it. Every path encodes the same texts, interleaved within one run.
A text's tokens are all that the tokenizer gives for it, control tokens included, so that paths are compared by time
alone; a ratio is taken within a repetition, on the CPU. Plain encoding multiplies as torch does by itself. On a busy
machine take ``--processor-time`` and one thread. `--memory` encodes that many short texts with a tiny model.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rivals
import torch
from encode_quality import COLUMNS, qualities
from rerank import read

from latelens import load_encoder
from latelens.encoders.reading import _SLAB, TokenEncoder

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "squad_dev"
ROUTES: dict[str, dict[str, Any]] = {
    "exact": {"engine": "torch"},
    "bf16": {"engine": "torch", "dtype": "bfloat16"},
    "openvino": {"engine": "openvino"},
    "openvino-bf16": {"engine": "openvino", "dtype": "bfloat16"},
    "fast": {"speed": "fast"},
}
PLAIN = "plain encoding, batch 32"


@dataclass(frozen=True)
class Speed:
    """Tokens per second (median), and how many times as fast as plain encoding: median, least and most."""

    tokens_per_second: float
    ratio: float
    least: float
    most: float

    def cells(self) -> tuple[str, str, str]:
        return f"{self.tokens_per_second:,.0f}", f"{self.ratio:.2f}", f"{self.least:.2f} to {self.most:.2f}"


def table(title: str, columns: str, rows: Iterable[Sequence[object]]) -> None:
    print(f"\n### {title}\n\n| {columns} |\n{'|---' * (columns.count('|') + 1)}|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def loaded(model: str, wanted: Sequence[str]) -> dict[str, TokenEncoder]:
    """Encoders of the routes that can be had here, the exact one first; says why another cannot."""
    found = {}
    for name in dict.fromkeys(["exact", *wanted]):
        try:
            encoder = load_encoder(model, device="cpu", **ROUTES[name])
        except Exception as error:
            if name == "exact":
                raise
            print(f"- {name}: left out ({type(error).__name__}: {(str(error).splitlines() or [''])[0]})")
            continue
        print(f"- {name}: {encoder.route}, {encoder.batch_size} texts at once")
        found[name] = encoder
    return found


def interleaved(
    paths: dict[str, Callable[[], object]], repetitions: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds of each path in each repetition; every other one runs backwards, so that no path has one forerunner."""
    for run in paths.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in paths}
    for repetition in range(repetitions):
        for name in list(paths) if repetition % 2 == 0 else list(reversed(paths)):
            time.sleep(0.2)  # the threads of one engine spin on for a while and would slow the next one
            start = clock()
            paths[name]()
            times[name].append(clock() - start)
    return times


def speeds(
    encoders: dict[str, TokenEncoder],
    plain: Any,
    texts: list[str],
    repetitions: int,
    sizes: Sequence[int],
    clock: Callable[[], float],
) -> dict[str, Speed]:
    """Plain encoding and each route; the last of them also with other batch sizes."""
    exact, (last, fastest) = encoders["exact"], list(encoders.items())[-1]
    runs = {f"latelens {name}": encoder for name, encoder in encoders.items()}
    for size in (size for size in sizes if size != fastest.batch_size):
        runs[f"latelens {last}, batch {size}"] = load_encoder(fastest.model, batch_size=size)
    paths: dict[str, Callable[[], object]] = {
        PLAIN: lambda: rivals.plain_encode(plain, texts, 32),
        "plain encoding, batch 8": lambda: rivals.plain_encode(plain, texts, 8),
        **{name: lambda encoder=encoder: encoder.encode_documents(texts) for name, encoder in runs.items()},
    }
    lengths = [len(offsets) for offsets in exact._tokenize(texts, "document")]
    limit = exact._limit("document")
    print(f"\n{len(texts)} texts of {statistics.fmean(lengths):.0f} tokens in the mean, {repetitions} repetitions.")
    if cut := sum(length > limit for length in lengths):
        print(f"{cut} have more than {limit} tokens: plain encoding cuts them, latelens reads them in windows.")
    times, found = interleaved(paths, repetitions, clock), {}
    for name, seconds in times.items():
        ratios = [slow / other for slow, other in zip(times[PLAIN], seconds, strict=True)]
        rate = sum(lengths) / statistics.median(seconds)
        found[name] = Speed(rate, statistics.median(ratios), min(ratios), max(ratios))
    table("Speed", f"path | tokens / s | x {PLAIN} | range", [(name, *speed.cells()) for name, speed in found.items()])
    return found


def paddings(encoder: TokenEncoder, texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Share of padding among the tokens of a batch, the most and overall; windows are counted again, as cut."""
    ours: list[tuple[int, list[int]]] = []
    for slab in (texts[first : first + _SLAB] for first in range(0, len(texts), _SLAB)):
        for batch, width in encoder._batches(encoder._plan(slab), "document"):
            spans = encoder._tokenize([slab[p.text][p.start : p.end] for p in batch], "document")
            ours.append((width or 0, [len(each) for each in spans]))
    limit = encoder._limit("document")
    lengths = [min(len(offsets), limit) for offsets in encoder._tokenize(texts, "document")]
    by_length = [lengths[i] for i in sorted(range(len(texts)), key=lambda i: -len(texts[i]))]
    plain = {"32, in order": lengths, "32, sorted by characters": by_length}
    found = {f"latelens, up to {encoder.batch_size}": ours}
    found |= {name: [(0, each[i : i + 32]) for i in range(0, len(each), 32)] for name, each in plain.items()}
    numbers = {name: padding(made) for name, made in found.items()}
    rows = [(name, p["batches"], f"{p['most']:.2%}", f"{p['overall']:.2%}") for name, p in numbers.items()]
    table(f"Padding among the tokens of a batch, {len(texts):,} texts", "batches | number | most | overall", rows)
    return numbers


def padding(made: Sequence[tuple[int, Sequence[int]]]) -> dict[str, float]:
    sizes = [max(width, *batch) * len(batch) for width, batch in made]
    tokens = [sum(batch) for _, batch in made]
    shares = [1 - each / size for each, size in zip(tokens, sizes, strict=True)]
    return {"batches": len(made), "most": max(shares), "overall": 1 - sum(tokens) / sum(sizes)}


def resident() -> int:
    """Bytes of memory that the process holds now; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(count: int) -> dict[str, int]:
    """Bytes by which the process grows while a tiny model encodes, beside what the results take."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import tiny_models

    draw, sentences = random.Random(0), tiny_models.SENTENCES[:7]
    texts = [" ".join(draw.choices(sentences, k=draw.randint(1, 3))) for _ in range(count)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a model would spend its time on waking threads
    encoder = load_encoder(tiny_models.checkpoint(tiny_models.ANY), device="cpu", batch_size=64)
    encoder.encode_documents(texts[:64])  # what loads late is no part of the growth; the first slab is
    gc.collect()
    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    found = encoder.encode_documents(texts, show_progress=True)
    done.set()
    watcher.join()
    torch.set_num_threads(threads)
    gc.collect()
    after, arrays = resident(), sum(e.vectors.nbytes + e.spans.nbytes + e.kinds.nbytes for e in found)
    numbers = {"arrays": arrays, "nbytes": sum(e.nbytes for e in found), "objects": sum(map(held, found))}
    numbers |= {"growth, most": max(peak, after) - before, "growth, at the end": after - before}
    rows = [(name, f"{value / 1e6:,.1f}", f"{value / numbers['objects']:.2f}") for name, value in numbers.items()]
    table(f"Memory for {count:,} chunks", "what | MB | x objects", rows)
    return numbers


def held(embeddings: Any) -> int:
    """What one result takes in Python's own count: arrays and strings with their headers, not the caller's text."""
    parts = [getattr(embeddings, name) for name in ("vectors", "spans", "kinds")]
    arrays = sum(max(sys.getsizeof(part), part.nbytes) for part in parts)
    # Python keeps one copy of each single ASCII character.
    tokens = sum(sys.getsizeof(token) for token in embeddings.tokens if len(token) > 1 or not token.isascii())
    return arrays + tokens + sys.getsizeof(embeddings.tokens) + sys.getsizeof(embeddings)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=DATA / "small")
    parser.add_argument("--model", default="offline/all-MiniLM-L6-v2")
    parser.add_argument("--texts", type=int, default=256, help="to measure speed with; 0 leaves it out")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--routes", nargs="+", choices=list(ROUTES), default=list(ROUTES))
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[4, 16], help="more sizes for the last route")
    parser.add_argument("--threads", type=int, help="cores to use; None takes all")
    parser.add_argument("--processor-time", action="store_true", help="count what the process works, not what it waits")
    parser.add_argument("--padding-folder", type=Path, default=DATA / "norm")
    parser.add_argument("--no-quality", action="store_true")
    parser.add_argument("--memory", type=int, default=0, metavar="CHUNKS")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    numbers: dict[str, Any] = {}
    if given.threads:  # set before any engine counts cores, so that all of them keep to these
        torch.set_num_threads(given.threads)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    if given.memory:  # before larger models are there
        numbers["memory"] = memory(given.memory)
    print(f"\n{given.model}\n")
    encoders = loaded(given.model, given.routes)
    if given.texts:
        corpus = read(given.folder / "corpus.jsonl", sys.maxsize)
        texts = random.Random(0).sample(corpus, min(given.texts, len(corpus)))  # neighbours are of one article
        clock = time.process_time if given.processor_time else time.perf_counter
        plain = rivals.plain_model(given.model)
        found = speeds(encoders, plain, texts, given.repetitions, given.batch_sizes, clock)
        numbers["speed"] = {name: asdict(speed) for name, speed in found.items()}
    if not given.no_quality:
        judged = qualities(encoders, given.folder)
        rows = [(name, *quality.cells(judged["exact"])) for name, quality in judged.items()]
        table("Quality, beside the exact path", COLUMNS, rows)
        numbers["quality"] = {name: asdict(quality) for name, quality in judged.items()}
    if given.padding_folder.is_dir():
        numbers["padding"] = paddings(encoders["exact"], read(given.padding_folder / "corpus.jsonl", sys.maxsize))
    else:
        print(f"\n(no folder {given.padding_folder}: padding is not measured)")
    if given.json:
        routes = {name: str(encoder.route) for name, encoder in encoders.items()}
        given.json.write_text(json.dumps({"model": given.model, "routes": routes, **numbers}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
