"""MaxSim and BM25 together, with a weight that half of the questions choose and the other half measures. Run by hand.

python tests/benchmarks/hybrid.py --work FOLDER [--data FOLDER] [--sets squad,scifact,code,limit]

SQuAD's and SciFact's small sets, LIMIT-small, and scikit-learn's functions (without their docstrings) that the first
line of the docstring asks for.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from latelens import EmbeddingCache, load_encoder
from latelens.evaluation.data import digest_of, read_judgements, read_lines
from latelens.evaluation.hybrid import choose_weight, ndcg_by_weight
from latelens.index import BM25, Chunk, ExactIndex

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FUNCTIONS = 200
TUNING = "01234567"  # last digit of the sha1 of a question's id: the sets were cut by the first
Data = tuple[dict[str, str], dict[str, tuple[str, set[str]]]]


def main() -> None:
    options = _arguments()
    encoder = load_encoder("offline/all-MiniLM-L6-v2")
    cache = EmbeddingCache(options.work / "rows", max_bytes=0)
    print("| set | documents | questions | MaxSim | weight .2 | weight .5 | BM25 alone | weight chosen | with it |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.sets:
        corpus, asked = SETS[name](options.data)
        cache.encode_documents(encoder, list(corpus.values()))
        index = ExactIndex(_Cached(encoder, cache))
        index.add(Chunk(id, text) for id, text in corpus.items())
        words = BM25(index.chunks())
        tuning = {text: right for id, (text, right) in asked.items() if digest_of(id)[-1] in TUNING}
        report = {text: right for id, (text, right) in asked.items() if digest_of(id)[-1] not in TUNING}
        chosen = choose_weight(index, words, tuning)
        found = ndcg_by_weight(index, words, report, weights=(0.0, 0.2, 0.5, 1.0, chosen.weight))
        cells = [f"{found[weight].mean():.3f}" for weight in (0.0, 0.2, 0.5, 1.0)]
        cells += [f"{chosen.weight:g}", f"{found[chosen.weight].mean():.3f}"]
        print(f"| {name} | {len(corpus)} | {len(tuning)} + {len(report)} | {' | '.join(cells)} |", flush=True)


class _Cached:
    """The encoder, which looks up documents that it has read before."""

    def __init__(self, encoder, cache: EmbeddingCache) -> None:
        self._encoder, self._cache = encoder, cache
        self.name, self.fingerprint, self.dim = encoder.name, encoder.fingerprint, encoder.dim
        self.calibration, self.encode_queries = encoder.calibration, encoder.encode_queries

    def encode_documents(self, texts, *, show_progress: bool = False):
        return self._cache.encode_documents(self._encoder, texts)


def from_folder(folder: Path, judgements: str = "qrels.tsv") -> Data:
    """Documents by id, and questions with their right documents by id."""
    corpus = {line["id"]: f"{line['title']} {line['text']}".strip() for line in read_lines(folder / "corpus.jsonl")}
    judged = read_judgements(folder / judgements)
    texts = {line["id"]: line["text"] for line in read_lines(folder / "queries.jsonl")}
    return corpus, {id: (texts[id], set(right)) for id, right in judged.items() if id in texts}


def code(data: Path) -> Data:
    """Functions of scikit-learn without their docstrings, and the docstrings' first lines."""
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    found = {
        f"{path.stem}.{name}": pair
        for path in sorted(Path(spec.origin).parent.rglob("*.py"))
        for name, pair in functions(path)
    }
    some = sorted(found, key=digest_of)[:FUNCTIONS]
    return {name: found[name][1] for name in some}, {name: (found[name][0], {name}) for name in some}


def functions(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name, first line of the docstring, and code without it, of public functions of 5 to 40 lines."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body if "tests" not in path.parts else []:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and (said := ast.get_docstring(node)):
            node.body = node.body[1:]
            lines = ast.unparse(node).splitlines() if node.body else []
            if 5 <= len(lines) <= 40 and len(said.splitlines()[0].split()) >= 5:
                yield node.name, (said.splitlines()[0], "\n".join(lines))


SETS: dict[str, Callable[[Path], Data]] = {
    "squad": lambda data: from_folder(data / "squad_dev" / "small"),
    "scifact": lambda data: from_folder(data / "scifact" / "small"),
    "limit": lambda data: from_folder(data / "limit_small" / "small"),
    "code": code,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for encoded rows")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the sets")
    parser.add_argument("--sets", type=lambda text: text.split(","), default=list(SETS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
