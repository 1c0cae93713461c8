"""Is the evidence right, and does the score rest on it? Run by hand: it prints a table for each data set.

python tests/benchmarks/evidence.py DATASET... [--split tune|report] [--reencode 100] [--json numbers.json]

DATASET is a folder as `evidence_tasks` reads it. Every method ranks the same sentences of the gold document; what
they are is in `evidence_methods`, what the measures mean in `evidence_measures`. Intervals are 95 %, from 1,000
resamples of the queries. `--split` divides by the sha1 of the query's id: 0-7 for tuning, 8-f for reporting.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import evidence_measures as measures
import numpy as np
from evidence_methods import LEAVE_ONE_OUT, LIBRARY, METHODS, RANDOM, Choice, Reading, WordFrequencies, choices, ranking
from evidence_table import Bootstrap, Estimate, Table, markdown
from evidence_tasks import Dataset, Document, Span, Task, read_dataset

from latelens import EmbeddingCache, Encoder, TokenEmbeddings, explain, load_encoder

RANDOM_SPAN = "random span as long as latelens' first"
_POOL, _CHUNK = 150, 24  # unrelated documents to draw from; pairs encoded together, which bounds the memory

Pair = dict[str, measures.Values]  # method -> measure -> value, of one query and document


@dataclass(frozen=True)
class Reader:
    """Encodes once what a data set asks for again."""

    encoder: Encoder
    cache: EmbeddingCache

    def documents(self, texts: Sequence[str]) -> dict[str, TokenEmbeddings]:
        unique = list(dict.fromkeys(texts))
        return dict(zip(unique, self.cache.encode_documents(self.encoder, unique), strict=True))

    def readings(self, tasks: Sequence[Task]) -> list[Reading]:
        queries = self.cache.encode_queries(self.encoder, [task.query for task in tasks])
        found = self.documents([text for task in tasks for text in (task.document.text, *_sentences(task))])
        return [
            Reading(task, explain(query, found[task.document.text]), tuple(found[text] for text in _sentences(task)))
            for task, query in zip(tasks, queries, strict=True)
        ]

    def scores(self, query: TokenEmbeddings, texts: Sequence[str]) -> dict[str, float]:
        return {text: explain(query, document).score for text, document in self.documents(texts).items()}


def measure(dataset: Dataset, reader: Reader, *, reencode: int, seed: int) -> list[Pair]:
    """Every measure of every method for each pair; cut texts are encoded for the first `reencode` queries."""
    frequencies = WordFrequencies(document.text for document in dataset.corpus)
    pool = _pool(dataset, reader, seed)
    again = set(dataset.query_ids[:reencode])
    found: list[Pair] = []
    for tasks in _chunks(dataset.tasks):
        readings = reader.readings(tasks)
        chosen = [choices(reading, frequencies) for reading in readings]
        drawn = [_drawn(reading.task, choice[LIBRARY], seed) for reading, choice in zip(readings, chosen, strict=True)]
        wanted = [
            _wanted(reading.task, choice, spans) if reading.task.query_id in again else []
            for reading, choice, spans in zip(readings, chosen, drawn, strict=True)
        ]
        reader.documents([text for texts in wanted for text in texts])  # all at once, for batches of equal lengths
        for reading, choice, spans, texts in zip(readings, chosen, drawn, wanted, strict=True):
            rescored = reader.scores(reading.explanation.query, texts)
            floor = measures.floor(reading.explanation, reading.task.document, pool)
            faithfulness = measures.Faithfulness(reading.explanation, floor, rescored)
            found.append(pair(reading.task, choice, spans, faithfulness))
        print(f"\r{dataset.name}: {len(found)} of {len(dataset.tasks)} pairs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def pair(task: Task, chosen: Mapping[str, Choice], drawn: Sequence[Span], faithfulness: measures.Faithfulness) -> Pair:
    """All measures of one pair: the methods' choices, and what chance gives in their place."""
    several = len(task.sentences) > 1
    by_sentence = [faithfulness.of(span) for span in task.sentences] if several else []
    reference: Choice | None = None
    if several and faithfulness.rescored:
        lost = measures.leave_one_out(task, faithfulness.rescored, faithfulness.explanation.score)
        reference = Choice(ranking(task.sentences, lost))
        chosen = {**chosen, LEAVE_ONE_OUT: reference}
    found: Pair = {}
    for method, choice in chosen.items():
        found[method] = measures.against_gold(task, choice)
        if several and choice.spans:
            found[method] |= faithfulness.of(choice.spans[0])
        if reference is not None:
            found[method][measures.AGREEMENT] = float(choice.spans[:1] == reference.spans[:1])
    found[RANDOM] = measures.expected_against_gold(task) | measures.mean_of(by_sentence)
    if reference is not None:
        found[RANDOM][measures.AGREEMENT] = 1 / len(task.sentences)
    found[RANDOM_SPAN] = measures.mean_of([faithfulness.of(span) for span in drawn]) if several else {}
    return found


