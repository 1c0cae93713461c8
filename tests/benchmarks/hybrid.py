"""MaxSim and BM25 together, with a weight that half of the questions choose and the other half measures. Run by hand.

python tests/benchmarks/hybrid.py --work FOLDER [--data FOLDER] [--sets squad,scifact,code,limit] [--halves 200]

SQuAD's development paragraphs, SciFact's abstracts, LIMIT-small, and functions of scikit-learn and networkx (without
their docstrings) that the first line of the docstring asks for. The questions are cut into halves at random, again and
again: what a weight that one half chose gains or costs the other.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latelens import EmbeddingCache, load_encoder
from latelens.evaluation.data import digest_of, read_judgements, read_lines
from latelens.evaluation.hybrid import choice_by, ndcg_by_weight
from latelens.index import BM25, Chunk, ExactIndex

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
QUESTIONS = 1000
DOCUMENTS = 2500
FUNCTIONS = 600
PACKAGES = ("sklearn", "networkx")
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
Data = tuple[dict[str, str], dict[str, set[str]]]  # documents by id, ids of the right ones by question


def main() -> None:
    options = _arguments()
    encoder = load_encoder("offline/all-MiniLM-L6-v2")
    cache = EmbeddingCache(options.work / "rows", max_bytes=0)
    print("| set | documents | questions | MaxSim | weight .2 | weight .5 | BM25 alone | chosen | gain | worst |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in options.sets:
        corpus, asked = SETS[name](options.data)
        cache.encode_documents(encoder, list(corpus.values()), show_progress=True)
        index = ExactIndex(_Cached(encoder, cache))
        index.add(Chunk(id, text) for id, text in corpus.items())
        found = ndcg_by_weight(index, BM25(index.chunks()), asked, weights=(*WEIGHTS, 1.0))
        alone = found.pop(1.0)
        weights, gains = zip(*halves(found, options.halves), strict=True)
        cells = [f"{each.mean():.3f}" for each in (found[0.0], found[0.2], found[0.5], alone)]
        cells += [f"{np.mean(np.array(weights) > 0):.2f}", f"{np.mean(gains):+.4f}", f"{min(gains):+.4f}"]
        print(f"| {name} | {len(corpus):,} | {len(asked):,} | {' | '.join(cells)} |", flush=True)


def halves(values: Mapping[float, NDArray[np.float64]], count: int) -> Iterator[tuple[float, float]]:
    """The weight that a random half of the questions chooses, and what the other half gains by it, so many times."""
    draw, questions = np.random.default_rng(0), len(values[0.0])
    for _ in range(count):
        order = draw.permutation(questions)
        tuning, report = order[: questions // 2], order[questions // 2 :]
        weight = choice_by({one: each[tuning] for one, each in values.items()}).weight
        yield weight, float((values[weight] - values[0.0])[report].mean())


class _Cached:
    """The encoder, which looks up documents that it has read before."""

    def __init__(self, encoder, cache: EmbeddingCache) -> None:
        self._encoder, self._cache = encoder, cache
        self.name, self.fingerprint, self.dim = encoder.name, encoder.fingerprint, encoder.dim
        self.calibration, self.encode_queries = encoder.calibration, encoder.encode_queries

    def encode_documents(self, texts, *, show_progress: bool = False):
        return self._cache.encode_documents(self._encoder, texts)


def from_folder(folder: Path, judgements: str = "qrels.tsv") -> Data:
    """Some questions with all that answers them, and other documents up to a number."""
    judged = read_judgements(folder / judgements)
    texts = {line["id"]: line["text"] for line in read_lines(folder / "queries.jsonl") if line["id"] in judged}
    asked = sorted(texts, key=digest_of)[:QUESTIONS]
    right = {id for question in asked for id in judged[question]}
    lines = sorted(
        read_lines(folder / "corpus.jsonl"), key=lambda line: (line["id"] not in right, digest_of(line["id"]))
    )
    corpus = {line["id"]: f"{line['title']} {line['text']}".strip() for line in lines[:DOCUMENTS]}
    return corpus, {texts[id]: set(judged[id]) & corpus.keys() for id in asked}


def code(data: Path) -> Data:
    """Functions without their docstrings, and the docstrings' first lines."""
    found = {f"{path.stem}.{name}": pair for path in _sources() for name, pair in functions(path)}
    some = sorted(found, key=digest_of)[:FUNCTIONS]
    return {name: found[name][1] for name in some}, {found[name][0]: {name} for name in some}


def _sources() -> Iterator[Path]:
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        yield from sorted(Path(spec.origin).parent.rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name, first line of the docstring, and code without it, of public functions of 5 to 40 lines."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body if "tests" not in path.parts else []:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and (said := ast.get_docstring(node)):
            node.body = node.body[1:]
            lines = ast.unparse(node).splitlines() if node.body else []
            if 5 <= len(lines) <= 40 and len(said.splitlines()[0].split()) >= 5:
                yield node.name, (said.splitlines()[0], "\n".join(lines))


SETS: dict[str, Callable[[Path], Data]] = {
    "squad": lambda data: from_folder(data / "squad_dev" / "norm"),
    "scifact": lambda data: from_folder(data / "scifact" / "norm", "qrels_beir.tsv"),
    "limit": lambda data: from_folder(data / "limit_small" / "norm"),
    "code": code,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for encoded rows")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the sets")
    parser.add_argument("--sets", type=lambda text: text.split(","), default=list(SETS))
    parser.add_argument("--halves", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()
