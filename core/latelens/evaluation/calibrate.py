"""Fit the calibration of a model: ``python -m latelens.evaluation.calibrate MODEL FOLDER --output FILE``.

FOLDER holds ``corpus.jsonl`` and ``queries.jsonl`` of ``{"id", "text"}`` and ``qrels.tsv`` of query id, document id
and relevance. For each query the best right document counts as an answer, the best other document as none. Half of
the queries (sha1 of their id from 0 to 7) are fitted on; the other half, and any ``--test FOLDER``, are measured.

For a model that reads images of pages, a line of ``corpus.jsonl`` is ``{"id", "image"}``: a file beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latelens.encoders import Encoder, load_encoder
from latelens.encoders.calibration import Calibration
from latelens.encoders.protocol import page_encoder, reads_pages
from latelens.evaluation.data import Question, read_questions, read_slabs
from latelens.evaluation.measures import auroc, expected_calibration_error
from latelens.explanation.matches import Explanation, explain
from latelens.explanation.relevance import best_passage
from latelens.maxsim import maxsim, pack

_SLAB, _PAGES = 1024, 64  # texts or pages at a time


@dataclass(frozen=True)
class Examples:
    """Explanations of chunks that answer their query, and of those that do not.

    Attributes
    ----------
    strengths, lengths, passages
        (examples,) float64: of the document's best passage, see `latelens.explanation.relevance.BestPassage`.
    labels
        (examples,) bool: whether the document answers.
    """

    strengths: NDArray[np.float64]
    lengths: NDArray[np.float64]
    passages: NDArray[np.float64]
    labels: NDArray[np.bool_]

    def probabilities(self, calibration: Calibration) -> NDArray[np.float64]:
        """What a calibration makes of them, (examples,)."""
        return calibration.probability(self.strengths, self.lengths, self.passages)


def find_examples(
    encoder: Encoder, folder: Path, questions: Sequence[Question], *, show_progress: bool = False
) -> Examples:
    """Each question's best right document and its best other document, among all of the corpus."""
    return _examples(_best_of_each(encoder, folder, questions, show_progress=show_progress))


def _best_of_each(
    encoder: Encoder, folder: Path, questions: Sequence[Question], *, show_progress: bool
) -> list[dict[bool, Explanation]]:
    """For each question its best right document, under True, and its best other one; the corpus is read once."""
    asked = encoder.encode_queries([question.text for question in questions])
    best: list[dict[bool, Explanation]] = [{} for _ in questions]
    pages = reads_pages(encoder)
    for documents in read_slabs(folder / "corpus.jsonl", *((_PAGES, "image") if pages else (_SLAB, "text"))):
        contents = [content for _, content in documents]
        if pages:
            images = [folder / image for image in contents]
            encoded = page_encoder(encoder).encode_pages(images, show_progress=show_progress)
        else:
            encoded = encoder.encode_documents(contents, show_progress=show_progress)
        packed = pack([document.vectors for document in encoded])
        for question, query, kept in zip(questions, asked, best, strict=True):
            right = np.array([name in question.answers for name, _ in documents])
            scores = maxsim(query.vectors, packed).scores
            for label in (True, False):
                if (right == label).any():
                    first = encoded[int(np.where(right == label, scores, -np.inf).argmax())]
                    _keep_better(kept, label, explain(query, first))
    return best


def _examples(best: Sequence[dict[bool, Explanation]]) -> Examples:
    complete = [kept for kept in best if len(kept) == 2]
    found = [(label, best_passage(kept[label])) for kept in complete for label in (True, False)]
    return Examples(
        strengths=np.array([passage.strength for _, passage in found]),
        lengths=np.array([passage.length for _, passage in found]),
        passages=np.array([passage.passages for _, passage in found]),
        labels=np.array([label for label, _ in found]),
    )


def fit(examples: Examples, *, model: str, fitted_on: str, pages: bool = False) -> Calibration:
    """Logistic regression of the labels; `pages` says that they are of page images.

    Raises
    ------
    ValueError
        If there are too few examples to mean anything.
    """
    from sklearn.linear_model import LogisticRegression

    if len(examples.labels) < 100:
        raise ValueError(f"a calibration needs at least 50 questions with answers, got {len(examples.labels) // 2}")
    features = np.stack([examples.strengths, examples.lengths, examples.passages], axis=1)
    found = LogisticRegression(C=10.0, max_iter=1000).fit(features, examples.labels)
    # Where all documents are one passage long, nothing is learned of more, and the coefficient stays 0.
    strength, length, passages = (round(float(each), 4) for each in found.coef_[0])
    return Calibration(model, strength, length, round(float(found.intercept_[0]), 4), fitted_on, passages, pages)


def measure(calibration: Calibration, examples: Examples) -> dict[str, float]:
    """AUROC and the expected calibration error of what a calibration makes of some examples."""
    probabilities = examples.probabilities(calibration)
    return {
        "auroc": auroc(probabilities, examples.labels),
        "ece": expected_calibration_error(probabilities, examples.labels),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, measure, and write; called by ``python -m latelens.evaluation.calibrate``."""
    parser = argparse.ArgumentParser(
        prog="python -m latelens.evaluation.calibrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="what load_encoder takes: a hub id, a folder, offline/latelens-mini")
    parser.add_argument("folder", type=Path, help="data to fit on")
    parser.add_argument("--test", type=Path, action="append", default=[], help="more data to measure on")
    parser.add_argument("--output", type=Path, help="where to write the calibration, as JSON")
    parser.add_argument("--limit", type=int, help="use at most so many queries for each row of the table")
    parser.add_argument("--speed", choices=("exact", "fast"), default="exact")
    options = parser.parse_args(arguments)
    try:
        calibration, rows = _run(options)
    except (ImportError, OSError, ValueError) as error:
        print(f"calibrate: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print("| data | questions | AUROC | ECE |\n|---|---|---|---|")  # noqa: T201
    for name, questions, found in rows:
        print(f"| {name} | {questions} | {found['auroc']:.3f} | {found['ece']:.3f} |")  # noqa: T201
    if options.output:
        calibration.save(options.output)
    return 0


def _run(options: argparse.Namespace) -> tuple[Calibration, list[tuple[str, int, dict[str, float]]]]:
    encoder = load_encoder(options.model, speed=options.speed)
    questions = read_questions(options.folder)
    fitted, held = (
        [question for question in questions if question.fitted is wanted][: options.limit] for wanted in (True, False)
    )
    progress = sys.stderr.isatty()
    best = _best_of_each(encoder, options.folder, [*fitted, *held], show_progress=progress)
    sets = [("fitted on", _examples(best[: len(fitted)])), ("held out", _examples(best[len(fitted) :]))]
    examples = sets[0][1]
    source = f"{len(examples.labels) // 2} queries of {options.folder.resolve().parent.name}/{options.folder.name}"
    calibration = fit(examples, model=options.model, fitted_on=source, pages=reads_pages(encoder))
    for folder in options.test:
        asked = read_questions(folder)[: options.limit]
        sets.append((str(folder), find_examples(encoder, folder, asked, show_progress=progress)))
    rows = [(name, len(found.labels) // 2, measure(calibration, found)) for name, found in sets if len(found.labels)]
    return calibration, rows


def _keep_better(kept: dict[bool, Explanation], label: bool, explanation: Explanation) -> None:
    if label not in kept or explanation.score > kept[label].score:
        kept[label] = explanation


if __name__ == "__main__":
    sys.exit(main())
