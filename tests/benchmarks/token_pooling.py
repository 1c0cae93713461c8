"""What fewer rows a document cost: python tests/benchmarks/token_pooling.py DATASET... [--limit 300] [--split report].

DATASET is a folder as `evidence_tasks` reads it. For each way of pooling: content rows a document, the rank of the
right document among all of the folder, how many of the ten that whole rows rank first are found, and evidence against
the marked sentences. "codes" scores by attention over the rows (`explain_codes`) in place of MaxSim.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from evidence_measures import F1, HIT, against_gold
from evidence_methods import Choice
from evidence_tasks import Dataset, read_dataset

from latelens import TokenEmbeddings, explain, find_evidence, load_encoder
from latelens.encoders.token_pooling import pool_rows
from latelens.evaluation.measures import ndcg
from latelens.explanation.codes import explain_codes
from latelens.maxsim import maxsim, pack

WAYS: dict[str, dict[str, int]] = {
    "every row": {"factor": 1},
    "factor 2": {"factor": 2},
    "factor 3": {"factor": 3},
    "factor 4": {"factor": 4},
    "64 rows": {"rows": 64},
    "32 rows": {"rows": 32},
    "16 rows": {"rows": 16},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--split", default="report")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--corpus", type=int, default=2000)
    parser.add_argument("--temperatures", type=float, nargs="*", default=[0.1])
    options = parser.parse_args()
    encoder = load_encoder("offline/all-MiniLM-L6-v2")
    for folder in options.folders:
        dataset = read_dataset(folder, split=options.split, limit=options.limit, prefix=options.prefix)
        gold = {task.document.id for task in dataset.tasks}
        corpus = [found for found in dataset.corpus if found.id in gold]
        corpus += [found for found in dataset.corpus if found.id not in gold][: max(options.corpus - len(corpus), 0)]
        texts = [found.text for found in corpus]
        whole = encoder.encode_documents(texts)
        queries = encoder.encode_queries([task.query for task in dataset.tasks])
        print(f"\n{dataset.name}: {len(dataset.tasks)} pairs, {len(corpus)} documents")
        print("| rows | content rows | nDCG@10 | of the first ten | codes: nDCG@10 | Hit@1 | F1 |")
        print("|---|---|---|---|---|---|---|")
        ids = [found.id for found in corpus]
        first_ten = None
        for name, way in WAYS.items():
            documents = [pool_rows(document, **way) for document in whole]
            packed = pack([document.vectors for document in documents])
            orders = [np.argsort(-maxsim(query.vectors, packed).scores, kind="stable")[:10] for query in queries]
            first_ten = first_ten or orders
            same = np.mean([len({*a} & {*b}) / 10 for a, b in zip(orders, first_ten, strict=True)])
            content = np.mean([len(document.content_rows()) for document in documents])
            codes = [gain(dataset, ids, by_codes(queries, documents, value)) for value in options.temperatures]
            hit, f1 = evidence(dataset, queries, dict(zip(ids, documents, strict=True)))
            shown = " ".join(f"{value:.3f}" for value in codes)
            print(
                f"| {name} | {content:.0f} | {gain(dataset, ids, orders):.3f} | {same:.3f} | {shown} "
                f"| {hit:.3f} | {f1:.3f} |",
                flush=True,
            )


def gain(dataset: Dataset, ids: Sequence[str], orders: Sequence[Sequence[int]]) -> float:
    """Mean nDCG@10 of the marked document."""
    return float(
        np.mean(
            [
                ndcg([ids[i] for i in order], {task.document.id: 1.0})
                for task, order in zip(dataset.tasks, orders, strict=True)
            ]
        )
    )


def by_codes(
    queries: Sequence[TokenEmbeddings], documents: Sequence[TokenEmbeddings], temperature: float
) -> list[list[int]]:
    """The first ten documents of each query; the arithmetic of `explain_codes`, all documents at once."""
    packed = pack([document.vectors for document in documents])
    starts = packed.offsets[:-1]
    orders = []
    for query in queries:
        mean = query.vectors[query.content_rows()].mean(axis=0)
        similarity = np.asarray(packed.values) @ (mean / np.linalg.norm(mean))
        powers = np.exp((similarity - similarity.max()) / temperature) + 1e-30
        scores = np.add.reduceat(powers * similarity, starts) / np.add.reduceat(powers, starts)
        assert abs(scores[0] - explain_codes(query, documents[0], temperature=temperature).score) < 1e-2
        orders.append(np.argsort(-scores, kind="stable")[:10].tolist())
    return orders


def evidence(
    dataset: Dataset, queries: Sequence[TokenEmbeddings], documents: dict[str, TokenEmbeddings]
) -> tuple[float, float]:
    """Hit@1 and F1 of latelens' evidence."""
    found = []
    for task, query in zip(dataset.tasks, queries, strict=True):
        spans = find_evidence(explain(query, documents[task.document.id]), sentences=task.sentences)
        choice = Choice(tuple((span.start, span.end) for span in spans), returned=len(spans))
        found.append(against_gold(task, choice))
    return tuple(float(np.mean([item[name] for item in found])) for name in (HIT, F1))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
