"""Is a relevance right for long documents too? Run by hand: it prints a table, and the coefficient of `passages`.

python tests/benchmarks/relevance_lengths.py FOLDER... --join 1 7 38 [--fit] [--limit 300]

FOLDER is a data set as `latelens.evaluation.data` reads it. Its documents are joined in runs of so many, with
neighbours in the file; those of one article (ids alike up to a "-") stay together. For each question, the best joined
document that holds an answer is compared with the best that does not. `--fit` fits `passages` on the first folder, half
of its questions (sha1 of the id from 0 to 7), with the other coefficients as they are, so that short texts keep their
relevance; the other half and the other folders are measured.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from latelens import Calibration, TokenEmbeddings, explain, load_encoder
from latelens.evaluation.calibrate import Examples, measure
from latelens.evaluation.data import Question, read_lines, read_questions
from latelens.explanation.matches import Explanation
from latelens.explanation.relevance import best_passage
from latelens.maxsim import maxsim, pack

Found = list[tuple[Question, bool, Explanation]]


def join(parts: Sequence[TokenEmbeddings]) -> TokenEmbeddings:
    """Documents end to end, as windows of one document are."""
    return TokenEmbeddings(
        " ".join(part.text for part in parts),
        np.concatenate([part.vectors for part in parts]),
        tuple(token for part in parts for token in part.tokens),
        np.concatenate([part.spans for part in parts]),
        np.concatenate([part.kinds for part in parts]),
    )


def runs(ids: Sequence[str], size: int) -> list[list[int]]:
    """Positions to join: runs of `size`, within an article where ids name one; short rests are left out."""
    found = []
    for _, places in groupby(range(len(ids)), lambda i: ids[i].rpartition("-")[0]):
        members = list(places)
        pieces = [members[i : i + size] for i in range(0, len(members), size)]
        found += [piece for piece in pieces if 2 * len(piece) > size]
    return found


def compare(folder: Path, encoder: object, sizes: Sequence[int], limit: int) -> dict[int, Found]:
    documents = [(line["id"], line["text"]) for line in read_lines(folder / "corpus.jsonl")]
    rows = encoder.encode_documents([text for _, text in documents])  # type: ignore[attr-defined]
    ids = [name for name, _ in documents]
    known = set(ids)
    questions = [question for question in read_questions(folder) if question.answers & known]
    halves = [[question for question in questions if question.fitted is half][:limit] for half in (True, False)]
    questions = halves[0] + halves[1]
    asked = encoder.encode_queries([question.text for question in questions])  # type: ignore[attr-defined]
    table: dict[int, Found] = {}
    for size in sizes:
        groups = runs(ids, size)
        joined = [join([rows[i] for i in group]) for group in groups]
        packed, found = pack([document.vectors for document in joined]), []
        for question, query in zip(questions, asked, strict=True):
            scores = maxsim(query.vectors, packed).scores
            right = np.array([any(ids[i] in question.answers for i in group) for group in groups])
            if right.any() and not right.all():
                for label in (True, False):
                    best = int(np.where(right == label, scores, -math.inf).argmax())
                    found.append((question, label, explain(query, joined[best])))
        table[size] = found
    return table


def examples(found: Found, *, whole: bool) -> Examples:
    """Of the best passage, or of the whole document as one, which is what a relevance was before."""
    passages = [best_passage(explanation) for _, _, explanation in found]
    lengths = [math.log(len(explanation.document)) for _, _, explanation in found]
    return Examples(
        np.array([each.strength for _, _, each in found] if whole else [each.strength for each in passages]),
        np.array(lengths if whole else [each.length for each in passages]),
        np.array([0.0 if whole else each.passages for each in passages]),
        np.array([label for _, label, _ in found]),
    )


def fit_passages(calibration: Calibration, given: Examples) -> Calibration:
    """Newton's method on the one coefficient that long documents need."""
    labels, value = given.labels.astype(float), 0.0
    for _ in range(50):
        chances = given.probabilities(replace(calibration, passages=value))
        slope = (given.passages * (labels - chances)).sum()
        value += slope / (given.passages**2 * chances * (1 - chances)).sum()
    return replace(calibration, passages=round(float(value), 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--model", default="offline/latelens-mini")
    parser.add_argument("--join", type=int, nargs="+", default=[1, 7, 38])
    parser.add_argument("--limit", type=int, default=300, help="questions of each half")
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    encoder = load_encoder(asked.model)
    calibration: Calibration = encoder.calibration  # type: ignore[attr-defined]
    print("| data | joined | passages | questions | AUROC, whole | ECE, whole | AUROC | ECE |\n" + "|---" * 8 + "|")
    for first, folder in enumerate(asked.folder):
        table = compare(folder, encoder, asked.join, asked.limit)
        if asked.fit and not first:
            fitted = [each for found in table.values() for each in found if each[0].fitted]
            calibration = fit_passages(calibration, examples(fitted, whole=False))
        for size, found in table.items():
            held = [each for each in found if not (asked.fit and not first and each[0].fitted)]
            now = examples(held, whole=False)
            before, after = measure(calibration, examples(held, whole=True)), measure(calibration, now)
            numbers = [*before.values(), *after.values()]
            count = math.exp(float(now.passages.mean()))
            row = " | ".join(f"{number:.3f}" for number in numbers)
            print(
                f"| {folder.parent.name}/{folder.name} | {size} | {count:.1f} | {len(held) // 2} | {row} |", flush=True
            )
    print(f"\npassages: {calibration.passages}")


if __name__ == "__main__":
    main()
