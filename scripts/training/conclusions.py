"""Does training cost ranking in another domain? Abstracts that are found by their own last sentence; no labels.

python scripts/training/conclusions.py MODEL MODEL... --data FOLDER [--leave-out qrels.tsv] [--abstracts 600]

For choosing, so abstracts that a judgement of the evaluation names are left out. The last sentence, mostly what a study
concludes, is the question, and is cut from its abstract. nDCG@10 with 95 % intervals of the change, as in `ranking.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ranking import interval, ranked_gains

from latelens import Encoder, load_encoder
from latelens.evaluation.data import digest_of, read_judgements, read_lines


def abstracts(folder: Path, left_out: Sequence[str], most: int) -> list[tuple[str, str]]:
    """Text and last sentence of abstracts of four sentences or more, in the order of their ids' sha1."""
    judged = {document for name in left_out for found in read_judgements(folder / name).values() for document in found}
    lines: list[dict[str, Any]] = [
        line
        for line in read_lines(folder / "corpus.jsonl")
        if line["id"] not in judged and len(line.get("sents") or ()) >= 4
    ]
    lines.sort(key=lambda line: digest_of(line["id"]))
    ends = [line["sents"][-1] for line in lines[:most]]
    return [(line["text"][:start], line["text"][start:end]) for line, (start, end) in zip(lines, ends, strict=False)]


def gains(encoder: Encoder, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    """nDCG@10 of each last sentence, (abstracts,): its own abstract is the only right one."""
    texts, lasts = zip(*pairs, strict=True)
    ids = [str(i) for i in range(len(pairs))]
    documents = dict(zip(ids, encoder.encode_documents(texts), strict=True))
    return ranked_gains(encoder.encode_queries(lasts), documents, [{name: 1.0} for name in ids])


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--leave-out", nargs="*", default=[], help="files of judgements in the folder")
    parser.add_argument("--abstracts", type=int, default=600)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    asked = parser.parse_args(given)
    pairs = abstracts(asked.data, asked.leave_out, asked.abstracts)
    first = None
    for model in asked.model:
        found = gains(load_encoder(model, dtype=asked.dtype), pairs)
        first = found if first is None else first
        low, high = interval(found - first)
        print(f"| {model} | {len(pairs)} | {found.mean():.4f} | {low:+.4f} to {high:+.4f} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
