"""The parts of `python tests/benchmarks`: tables of seconds by path; others are measured against the first one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rivals
from exact import Corpus, measure, measure_types
from rerank import medians, scoring, warm

import latelens.shortlist
from latelens import EmbeddingCache, Encoder, TokenEmbeddings, attribute, load_encoder, rerank
from latelens.encoders.cached import cached
from latelens.index import Chunk, ExactIndex, TwoStage

QUESTION = "How is a score explained?"
Times = dict[str, float]


@dataclass(frozen=True)
class Parts:
    """What is measured, with what: a model, texts, how often, and by which clock; `quick` runs are for their output."""

    model: str
    texts: Sequence[str]
    quick: bool
    clock: Callable[[], float]

    @property
    def repetitions(self) -> int:
        return 2 if self.quick else 15

    @cached_property
    def encoder(self) -> Encoder:
        return load_encoder(self.model)

    @cached_property
    def rows(self) -> list[TokenEmbeddings]:
        return self.encoder.encode_documents(self.texts)

    def scoring(self) -> dict[str, Times]:
        vectors = [document.vectors for document in self.rows]
        random = np.random.default_rng(0).standard_normal((32, self.encoder.dim)).astype(np.float32)
        asked = random / np.linalg.norm(random, axis=1, keepdims=True)
        return {
            f"Scoring 32 query rows against {len(vectors)} chunks": scoring(
                asked, vectors, self.repetitions, self.clock
            )
        }

    def warm(self) -> dict[str, Times]:
        times = warm(self.encoder, self.texts, QUESTION, self.repetitions, self.clock)
        return {f"Warm rerank of {len(self.texts)} chunks": times}

    def large(self) -> dict[str, Times]:
        """Reranks of synthetic chunks, whose rows no model makes."""
        found = {}
        for count in (100,) if self.quick else (100, 1000, 5000):
            corpus = Corpus(count, 100, 96, 3)
            found[f"Warm rerank of {count:,} synthetic chunks of 100 x 96, the best 10, no model"] = large(
                corpus, self.repetitions, self.clock
            )
        return found

    def encode(self) -> dict[str, Times]:
        """Nothing is kept: the whole of a first rerank."""
        texts, model = self.texts, rivals.plain_model(self.encoder.name)
        paths = {
            **rivals.encoding(model, texts),
            "latelens, encode_documents, with spans": lambda: self.encoder.encode_documents(texts),
            "latelens, rerank with evidence for 10": lambda: rerank(QUESTION, texts, self.encoder, top_n=10),
            **rivals.reranking(model, QUESTION, texts),
        }
        return {f"Encoding {len(texts)} chunks, nothing kept": medians(paths, 1 if self.quick else 3, self.clock)}

    def retrieve(self) -> dict[str, Times]:
        """Ten hits, explained, of each index that is installed; the question is encoded each time."""
        with tempfile.TemporaryDirectory() as folder:
            known = cached(self.encoder, EmbeddingCache(max_bytes=2**32))
            searches = dict(_searches(known, [Chunk(str(i), text) for i, text in enumerate(self.texts)], folder))
            questions = iter(f"{QUESTION} {i}" for i in range(10_000))
            paths = {name: lambda s=search: s(next(questions), 10) for name, search in searches.items()}
            return {f"Search of {len(self.texts)} chunks": medians(paths, self.repetitions, self.clock)}

    def attribution(self) -> dict[str, Times]:
        """An answer of three sentences, each out of another of ten sources."""
        sources = self.texts[:10]
        answer = " ".join(text.split(". ")[0].strip().rstrip(".") + "." for text in sources[:3])
        kept = cached(self.encoder, EmbeddingCache(max_bytes=2**32))
        # Another last word each time: the answer is new, as it is to a user.
        answers = iter(f"{answer} Number {i}." for i in range(10_000))
        done = attribute(answer, sources, kept)
        paths: dict[str, Callable[[], object]] = {
            "attribute, sources kept": lambda: attribute(next(answers), sources, kept),
            "attribute, nothing kept": lambda: attribute(next(answers), sources, self.encoder),
            "citations and marks of the result": lambda: (done.citations, done.marked()),
        }
        return {
            f"An answer of {len(answer)} characters and {len(sources)} sources": medians(
                paths, self.repetitions, self.clock
            )
        }

    def exact(self) -> dict[str, Times]:
        corpus = Corpus(300 if self.quick else 20_000, 100, 96, 3 if self.quick else 15)
        times, _, _ = measure(corpus)
        title = f"Brute force, {len(corpus.segment):,} synthetic chunks of 100 x 96"
        types = {row_type: query for row_type, _, _, query, _, _ in measure_types(corpus)}
        return {title: times, f"{title}, rows kept as, not rounded": types}

    def startup(self) -> dict[str, Times]:
        """Until a new process is ready, from its start to its end; always by the clock on the wall."""
        lines = {"python alone": "pass", "import latelens": "import latelens"}
        paths = {
            name: partial(subprocess.run, [sys.executable, "-c", line], check=True) for name, line in lines.items()
        }
        return {"Start of a process": medians(paths, 1 if self.quick else 5)}


NAMES = "scoring", "warm", "large", "encode", "retrieve", "attribution", "exact", "startup"


class KnownRows:
    """An encoder of the names of rows that are there."""

    name = fingerprint = "synthetic"

    def __init__(self, corpus: Corpus) -> None:
        segment = corpus.segment
        self.dim = segment.stored.shape[1]
        self._rows = {str(i): segment.rows(i) for i in range(len(segment))}
        self._queries = corpus.queries

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return [self._queries[int(text) % len(self._queries)] for text in texts]

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        found = []
        for text in texts:
            rows = self._rows[text]
            spans, kinds = np.zeros((len(rows), 2), np.int32), np.zeros(len(rows), np.uint8)
            found.append(TokenEmbeddings(text, rows, ("x",) * len(rows), spans, kinds))
        return found


def large(corpus: Corpus, repetitions: int, clock: Callable[[], float]) -> Times:
    """Reranks with and without rounded rows, which must be alike to the bit; says how many were scored exactly."""
    encoder, cache = KnownRows(corpus), EmbeddingCache(max_bytes=2**33)
    names, scored, questions = list(encoder._rows), [], iter(range(10_000))
    shortlist = latelens.shortlist.shortlist

    def counted(*given: Any) -> Sequence[int]:
        chosen = shortlist(*given)
        scored.append(len(chosen))
        return chosen

    def run(question: int | None = None) -> list[tuple[int, float]]:
        asked = str(next(questions) if question is None else question)
        found = rerank(asked, names, encoder, top_n=10, explain="off", cache=cache)
        return [(one.index, one.score) for one in found]

    def in_float32(question: int | None = None) -> list[tuple[int, float]]:
        with mock.patch("latelens.shortlist.pays", return_value=False):
            return run(question)

    for _ in range(5):  # until rows are rounded
        run()
    assert all(run(question) == in_float32(question) for question in range(3))
    with mock.patch("latelens.ranking.shortlist", counted):
        times = medians({"in float32": in_float32, "rounded rows first": run}, repetitions, clock)
    exact = float(np.median(scored[1::2]))
    print(f"\n({len(names):,} chunks: {exact:.0f} of them scored exactly, {exact / len(names):.1%})")
    return times


def _searches(
    encoder: Encoder, chunks: Sequence[Chunk], folder: str
) -> Iterator[tuple[str, Callable[[str, int], object]]]:
    exact = ExactIndex(encoder)
    exact.add(chunks)
    yield "ExactIndex", exact.search
    try:
        from latelens.index import LanceIndex

        lance = LanceIndex(encoder, Path(folder) / "lance")
    except ImportError as error:
        print(f"({error})")
    else:
        lance.add(chunks)
        yield "LanceIndex", lance.search
    try:
        from latelens.index import BM25

        words = BM25(chunks)
    except ImportError as error:
        print(f"({error})")
    else:
        yield "BM25, its first 50 by MaxSim", TwoStage(words, encoder, candidates=50).search
