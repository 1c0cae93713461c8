"""What a faster way to encode costs: how far its rows turn, and what rankings and evidence lose.

A folder holds `qrels.tsv` (a header, then query, document and relevance, tab-separated) beside the files that
`evidence_tasks` reads. A query ranks the whole corpus by MaxSim; its evidence is asked for in its gold documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from evidence_measures import sentence_of
from evidence_tasks import Dataset, read_dataset
from numpy.typing import NDArray

from latelens import Encoder, TokenEmbeddings, explain, find_evidence
from latelens.evaluation.data import read_judgements
from latelens.evaluation.measures import ndcg
from latelens.maxsim import maxsim, pack

CUTOFF = 10
COLUMNS = "path | least cosine | mean cosine | nDCG@10 | points | sentence Hit@1 | points"  # and `Quality.cells`


@dataclass(frozen=True)
class Encoded:
    """Everything that a data set asks for, encoded by one path; in the data set's order."""

    queries: dict[str, TokenEmbeddings]
    documents: dict[str, TokenEmbeddings]

    @property
    def all(self) -> list[TokenEmbeddings]:
        return [*self.queries.values(), *self.documents.values()]


@dataclass(frozen=True)
class Quality:
    """Means over queries (`ndcg`) and over pairs of query and gold document (`hit`); cosines are of rows."""

    min_cosine: float
    mean_cosine: float
    ndcg: float
    hit: float

    def cells(self, exact: Quality) -> list[str]:
        found = [f"{self.min_cosine:.5f}", f"{self.mean_cosine:.5f}"]
        for value, other in ((self.ndcg, exact.ndcg), (self.hit, exact.hit)):
            found += [f"{value:.4f}", f"{100 * (value - other):+.2f}"]
        return found


def qualities(encoders: Mapping[str, Encoder], folder: Path) -> dict[str, Quality]:
    """Every path's quality; the one named "exact" is what the others are compared with."""
    dataset, relevant = read_dataset(folder), read_judgements(folder / "qrels.tsv")
    exact, found = encode(encoders["exact"], dataset), {}
    for name, encoder in encoders.items():
        encoded = exact if name == "exact" else encode(encoder, dataset)
        found[name] = quality(encoded, exact, dataset, relevant)
    print(f"\n{dataset.name}: {len(dataset.query_ids)} queries, {len(dataset.corpus)} documents.")
    return found


def encode(encoder: Encoder, dataset: Dataset) -> Encoded:
    """Encode the corpus, and every query once."""
    asked = {task.query_id: task.query for task in dataset.tasks}
    texts = {document.id: document.text for document in dataset.corpus}
    queries, documents = encoder.encode_queries(list(asked.values())), encoder.encode_documents(list(texts.values()))
    return Encoded(dict(zip(asked, queries, strict=True)), dict(zip(texts, documents, strict=True)))


def quality(encoded: Encoded, exact: Encoded, dataset: Dataset, relevant: dict[str, dict[str, int]]) -> Quality:
    """Compare one path with gold, and row by row with the exact one."""
    turned = cosines(encoded.all, exact.all)
    ids, packed = list(encoded.documents), pack([document.vectors for document in encoded.documents.values()])
    gains = []
    for query_id, query in encoded.queries.items():
        order = np.argsort(-maxsim(query.vectors, packed).scores, kind="stable")[:CUTOFF]
        gains.append(ndcg([ids[i] for i in order], relevant.get(query_id, {})))
    return Quality(float(turned.min()), float(turned.mean()), fmean(gains), fmean(hits(encoded, dataset)))


def cosines(some: Sequence[TokenEmbeddings], others: Sequence[TokenEmbeddings]) -> NDArray[np.float64]:
    """Cosine of each row to the same row of another path; other rows are an error."""
    found = []
    for a, b in zip(some, others, strict=True):
        if a.tokens != b.tokens or (a.spans != b.spans).any() or (a.kinds != b.kinds).any():
            raise AssertionError(f"two paths gave different rows for {a.text!r:.80}")
        lengths = np.linalg.norm(a.vectors, axis=1) * np.linalg.norm(b.vectors, axis=1)
        found.append((a.vectors * b.vectors).sum(axis=1) / lengths)
    return np.concatenate(found, dtype=np.float64)


def hits(encoded: Encoded, dataset: Dataset) -> list[float]:
    """Sentence Hit@1: whether the first span is a sentence that an answer touches."""
    found = []
    for task in dataset.tasks:
        explanation = explain(encoded.queries[task.query_id], encoded.documents[task.document.id])
        spans = find_evidence(explanation, sentences=task.sentences)
        best = sentence_of((spans[0].start, spans[0].end), task.sentences) if spans else None
        found.append(float(best in task.gold_sentences))
    return found
