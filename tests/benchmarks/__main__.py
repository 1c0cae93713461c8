"""What speed rests on, in one run: a table for each part, and JSON.

    python tests/benchmarks [--quick] [--folder FOLDER] [--parts scoring warm exact startup] [--json numbers.json]

FOLDER holds a corpus.jsonl of {"id", "text"}; without one, the paragraphs of this repository's documentation are read.
``--quick`` takes seconds: it shows that all parts run, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from exact import Corpus, measure, measure_types
from rerank import medians, read, scoring, table, warm

from latelens import Encoder, load_encoder

ROOT = Path(__file__).resolve().parents[2]
PARTS = "scoring", "warm", "exact", "startup"
QUESTION = "How is a score explained?"
Times = dict[str, float]  # seconds by path; the others are measured against the first


def texts_of(folder: Path | None, count: int) -> list[str]:
    """So many texts: of a corpus, or paragraphs of the documentation."""
    if folder is not None:
        return read(folder / "corpus.jsonl", count)
    pages = [path.read_text("utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    paragraphs = [part for page in pages for part in page.split("\n\n") if len(part) > 80]
    return paragraphs[:count]


def parts(encoder: Encoder, texts: Sequence[str], *, quick: bool) -> dict[str, Callable[[], dict[str, Times]]]:
    """What can be measured, by name: titles, each with seconds."""
    repetitions = 2 if quick else 15

    def scores() -> dict[str, Times]:
        vectors = [document.vectors for document in encoder.encode_documents(texts)]
        asked = encoder.encode_queries([QUESTION])[0].vectors
        return {f"Scoring {len(asked)} query rows against {len(texts)} chunks": scoring(asked, vectors, repetitions)}

    def exact() -> dict[str, Times]:
        corpus = Corpus(300 if quick else 20_000, 100, 96, 3 if quick else 15)
        times, _, _ = measure(corpus)
        title = f"Brute force, {len(corpus.segment):,} synthetic chunks of 100 x 96"
        types = {row_type: query for row_type, _, _, query, _, _ in measure_types(corpus)}
        return {title: times, f"{title}, rows kept as, not rounded": types}

    return {
        "scoring": scores,
        "warm": lambda: {f"Warm rerank of {len(texts)} chunks": warm(encoder, texts, QUESTION, repetitions)},
        "exact": exact,
        "startup": lambda: {"Start of a process": startup(1 if quick else 5)},
    }


def startup(repetitions: int) -> Times:
    """Seconds until a new process is ready, from its start to its end."""
    lines = {"python alone": "pass", "import latelens": "import latelens"}
    return medians({name: lambda line=line: _run(line) for name, line in lines.items()}, repetitions)


def _run(line: str) -> None:
    subprocess.run([sys.executable, "-c", line], check=True)


def main(given: Sequence[str] | None = None) -> dict[str, dict[str, Times]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--model", default="offline/all-MiniLM-L6-v2")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    encoder = load_encoder(arguments.model)
    known = parts(encoder, texts_of(arguments.folder, 8 if arguments.quick else 100), quick=arguments.quick)
    found = {}
    for name in arguments.parts:
        found[name] = known[name]()
        for title, times in found[name].items():
            table(title, times, next(iter(times)))
    if arguments.json is not None:
        about = {
            "model": arguments.model,
            "quick": arguments.quick,
            "date": time.strftime("%Y-%m-%d"),
            "seconds": found,
        }
        arguments.json.write_text(json.dumps(about, indent=2), "utf-8")
    return found


if __name__ == "__main__":
    main()
