"""The training data: questions, the passages that answer them, and which sentence of the passage does.

A folder holds `train.jsonl.gz` and `valid.jsonl.gz`, split by document: {source, question, sentences, gold, document}.
"""

from __future__ import annotations

import gzip
import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.text.characters import words

CONTROL, PUNCTUATION = -1, -2  # owners of rows that lie in no sentence; punctuation never scores


@dataclass(frozen=True, eq=False)
class Passage:
    """A passage as the model reads it.

    Attributes
    ----------
    source, article
        Where it is from; passages of one article are hard negatives of each other.
    ids
        (tokens,) int32.
    owners
        (tokens,) int32: the sentence that each token lies in, `CONTROL` or `PUNCTUATION`.
    """

    source: str
    article: str
    ids: NDArray[np.int32]
    owners: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Question:
    """A question as the model reads it.

    Attributes
    ----------
    ids
        (tokens,) int32.
    words
        (tokens,) int32: the word that each token belongs to, -1 for those in none.
    passage
        Index of the passage that answers.
    gold
        The sentences of the passage that answer.
    """

    ids: NDArray[np.int32]
    words: NDArray[np.int32]
    passage: int
    gold: tuple[int, ...]


@dataclass(frozen=True)
class Examples:
    """Passages and what is asked about them."""

    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]
    asked: tuple[tuple[int, ...], ...]  # of each passage the indices of its questions, never none


def read_examples(path: Path, tokenizer: Any, *, longest_query: int, longest_passage: int) -> Examples:
    """Read and tokenize; questions whose answer lies behind the longest passage are left out."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    texts = {(line["source"], line["document"], tuple(line["sentences"])): None for line in found if line["gold"]}
    passages = [_passage(*key, tokenizer, longest_passage) for key in texts]
    place = {key: i for i, key in enumerate(texts)}
    questions: list[Question] = []
    asked: list[list[int]] = [[] for _ in passages]
    for line in found:
        i = place.get((line["source"], line["document"], tuple(line["sentences"])))
        gold = () if i is None else tuple(g for g in line["gold"] if (passages[i].owners == g).any())
        if i is not None and gold:
            asked[i].append(len(questions))
            questions.append(_question(line["question"], i, gold, tokenizer, longest_query))
    return _without_unasked(passages, questions, asked)


def _without_unasked(passages: list[Passage], questions: list[Question], asked: list[list[int]]) -> Examples:
    kept = [i for i, mine in enumerate(asked) if mine]
    new = {i: place for place, i in enumerate(kept)}
    moved = [Question(each.ids, each.words, new[each.passage], each.gold) for each in questions]
    return Examples(tuple(passages[i] for i in kept), tuple(moved), tuple(tuple(asked[i]) for i in kept))


def _passage(source: str, document: str, sentences: Sequence[str], tokenizer: Any, longest: int) -> Passage:
    encoded = tokenizer(" ".join(sentences), truncation=True, max_length=longest, return_offsets_mapping=True)
    ends = np.cumsum([len(sentence) + 1 for sentence in sentences])
    offsets, ids = np.array(encoded["offset_mapping"]), np.array(encoded["input_ids"], dtype=np.int32)
    owners = ends.searchsorted(offsets[:, 0], side="right").astype(np.int32)
    owners[np.isin(ids, tokenizer.convert_tokens_to_ids(list(string.punctuation)))] = PUNCTUATION
    owners[offsets[:, 1] == 0] = CONTROL
    return Passage(source, _article(source, document), ids, owners)


def _article(source: str, document: str) -> str:
    """What a passage was cut from: SelQA names article and section; SQuAD's passages are numbered in order."""
    return document.rsplit(":", 1)[0] if source == "selqa" else document


def _question(text: str, passage: int, gold: tuple[int, ...], tokenizer: Any, longest: int) -> Question:
    encoded = tokenizer(text, truncation=True, max_length=longest, return_offsets_mapping=True)
    offsets, spans = np.array(encoded["offset_mapping"]), words(text)
    owner = spans[:, 0].searchsorted(offsets[:, 1]) - 1
    inside = (owner >= 0) & (offsets[:, 1] > 0)
    inside &= offsets[:, 0] < spans[np.maximum(owner, 0), 1]
    return Question(np.array(encoded["input_ids"], dtype=np.int32), np.where(inside, owner, -1), passage, gold)
