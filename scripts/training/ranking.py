"""Does training cost ranking? nDCG@10 of several models on the same questions, and gains on the first.

python scripts/training/ranking.py MODEL MODEL... --data FOLDER [QRELS] ... [--questions 1000] [--dtype bfloat16]

A folder is as `latelens.evaluation.data` reads it. Only questions of the half that nothing is tuned on are asked,
unless `--all`. Intervals are 95 %, from 2,000 resamples of the questions.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latelens import EmbeddingCache, Encoder, TokenEmbeddings, load_encoder
from latelens.evaluation.data import digest_of, is_for_tuning, read_judgements, read_lines
from latelens.evaluation.measures import ndcg
from latelens.maxsim import maxsim, pack


def gains(
    encoder: Encoder, cache: EmbeddingCache, folder: Path, qrels: str, asked: Sequence[str]
) -> NDArray[np.float64]:
    """nDCG@10 of each question, (questions,), among all documents of the folder."""
    judged = read_judgements(folder / qrels)
    texts = {line["id"]: line["text"] for line in read_lines(folder / "queries.jsonl")}
    documents = {line["id"]: line["text"] for line in read_lines(folder / "corpus.jsonl")}
    rows = dict(zip(documents, cache.encode_documents(encoder, list(documents.values())), strict=True))
    queries = encoder.encode_queries([texts[name] for name in asked])
    return ranked_gains(queries, rows, [judged[name] for name in asked])


def ranked_gains(
    queries: Sequence[TokenEmbeddings],
    documents: Mapping[str, TokenEmbeddings],
    judged: Sequence[Mapping[str, float]],
) -> NDArray[np.float64]:
    """nDCG@10 of each query, (queries,), among all documents, which are named by their ids."""
    ids, packed = list(documents), pack([each.vectors for each in documents.values()])
    orders = ((-maxsim(query.vectors, packed).scores).argsort(kind="stable")[:10] for query in queries)
    return np.array([ndcg([ids[i] for i in order], right) for order, right in zip(orders, judged, strict=True)])


def questions(folder: Path, qrels: str, *, every: bool, most: int) -> list[str]:
    """Ids of judged questions, in the order of their sha1."""
    known = {line["id"] for line in read_lines(folder / "queries.jsonl")}
    names = known & read_judgements(folder / qrels).keys()
    return sorted((name for name in names if every or not is_for_tuning(name)), key=digest_of)[:most]


def interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """95 % of the mean, from resamples of the questions."""
    draws = np.random.default_rng(0).integers(0, len(differences), size=(2000, len(differences)))
    low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+")
    parser.add_argument("--data", nargs="+", action="append", required=True, metavar="FOLDER [QRELS]")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--all", action="store_true", help="questions of both halves")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    parser.add_argument("--cache", type=Path, help="folder that keeps encoded texts for the next run")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(given)
    cache = EmbeddingCache(asked.cache, max_bytes=2**31)
    encoders = {model: load_encoder(model, dtype=asked.dtype) for model in asked.model}
    written = []
    print("| data | questions | " + " | ".join(asked.model) + " |" + "\n" + "|---" * (len(encoders) + 2) + "|")  # noqa: T201
    for place in asked.data:
        folder, qrels = Path(place[0]), place[1] if len(place) > 1 else "qrels.tsv"
        names = questions(folder, qrels, every=asked.all, most=asked.questions)
        found = {model: gains(encoder, cache, folder, qrels, names) for model, encoder in encoders.items()}
        first, *others = found.values()
        cells = [f"{first.mean():.4f}"]
        for other in others:
            low, high = interval(other - first)
            cells.append(f"{other.mean():.4f} ({low:+.4f} to {high:+.4f})")
        title = "/".join(folder.parts[-2:])
        print(f"| {title} | {len(names)} | " + " | ".join(cells) + " |", flush=True)  # noqa: T201
        written.append({"data": title, "questions": len(names), **{m: float(each.mean()) for m, each in found.items()}})
    if asked.json:
        asked.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
