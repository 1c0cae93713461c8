"""What the evidence benchmark measures on: queries, each with a gold document in which the evidence is marked.

A folder holds `corpus.jsonl` {id, title, text[, sents]}, `queries.jsonl` {id, text} and `evidence.jsonl`
{qid, docid, spans, mode[, groups]}. `sents` are gold sentence boundaries; without them the built-in splitter
decides. `mode` says what is enough: "any" span, "all" of them, or "any_group" of sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latelens.evaluation.data import digest_of, is_for_tuning, read_lines
from latelens.text.sentences import split_sentences

Span = tuple[int, int]


@dataclass(frozen=True)
class Document:
    id: str
    title: str
    text: str
    sentences: tuple[Span, ...] | None  # gold boundaries, None where there are none


@dataclass(frozen=True)
class Task:
    """One query and one gold document.

    Attributes
    ----------
    sentences
        Spans of the document, which every method ranks.
    answers
        Alternatives, each a group of spans that together are enough.
    gold
        The same as indices of sentences: every sentence that an answer touches.
    """

    query_id: str
    query: str
    document: Document
    sentences: tuple[Span, ...]
    answers: tuple[tuple[Span, ...], ...]
    gold: tuple[frozenset[int], ...]

    @property
    def gold_sentences(self) -> frozenset[int]:
        return frozenset().union(*self.gold)


@dataclass(frozen=True)
class Dataset:
    name: str
    corpus: tuple[Document, ...]
    tasks: tuple[Task, ...]  # pairs of one query are neighbours

    @property
    def query_ids(self) -> list[str]:
        return list(dict.fromkeys(task.query_id for task in self.tasks))


def read_dataset(folder: Path, *, split: str = "all", limit: int | None = None, prefix: str = "") -> Dataset:
    """Read the pairs of a folder; `prefix` "train_" reads `train_queries.jsonl` and `train_evidence.jsonl`.

    Queries come in the order of the sha1 of their id, so that the first `limit` are a fair sample. The split
    "tune" holds the queries for which this sha1 begins with 0 to 7, "report" the others.
    """
    documents = {
        line["id"]: Document(line["id"], line.get("title", ""), line["text"], _pairs(line.get("sents")))
        for line in read_lines(folder / "corpus.jsonl")
    }
    queries = {line["id"]: line["text"] for line in read_lines(folder / f"{prefix}queries.jsonl")}
    tasks: dict[str, list[Task]] = {}
    for line in read_lines(folder / f"{prefix}evidence.jsonl"):
        if split == "all" or split_of(line["qid"]) == split:
            tasks.setdefault(line["qid"], []).append(_task(line, queries[line["qid"]], documents[line["docid"]]))
    if not tasks:
        raise ValueError(
            f"no query of {folder} is in the split {split!r} (the sha1 of the id decides); measure with --split all, "
            "or on a larger part of the data set"
        )
    kept = sorted(tasks, key=digest_of)[:limit]
    name = "/".join(folder.resolve().parts[-3:]) + (f" ({prefix.rstrip('_')})" if prefix else "")
    return Dataset(name, tuple(documents.values()), tuple(task for qid in kept for task in tasks[qid]))


def split_of(query_id: str) -> str:
    return "tune" if is_for_tuning(query_id) else "report"


def touched(spans: Sequence[Span], sentences: Sequence[Span]) -> frozenset[int]:
    """Which sentences share a character with one of the spans."""
    return frozenset(
        i for i, (begin, end) in enumerate(sentences) if any(start < end and begin < stop for start, stop in spans)
    )


def _task(line: dict[str, Any], query: str, document: Document) -> Task:
    sentences = split_sentences(document.text) if document.sentences is None else document.sentences
    spans = _pairs(line["spans"]) or ()
    if line["mode"] == "any_group":
        groups = [[sentences[i] for i in group] for group in line["groups"]]
    elif line["mode"] == "all":
        groups = [list(spans)]
    else:
        groups = [[span] for span in dict.fromkeys(spans)]
    # An answer that lies in no sentence (the splitter leaves out what nobody sees) is no alternative for any method.
    found = [(tuple(group), touched(group, sentences)) for group in groups]
    found = [(group, gold) for group, gold in found if gold]
    if not found:
        raise ValueError(f"the evidence of query {line['qid']!r} lies outside the sentences of {document.id!r}")
    answers, gold = zip(*found, strict=True)
    return Task(line["qid"], query, document, tuple(sentences), tuple(answers), tuple(gold))


def _pairs(spans: Sequence[Sequence[int]] | None) -> tuple[Span, ...] | None:
    return None if spans is None else tuple((start, end) for start, end in spans)
