"""Do the constants that list a second sentence fit a model? F1 of the evidence, for several values of both.

python scripts/training/constants.py MODEL... --data FOLDER [--split tune] [--limit 300]

`CLEAR` is how many standard deviations two words must gain, `_ALONE` how many one word must gain.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

from latelens import explain, find_evidence, load_encoder
from latelens.explanation import covering, evidence

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "benchmarks"))
from evidence_measures import F1, against_gold
from evidence_methods import Choice
from evidence_tasks import read_dataset


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=["all", "tune", "report"], default="tune")
    parser.add_argument("--limit", type=int, default=300)
    asked = parser.parse_args(given)
    tasks = read_dataset(asked.data, split=asked.split, limit=asked.limit).tasks
    print("| model | clear | alone | F1 | sentences |\n|---|---|---|---|---|")  # noqa: T201
    for model in asked.model:
        encoder = load_encoder(model)
        texts = list(dict.fromkeys(task.document.text for task in tasks))
        documents = dict(zip(texts, encoder.encode_documents(texts), strict=True))
        queries = encoder.encode_queries([task.query for task in tasks])
        explained = [explain(q, documents[t.document.text]) for q, t in zip(queries, tasks, strict=True)]
        for clear, alone in product((0.75, 1.0, 1.25, 1.5), (2.5, 3.5, 4.5)):
            scores, counts = [], []
            chosen = patch.multiple(evidence, CLEAR=clear, _ALONE=alone)
            with patch.object(covering, "CLEAR", clear), chosen:
                for task, each in zip(tasks, explained, strict=True):
                    spans = [(span.start, span.end) for span in find_evidence(each, sentences=task.sentences)]
                    scores.append(against_gold(task, Choice(tuple(spans), len(spans)))[F1])
                    counts.append(len(spans))
            print(f"| {model} | {clear} | {alone} | {fmean(scores):.4f} | {fmean(counts):.2f} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
