"""What speed rests on, in one run: a table for each part, rivals where they are installed, JSON and a picture.

    python tests/benchmarks [--quick] [--folder FOLDER] [--chunks 100] [--parts scoring warm ...]
        [--clock processor] [--also PYTHON] [--json numbers.json] [--plot speed.svg]

FOLDER holds a corpus.jsonl of {"id", "text"}; without one, the paragraphs of this repository's documentation are read.
``--also`` names the python of another environment, such as PyLate's: what it measures joins the tables, with its name.
``--quick`` takes seconds: it shows that all parts run, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rivals
import torch
from parts import NAMES, Parts, Times
from rerank import read, table

ROOT = Path(__file__).resolve().parents[2]
# Processor time is the same on a machine that others use; it counts all threads of the process.
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
Tables = dict[str, dict[str, Times]]  # part -> title -> path -> seconds


def texts_of(folder: Path | None, count: int) -> list[str]:
    """So many texts: of a corpus, or paragraphs of the documentation."""
    if folder is not None:
        return read(folder / "corpus.jsonl", count)
    pages = [path.read_text("utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))]
    paragraphs = [part for page in pages for part in page.split("\n\n") if len(part) > 80]
    return paragraphs[:count]


def measured(asked: argparse.Namespace) -> Tables:
    """What each part finds; its tables are printed when it ends."""
    texts = texts_of(asked.folder, 4 if asked.quick else asked.chunks)
    parts = Parts(asked.model, texts, asked.quick, CLOCKS[asked.clock])
    found: Tables = {}
    for name in asked.parts:
        found[name] = getattr(parts, name)()
        for title, times in found[name].items():
            table(title, times, next(iter(times)))
    return found


def elsewhere(python: str, given: Sequence[str]) -> Tables:
    """The same parts, measured with another python."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder) / "numbers.json"
        subprocess.run([python, str(Path(__file__).parent), *given, "--json", str(numbers)], check=True)
        found: Tables = json.loads(numbers.read_text("utf-8"))["seconds"]
    return {
        part: {f"{title}, with {python}": times for title, times in tables.items()} for part, tables in found.items()
    }


def about(asked: argparse.Namespace) -> dict[str, Any]:
    """What was run with, on what, and when."""
    return {
        "model": asked.model,
        "quick": asked.quick,
        "clock": asked.clock,
        "date": time.strftime("%Y-%m-%d"),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
        "missing": rivals.missing(),
    }


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--model", default="offline/all-MiniLM-L6-v2")
    parser.add_argument("--parts", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument("--clock", default="wall", choices=CLOCKS)
    parser.add_argument("--also", metavar="PYTHON")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(given)
    torch.set_num_threads(1)
    for line in rivals.missing():
        print(line)
    found = measured(asked)
    if asked.also:
        same = ["--clock", asked.clock, "--model", asked.model, "--chunks", str(asked.chunks), "--parts", *asked.parts]
        same += ["--quick"] * asked.quick + (["--folder", str(asked.folder)] if asked.folder else [])
        for part, tables in elsewhere(asked.also, same).items():
            found[part] |= tables
    if asked.json is not None:
        asked.json.write_text(json.dumps({**about(asked), "seconds": found}, indent=2), "utf-8")
    if asked.plot is not None:
        from picture import draw

        draw([one for tables in found.values() for one in tables.items()]).savefig(asked.plot)


if __name__ == "__main__":
    main()
