"""Data sets on disk: JSON Lines of texts, and judgements of which document answers which query.

A folder holds ``corpus.jsonl`` and ``queries.jsonl`` of ``{"id", "text"}`` (a document may have a ``"title"``) and
``qrels.tsv`` of query id, document id and relevance, under one line of headings (as in BEIR; Thakur et al., 2021).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Question:
    """A query with the documents that answer it."""

    id: str
    text: str
    answers: frozenset[str]

    @property
    def digest(self) -> str:
        """The sha1 of its id: an order that has nothing to do with what it asks."""
        return digest_of(self.id)

    @property
    def fitted(self) -> bool:
        """Whether it belongs to the half that a calibration is fitted on."""
        return is_for_tuning(self.id)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON Lines file; blank lines are left out.

    Raises
    ------
    ValueError
        Naming the file and the line that is not a JSON object.
    """
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _object(line, path, number)


def read_slabs(path: Path, size: int, key: str = "text") -> Iterator[list[tuple[str, str]]]:
    """Ids and texts of a corpus, at most `size` at a time: a large one never lies in memory whole.

    Raises
    ------
    ValueError
        Naming a document that has no such key.
    """
    documents = ((line["id"], _named(line, key, path)) for line in read_lines(path))
    while slab := list(islice(documents, size)):
        yield slab


def _named(line: dict[str, Any], key: str, path: Path) -> str:
    if not isinstance(line.get(key), str):
        raise ValueError(f"{path}: document {line['id']!r} has no {key!r}")
    return str(line[key])


def read_judgements(path: Path) -> dict[str, dict[str, float]]:
    """Relevance by query id and document id; the first line is headings, judgements of 0 are left out."""
    found: dict[str, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, relevance = line.split("\t")
        if float(relevance) > 0:
            found.setdefault(query, {})[document] = float(relevance)
    return found


def read_questions(folder: Path) -> list[Question]:
    """Queries with at least one answer, in the order of the sha1 of their id."""
    judged = read_judgements(folder / "qrels.tsv")
    found = [
        Question(line["id"], line["text"], frozenset(judged[line["id"]]))
        for line in read_lines(folder / "queries.jsonl")
        if line["id"] in judged
    ]
    return sorted(found, key=lambda question: question.digest)


def digest_of(name: str) -> str:
    """The sha1 of an id: sorts and halves a data set in a way that has nothing to do with what it says."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()


def is_for_tuning(name: str) -> bool:
    """Whether an id belongs to the half on which rules may be chosen; what is reported comes from the other."""
    return digest_of(name)[0] in "01234567"


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path}, line {number} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}, line {number} must be a JSON object, got {type(found).__name__}: {line:.40}")
    return found
