"""Does a model point at the right sentence? Hit@1 and F1 of several models on the same pairs, and gains on the first.

python scripts/training/pointing.py MODEL MODEL... --data FOLDER... [--split report] [--limit 500] [--dtype bfloat16]

The pairs, the evidence and the measures are those of `tests/benchmarks/evidence.py`, without its other methods, so that
a seed is measured in a minute. Intervals are 95 %, from 2,000 resamples of the questions.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latelens import EmbeddingCache, Encoder, explain, find_evidence, load_encoder

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "benchmarks"))
from evidence_measures import F1, HIT, against_gold
from evidence_methods import Choice
from evidence_tasks import Dataset, read_dataset


def found_by(encoder: Encoder, cache: EmbeddingCache, dataset: Dataset) -> NDArray[np.float64]:
    """Hit@1 and F1 of each pair, (pairs, 2)."""
    tasks = dataset.tasks
    texts = list(dict.fromkeys(task.document.text for task in tasks))
    documents = dict(zip(texts, cache.encode_documents(encoder, texts), strict=True))
    queries = cache.encode_queries(encoder, [task.query for task in tasks])
    rows = []
    for task, query in zip(tasks, queries, strict=True):
        explanation = explain(query, documents[task.document.text])
        spans = [(span.start, span.end) for span in find_evidence(explanation, sentences=task.sentences)]
        values = against_gold(task, Choice(tuple(spans), len(spans)))
        rows.append([values[HIT], values[F1]])
    return np.array(rows)


def interval(differences: NDArray[np.float64], query_ids: Sequence[str]) -> tuple[float, float]:
    """95 % of the mean, from resamples of the questions; pairs of one question go together."""
    _, owner = np.unique(query_ids, return_inverse=True)
    count = owner.max() + 1
    weights = np.random.default_rng(0).multinomial(count, [1 / count] * count, size=2000)[:, owner]
    low, high = np.percentile((weights @ differences) / weights.sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+")
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--split", choices=["all", "tune", "report"], default="all")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    parser.add_argument("--cache", type=Path, help="folder that keeps encoded texts for the next run")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(given)
    cache = EmbeddingCache(asked.cache, max_bytes=2**31)
    encoders = {model: load_encoder(model, dtype=asked.dtype) for model in asked.model}
    print("| data | pairs | " + " | ".join(asked.model) + " |\n" + "|---" * (len(encoders) + 2) + "|")  # noqa: T201
    written = []
    for folder in asked.data:
        dataset = read_dataset(folder, split=asked.split, limit=asked.limit)
        found = {model: found_by(encoder, cache, dataset) for model, encoder in encoders.items()}
        first, *_ = found.values()
        ids = [task.query_id for task in dataset.tasks]
        for column, measure in enumerate((HIT, F1)):
            cells = [f"{first[:, column].mean():.4f}"]
            for other in list(found.values())[1:]:
                low, high = interval((other - first)[:, column], ids)
                cells.append(f"{other[:, column].mean():.4f} ({low:+.4f} to {high:+.4f})")
            title = f"{'/'.join(folder.parts[-2:])}, {asked.split}: {measure}"
            print(f"| {title} | {len(ids)} | " + " | ".join(cells) + " |", flush=True)  # noqa: T201
            means = {model: float(each[:, column].mean()) for model, each in found.items()}
            written.append({"data": title, "pairs": len(ids), **means})
    if asked.json:
        asked.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
