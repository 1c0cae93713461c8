"""What the attribution benchmark measures on: claims with the passages that they cite, judged by people.

A folder holds `corpus.jsonl` {id, text}, `queries.jsonl` {id, text, question} and `pairs.jsonl` {qid, docids, label}:
label 1 if the claim is attributable to the set of passages, as in HAGRID (Kamalloo et al., arXiv 2307.16883) within
AttributionBench (Li et al., arXiv 2402.15089).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from evidence_tasks import split_of
from numpy.typing import NDArray

from latelens.attribution.claims import split_claims
from latelens.evaluation.data import digest_of, read_lines
from latelens.text.sentences import split_sentences


@dataclass(frozen=True)
class Pair:
    """A claim, which may be of several sentences, and the passages that it cites."""

    id: str
    claim: str
    question: str
    cited: tuple[str, ...]  # ids of passages
    attributable: bool
    asked: str | None = None  # what the user asked, where a set tells

    @property
    def split(self) -> str:
        """ "tune" where the sha1 of the id begins with 0 to 7, else "report"."""
        return split_of(self.id)


@dataclass(frozen=True)
class Claims:
    """A data set; pairs come in the order of the sha1 of their id, so that the first ones are a fair sample."""

    name: str
    passages: dict[str, str]  # id -> text
    pairs: tuple[Pair, ...]


def read_claims(folder: Path, *, limit: int | None = None) -> Claims:
    passages = {line["id"]: line["text"] for line in read_lines(folder / "corpus.jsonl")}
    queries = {line["id"]: line for line in read_lines(folder / "queries.jsonl")}
    pairs = [
        Pair(
            line["qid"],
            queries[line["qid"]]["text"],
            queries[line["qid"]].get("question", line["qid"]),
            tuple(line["docids"]),
            bool(line["label"]),
            queries[line["qid"]].get("question"),
        )
        for line in read_lines(folder / "pairs.jsonl")
    ]
    unknown = sorted({name for pair in pairs for name in pair.cited} - set(passages))
    if unknown:
        raise ValueError(f"pairs of {folder} cite passages that its corpus lacks: {unknown[:5]}")
    pairs.sort(key=lambda pair: digest_of(pair.id))
    return Claims("/".join(folder.resolve().parts[-2:]), passages, tuple(pairs[:limit]))


def distractors(claims: Claims, vectors: dict[str, NDArray[np.float32]], pair: Pair, count: int) -> tuple[str, ...]:
    """The passages most like the claim and as many at random, none of which an answer to its question cites.

    `vectors` are unit vectors of passages, by id, and of the claim, by its id.
    """
    theirs = {name for other in claims.pairs if other.question == pair.question for name in other.cited}
    names = [name for name in claims.passages if name not in theirs]
    names.sort(key=lambda name: -float(vectors[name] @ vectors[pair.id]))
    hard = names[: count // 2]
    rest = names[count // 2 :]
    return (*hard, *random.Random(pair.id).sample(rest, min(count - len(hard), len(rest))))


def texts_of(claims: Claims) -> list[str]:
    """Everything that the methods encode: passages, their sentences, claims and the statements in them."""
    passages = list(claims.passages.values())
    cited = {claims.passages[name] for pair in claims.pairs for name in pair.cited}
    sentences = [text[start:end] for text in sorted(cited) for start, end in split_sentences(text)]
    stated = [claim.statement for pair in claims.pairs for claim in split_claims(pair.claim) if claim.checkable]
    return list(dict.fromkeys([*passages, *sentences, *(pair.claim for pair in claims.pairs), *stated]))


def shuffled(names: Sequence[str], seed: str) -> tuple[str, ...]:
    return tuple(random.Random(f"order {seed}").sample(names, len(names)))
