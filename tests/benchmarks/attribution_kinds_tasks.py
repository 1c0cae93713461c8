"""The kinds of claims that attribution is measured on: answers of search engines, experts, dialogue, science."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attribution_tasks import Claims, Pair, read_claims

from latelens.evaluation.data import digest_of, read_lines

Span = tuple[int, int]


@dataclass(frozen=True)
class Kind:
    """A set of claims; `marked`: for some pairs, by id, the sentences that people marked as evidence."""

    name: str
    claims: Claims
    marked: dict[str, tuple[Span, ...]]


def read_kinds(data: Path, names: Sequence[str] | None = None, *, limit: int | None = None) -> list[Kind]:
    """The sets of `READERS`, or those that are named."""
    unknown = set(names or ()) - READERS.keys()
    if unknown:
        raise ValueError(f"no set is called {', '.join(sorted(unknown))}; there are {', '.join(READERS)}")
    return [READERS[name](data, name, limit) for name in names or READERS]


def _bench(folder: str) -> Callable[[Path, str, int | None], Kind]:
    return lambda data, name, limit: Kind(name, read_claims(data / folder, limit=limit), {})


def _scifact(*labels: str) -> Callable[[Path, str, int | None], Kind]:
    """Claims of SciFact's dev part with the abstracts that they cite; backed by those whose evidence has a label."""

    def read(data: Path, name: str, limit: int | None) -> Kind:
        folder = data / "scifact" / "norm"
        evidence = {(line["qid"], line["docid"]): line for line in read_lines(folder / "evidence.jsonl")}
        claims = {line["id"]: line["text"] for line in read_lines(folder / "queries.jsonl")}
        texts = {line["id"]: line["text"] for line in read_lines(folder / "corpus.jsonl")}
        rows = [row.split("\t")[:2] for row in (folder / "qrels_beir.tsv").read_text(encoding="utf-8").splitlines()[1:]]
        pairs = [
            Pair(
                f"{qid}/{docid}",
                claims[qid],
                qid,
                (docid,),
                (qid, docid) in evidence and evidence[qid, docid]["label"] in labels,
            )
            for qid, docid in rows
            if docid in texts
        ]
        pairs.sort(key=lambda pair: digest_of(pair.id))
        pairs = pairs[:limit]
        used = {name: texts[name] for pair in pairs for name in pair.cited}
        marked = {
            f"{qid}/{docid}": tuple((start, end) for start, end in line["spans"])
            for (qid, docid), line in evidence.items()
        }
        return Kind(name, Claims(name, used, tuple(pairs)), marked if len(labels) > 1 else {})

    return read


READERS: dict[str, Callable[[Path, str, int | None], Kind]] = {
    **{name: _bench(f"attribution_kinds/{name}") for name in ("gensearch", "lfqa", "attributedqa", "begin")},
    "hagrid": _bench("hagrid_attributionbench/norm"),
    "scifact, any evidence": _scifact("SUPPORT", "CONTRADICT"),
    "scifact, support": _scifact("SUPPORT"),
}
