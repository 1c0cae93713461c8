"""Marked questions as a model reads them, and batches of them; a training step encodes their texts with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence

from latelens.adapt.examples import MarkedQuestion
from latelens.adapt.losses import TrainingBatch
from latelens.adapt.sampling import by_passage, pad
from latelens.embeddings import TokenEmbeddings
from latelens.encoders.local.gradients import differentiable_rows, first_window_ends
from latelens.encoders.local.sentence_transformers import SentenceTransformersEncoder
from latelens.explanation.words import group_rows
from latelens.text.characters import words


@dataclass(frozen=True)
class TextBatch(TrainingBatch):
    """A batch with its texts."""

    questions: Sequence[str]
    passages: Sequence[str]


@dataclass(frozen=True, eq=False)
class Texts:
    """Marked questions, encoded once by the model as it was.

    Attributes
    ----------
    examples
        The questions.
    queries
        What the model made of each.
    documents
        The same of each passage, those of one document in a row.
    own
        Of each question the index of its passage.
    """

    examples: tuple[MarkedQuestion, ...]
    queries: tuple[TokenEmbeddings, ...]
    documents: tuple[TokenEmbeddings, ...]
    own: tuple[int, ...]

    @property
    def asked(self) -> tuple[tuple[int, ...], ...]:
        """Of each passage its questions."""
        return by_passage(self.own, len(self.documents))

    def batch(self, passages: Sequence[int], questions: Sequence[int], device: torch.device | str) -> TextBatch:
        """Lay out chosen passages and questions of them."""
        place = {passage: i for i, passage in enumerate(passages)}
        asked, queries = [self.examples[i] for i in questions], [self.queries[i] for i in questions]
        documents = [self.documents[i] for i in passages]
        sentences = {self.own[i]: self.examples[i].sentences for i in questions}
        owners = [rows_in(self.documents[i], sentences.get(i, ())) for i in passages]
        return TextBatch(
            query_before=_rows(queries).to(device),
            query_mask=_real(queries).to(device),
            words=torch.from_numpy(pad([_words(each) for each in queries], -1)).to(device),
            passage_before=_rows(documents).to(device),
            passage_mask=_real(documents).to(device),
            owners=torch.from_numpy(pad(owners, -2)).to(device),
            own=torch.tensor([place[self.own[i]] for i in questions], device=device),
            gold=[each.gold for each in asked],
            questions=[each.question for each in asked],
            passages=[each.text for each in documents],
        )


def read_texts(encoder: SentenceTransformersEncoder, examples: Sequence[MarkedQuestion]) -> Texts:
    """Encode questions and passages; a passage is cut behind the last sentence that one window holds whole.

    Questions whose marked sentences, or all others, lie behind that are left out.
    """
    cut = _cut(encoder, examples)
    kept = sorted(cut, key=lambda each: (each.document, each.text))
    texts = list(dict.fromkeys(each.text for each in kept))
    place = {text: i for i, text in enumerate(texts)}
    queries = encoder.encode_queries([each.question for each in kept])
    documents = encoder.encode_documents(texts)
    return Texts(tuple(kept), tuple(queries), tuple(documents), tuple(place[each.text] for each in kept))


def encode_batch(encoder: SentenceTransformersEncoder, batch: TextBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of a batch's questions and passages by the model as it is now, with gradients."""
    queries = differentiable_rows(encoder, batch.questions, "query")
    passages = differentiable_rows(encoder, batch.passages, "document")
    return pad_sequence(queries, batch_first=True), pad_sequence(passages, batch_first=True)


def rows_in(document: TokenEmbeddings, spans: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Which of the spans each row lies in, (rows,), -1 for none."""
    rows, present, starts = group_rows(document, np.array(spans, dtype=np.int32).reshape(-1, 2))
    found = np.full(len(document), -1, dtype=np.int64)
    found[rows] = np.repeat(present, np.diff(starts))
    return found


def _cut(encoder: SentenceTransformersEncoder, examples: Sequence[MarkedQuestion]) -> list[MarkedQuestion]:
    texts = list(dict.fromkeys(each.text for each in examples))
    readable = dict(zip(texts, first_window_ends(encoder, texts, "document"), strict=True))
    asked = first_window_ends(encoder, [each.question for each in examples], "query")
    found = []
    for each, end in zip(examples, asked, strict=True):
        sentences = tuple(span for span in each.sentences if span[1] <= readable[each.text])
        gold = tuple(i for i in each.gold if i < len(sentences))
        if 0 < len(gold) < len(sentences) and end == len(each.question):
            found.append(replace(each, text=each.text[: sentences[-1][1]], sentences=sentences, gold=gold))
    return found


def _words(query: TokenEmbeddings) -> NDArray[np.int64]:
    return rows_in(query, [(start, end) for start, end in words(query.text).tolist()])


def _rows(texts: Sequence[TokenEmbeddings]) -> torch.Tensor:
    return torch.from_numpy(pad([each.vectors for each in texts], 0))


def _real(texts: Sequence[TokenEmbeddings]) -> torch.Tensor:
    return torch.from_numpy(pad([np.ones(len(each), dtype=np.bool_) for each in texts], False))
