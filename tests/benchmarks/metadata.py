"""Does it help to read the title before each text? Whole small corpora, reranked with and without it.

    python tests/benchmarks/metadata.py data/squad_dev/small data/scifact/small

Folders as `latelens.evaluation.data` reads them, with titles. A question *needs* the title where a content word of it
stands in the right document's title and nowhere in its text.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from evidence_table import Bootstrap
from langchain_core.documents import Document

from langchain_latelens import LateInteractionRerank
from latelens import EmbeddingCache, Encoder, load_encoder
from latelens.evaluation.data import read_judgements, read_lines
from latelens.evaluation.measures import ndcg
from latelens.text.characters import words
from latelens.text.function_words import content_words

SETTINGS: dict[str, list[str]] = {"text": [], "title and text": ["title"]}


@dataclass(frozen=True)
class Task:
    """A corpus with titles, and questions with the documents that answer them."""

    name: str
    documents: Sequence[Document]
    questions: Mapping[str, str]
    answers: Mapping[str, Mapping[str, float]]

    def needs_title(self, question: str) -> bool:
        """Whether the title alone has a word of the question, for each document that answers it."""
        asked = _content(self.questions[question])
        right = [one for one in self.documents if one.id in self.answers[question]]
        return all((asked & _content(one.metadata["title"])) - _words(one.page_content) for one in right)


def read_task(folder: Path) -> Task:
    documents = [
        Document(line["text"], id=line["id"], metadata={"title": line["title"]})
        for line in read_lines(folder / "corpus.jsonl")
    ]
    answers = read_judgements(folder / "qrels.tsv")
    questions = {line["id"]: line["text"] for line in read_lines(folder / "queries.jsonl") if line["id"] in answers}
    return Task(f"{folder.parent.name}/{folder.name}", documents, questions, answers)


def measure(task: Task, encoder: Encoder, keys: list[str]) -> dict[str, tuple[float, float]]:
    """NDCG@10 and Hit@1 of each question."""
    reranker = LateInteractionRerank(
        model=encoder, top_n=10, explain="off", cache=EmbeddingCache(max_bytes=2**31), metadata_keys=keys
    )
    found = {}
    for id, question in task.questions.items():
        ranked = [str(one.id) for one in reranker.compress_documents(task.documents, question)]
        found[id] = ndcg(ranked, task.answers[id]), float(ranked[0] in task.answers[id])
    return found


def report(task: Task, encoder: Encoder) -> None:
    measured = {name: measure(task, encoder, keys) for name, keys in SETTINGS.items()}
    needing = [id for id in task.questions if task.needs_title(id)]
    for group, ids in (("all questions", list(task.questions)), ("need the title", needing)):
        print(f"{task.name}, {group}: {len(ids)}, of {len(task.documents)} documents")
        if not ids:
            continue
        resampled = Bootstrap(ids, seed=0)
        rows = {name: np.array([values[id] for id in ids]) for name, values in measured.items()}
        for name, values in rows.items():
            print(f"  {name:16} nDCG@10 {resampled.mean(values[:, 0])}  Hit@1 {resampled.mean(values[:, 1])}")
        gain = rows["title and text"] - rows["text"]
        print(f"  {'gain':16} nDCG@10 {resampled.mean(gain[:, 0])}  Hit@1 {resampled.mean(gain[:, 1])}", flush=True)


def _words(text: str) -> set[str]:
    return {text[start:end].lower() for start, end in words(text).tolist()}


def _content(text: str) -> set[str]:
    return {word.lower() for word in content_words(sorted(_words(text)), text)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folders", type=Path, nargs="+")
    arguments.add_argument("--model", default="offline/all-MiniLM-L6-v2")
    arguments.add_argument("--dtype", default=None)
    given = arguments.parse_args()
    encoder = load_encoder(given.model, dtype=given.dtype)
    for folder in given.folders:
        report(read_task(folder), encoder)


if __name__ == "__main__":
    main()