def estimates(dataset: Dataset, pairs: Sequence[Pair], *, seed: int) -> Table:
    """Means with intervals, and what latelens gains: in Hit@1 on each method, in comprehensiveness on chance."""
    bootstrap = Bootstrap([task.query_id for task in dataset.tasks], seed=seed)
    table: dict[str, dict[str, Estimate]] = {}
    for name in measures.MEASURES:
        values = {
            method: np.array([found.get(method, {}).get(name, np.nan) for found in pairs])
            for method in [*METHODS, RANDOM_SPAN]
        }
        table[name] = {method: bootstrap.mean(column) for method, column in values.items()}
        ours = values.pop(LIBRARY)
        if name == measures.HIT:
            gains = {method: bootstrap.mean(ours - column) for method, column in values.items()}
            table[f"{name}, latelens minus this"] = gains
        if name in measures.COMPREHENSIVENESS:
            times = {method: bootstrap.ratio(ours, values[method]) for method in (RANDOM, RANDOM_SPAN)}
            table[f"{name}, latelens / this"] = times
    return table


def _sentences(task: Task) -> list[str]:
    return [task.document.text[start:end] for start, end in task.sentences]


def _chunks(tasks: Sequence[Task]) -> Iterator[Sequence[Task]]:
    return (tasks[i : i + _CHUNK] for i in range(0, len(tasks), _CHUNK))


def _pool(dataset: Dataset, reader: Reader, seed: int) -> list[tuple[Document, TokenEmbeddings]]:
    corpus = list(dataset.corpus)
    sample = random.Random(seed).sample(corpus, min(_POOL, len(corpus)))
    found = reader.documents([document.text for document in sample])
    return [(document, found[document.text]) for document in sample]


def _drawn(task: Task, choice: Choice, seed: int) -> tuple[Span, ...]:
    if not choice.spans:
        return ()
    return measures.draws(task.document.text, choice.spans[0], seed=f"{seed} {task.query_id} {task.document.id}")


def _wanted(task: Task, chosen: Mapping[str, Choice], drawn: Sequence[Span]) -> list[str]:
    return measures.texts_to_rescore(task, [*(span for choice in chosen.values() for span in choice.spans[:1]), *drawn])


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="+")
    parser.add_argument("--model", default="offline/latelens-mini")
    parser.add_argument("--split", choices=["all", "tune", "report"], default="all")
    parser.add_argument("--prefix", default="", help="of the files of queries and evidence, such as train_")
    parser.add_argument("--limit", type=int, help="queries of each data set")
    parser.add_argument("--reencode", type=int, default=100, help="queries for which cut texts are encoded again")
    parser.add_argument("--no-reencode", dest="reencode", action="store_const", const=0)
    parser.add_argument("--cache", type=Path, help="folder that keeps encoded texts for the next run")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    try:
        options = {"split": asked.split, "limit": asked.limit, "prefix": asked.prefix}
        datasets = [read_dataset(folder, **options) for folder in asked.dataset]
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    reader = Reader(load_encoder(asked.model), EmbeddingCache(asked.cache, max_bytes=2**30))
    written = []
    for dataset in datasets:
        table = estimates(dataset, measure(dataset, reader, reencode=asked.reencode, seed=asked.seed), seed=asked.seed)
        counts = f"{len(dataset.query_ids)} queries, {len(dataset.tasks)} pairs"
        print(markdown(f"{dataset.name}, split {asked.split}, {asked.model}: {counts}", table) + "\n")
        numbers = {name: {method: cell.as_json() for method, cell in row.items()} for name, row in table.items()}
        settings = {name: getattr(asked, name) for name in ("model", "split", "limit", "reencode", "seed")}
        sizes = {"queries": len(dataset.query_ids), "pairs": len(dataset.tasks)}
        written.append({"dataset": dataset.name, **settings, **sizes, "measures": numbers})
    if asked.json is not None:
        asked.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
