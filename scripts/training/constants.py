"""Do the constants of the evidence fit a model? Two tables.

python scripts/training/constants.py MODEL... --data FOLDER [--prefix train_] [--split tune] [--limit 300]

The first is the F1 of the evidence for several values of what lists a second sentence: `CLEAR` is how many standard
deviations two words must gain, `_ALONE` how many one word must gain. The second is for `COVERED`, the strength that
answers a word: how strong words of a question are that its chunk repeats (the weakest 5 %), and how strong content
words are in a chunk on another subject that has not got them (the strongest 10 %). `COVERED` should be about where the
second lies, and far below the first.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

import numpy as np

from latelens import Explanation, explain, find_evidence, load_encoder
from latelens.explanation import covering, evidence
from latelens.explanation.matches import _SPEAKS
from latelens.explanation.words import query_words

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "benchmarks"))
from evidence_measures import F1, against_gold
from evidence_methods import Choice
from evidence_tasks import Task, read_dataset

_WORD = re.compile(r"\w+")


def strengths(explained: Sequence[Explanation], others: Sequence[Explanation]) -> tuple[float, float, int, int]:
    """Strengths of repeated words, 5th percentile, and of words elsewhere, 90th percentile, and how many each."""
    repeated: list[float] = []
    foreign: list[float] = []
    for own, other in zip(explained, others, strict=True):
        asked = query_words(own.query)
        for found, into, wanted in ((own, repeated, True), (other, foreign, False)):
            held = set(_WORD.findall(found.document.text.casefold()))
            content = asked.weights * len(asked.words) >= _SPEAKS
            into += [
                float(strength)
                for word, strength, speaks in zip(asked.words, found.word_strengths, content, strict=True)
                if speaks and (word.casefold() in held) == wanted
            ]
    return float(np.percentile(repeated, 5)), float(np.percentile(foreign, 90)), len(repeated), len(foreign)


def print_table(model: str, explained: Sequence[Explanation], tasks: Sequence[Task]) -> None:
    """F1 and number of sentences for each pair of values."""
    for clear, alone in product((0.75, 1.0, 1.25, 1.5), (2.5, 3.5, 4.5)):
        scores, counts = [], []
        chosen = patch.multiple(evidence, CLEAR=clear, _ALONE=alone)
        with patch.object(covering, "CLEAR", clear), chosen:
            for task, each in zip(tasks, explained, strict=True):
                spans = [(span.start, span.end) for span in find_evidence(each, sentences=task.sentences)]
                scores.append(against_gold(task, Choice(tuple(spans), len(spans)))[F1])
                counts.append(len(spans))
        print(f"| {model} | {clear} | {alone} | {fmean(scores):.4f} | {fmean(counts):.2f} |", flush=True)  # noqa: T201


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prefix", default="", help="of the files of queries and evidence, such as train_")
    parser.add_argument("--split", choices=["all", "tune", "report"], default="tune")
    parser.add_argument("--limit", type=int, default=300)
    asked = parser.parse_args(given)
    tasks = read_dataset(asked.data, split=asked.split, prefix=asked.prefix, limit=asked.limit).tasks
    half = len(tasks) // 2
    words = []
    print("| model | clear | alone | F1 | sentences |\n|---|---|---|---|---|")  # noqa: T201
    for model in asked.model:
        encoder = load_encoder(model)
        documents = encoder.encode_documents([task.document.text for task in tasks])
        queries = encoder.encode_queries([task.query for task in tasks])
        explained = [explain(query, document) for query, document in zip(queries, documents, strict=True)]
        elsewhere = [*documents[half:], *documents[:half]]
        others = [explain(query, document) for query, document in zip(queries, elsewhere, strict=True)]
        print_table(model, explained, tasks)
        weak, strong, *counts = strengths(explained, others)
        words.append(f"| {model} | {weak:.3f} ({counts[0]}) | {strong:.3f} ({counts[1]}) |")
    print("\n| model | repeated words, 5 % below | words elsewhere, 90 % below |\n|---|---|---|", *words, sep="\n")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
