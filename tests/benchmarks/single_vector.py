"""One vector in place of many rows: how much of exact MaxSim's first 10 is among the first 10, 50, 100. Run by hand.

python tests/benchmarks/single_vector.py --work FOLDER [--data FOLDER] [--set squad] [--first 0] [--model FOLDER]

2,067 paragraphs of SQuAD's development set, every seventh of its questions from `--first` on, or 2,500 abstracts of
SciFact and its claims (`--set scifact`), 300 of either. The settings of least squares were chosen on SQuAD's questions
from 0 on. `--model` takes another model than the packaged one, such as what `single_vector_model.py` trains; "its own
vector" is what a sentence-embedding model gives.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latelens import EmbeddingCache, Encoder, TokenEmbeddings, load_encoder
from latelens.evaluation.data import read_judgements, read_lines
from latelens.evaluation.measures import ndcg
from latelens.maxsim import maxsim, pack
from latelens.single_vector import LeastSquares, MeanOfRows, Muvera

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FIRST = (10, 50, 100)
SETS = {"squad": ("squad_dev/norm", "qrels.tsv", 7), "scifact": ("scifact/norm", "qrels_beir.tsv", 1)}
Vectors = NDArray[np.floating]


def main() -> None:
    options = _arguments()
    encoder = load_encoder(options.model)
    folder, judgements, step = SETS[options.set]
    corpus = {line["id"]: line["text"] for line in read_lines(options.data / folder / "corpus.jsonl")}
    questions = list(read_lines(options.data / folder / "queries.jsonl"))[options.first :: step][: options.questions]
    judged = read_judgements(options.data / folder / judgements)
    asked = [question["text"] for question in questions]
    cache = EmbeddingCache(options.work / "rows", max_bytes=0)
    documents = cache.encode_documents(encoder, list(corpus.values()), show_progress=True)
    queries = encoder.encode_queries(asked)
    packed = pack([document.vectors for document in documents])
    exact = np.stack([maxsim(query.vectors, packed).scores for query in queries])  # (questions, paragraphs)
    print(f"\n{len(corpus):,} texts, {len(asked)} questions, {options.model}\n")
    print("| method | numbers | first 10 | first 50 | first 100 | ms a document | nDCG@10, first 100 scored |")
    print("|---|---|---|---|---|---|---|")
    places = {id: i for i, id in enumerate(corpus)}
    gold = [{str(places[id]): 1.0 for id in judged[question["id"]]} for question in questions]
    for name, dim, seconds, products in methods(encoder, list(corpus.values()), documents, queries, options):
        found = " | ".join(f"{value:.3f}" for value in recall(exact, products))
        answered = two_stages(exact, products, gold)
        print(f"| {name} | {dim:,} | {found} | {seconds / len(corpus) * 1e3:.1f} | {answered:.3f} |", flush=True)
    print(f"| exact MaxSim | | 1 | 1 | 1 | | {two_stages(exact, exact, gold):.3f} |")


def methods(
    encoder: Encoder,
    texts: Sequence[str],
    documents: Sequence[TokenEmbeddings],
    queries: Sequence[TokenEmbeddings],
    options: argparse.Namespace,
) -> Iterator[tuple[str, int, float, Vectors]]:
    """Name, length of a vector, seconds for all documents, and products (questions, documents)."""
    known = Known(encoder, dict(zip(texts, documents, strict=True)))
    for name, method in (
        ("mean of rows", MeanOfRows()),
        ("MUVERA", Muvera(repetitions=8, bits=4)),
        ("MUVERA", Muvera()),
        *(("least squares", LeastSquares.fit(known, texts, dim=dim)) for dim in (512, 1024)),
    ):
        vectors = method.queries(queries)
        start = time.perf_counter()
        stored = np.concatenate([method.documents(documents[i : i + 64]) for i in range(0, len(documents), 64)])
        yield name, stored.shape[1], time.perf_counter() - start, vectors @ stored.T
    if options.model.startswith("offline/"):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling

        model = SentenceTransformer(modules=[encoder.model[0], Pooling(384)], device="cpu")  # type: ignore[attr-defined]
        start = time.perf_counter()
        stored = model.encode(list(texts), normalize_embeddings=True)
        seconds = time.perf_counter() - start
        asked = model.encode([query.text for query in queries], normalize_embeddings=True)
        yield "its own vector", stored.shape[1], seconds, asked @ stored.T


class Known:
    """An encoder that looks up what the model gave before."""

    def __init__(self, model: Encoder, documents: dict[str, TokenEmbeddings]) -> None:
        self.name, self.fingerprint, self.dim = model.name, model.fingerprint, model.dim
        self._documents = documents

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        return [self._documents[text] for text in texts]


def recall(exact: Vectors, products: Vectors) -> list[float]:
    """The share of exact MaxSim's first 10 among the first so many."""
    best = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    order = np.argsort(-products, axis=1, kind="stable")
    shares = [[np.isin(one, some[:first]).mean() for one, some in zip(best, order, strict=True)] for first in FIRST]
    return [float(np.mean(share)) for share in shares]


def two_stages(exact: Vectors, products: Vectors, gold: Sequence[dict[str, float]]) -> float:
    """Mean nDCG@10 of the first 100 by product in the order of exact MaxSim."""
    values = []
    for scores, found, relevant in zip(exact, np.argsort(-products, axis=1, kind="stable")[:, :100], gold, strict=True):
        best = found[np.argsort(-scores[found], kind="stable")]
        values.append(ndcg([str(i) for i in best], relevant))
    return float(np.mean(values))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for encoded rows")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of squad_dev")
    parser.add_argument("--set", choices=SETS, default="squad")
    parser.add_argument("--first", type=int, default=0, help="the first question that is asked")
    parser.add_argument("--model", default="offline/all-MiniLM-L6-v2")
    parser.add_argument("--questions", type=int, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    main()
