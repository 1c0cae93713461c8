"""Does the score tell claims that their sources back from others, on every kind of answer at hand? Run by hand.

python tests/benchmarks/attribution_kinds.py DATA [--sets gensearch lfqa ...] [--limit N] [--json numbers.json]

DATA holds attribution_kinds/, hagrid_attributionbench/norm and scifact/norm. Prints five tables: AUROC beside simple
baselines on the halves of the claims that nothing was chosen on ("report") and on all; the gap to the best baseline;
labels and false flags by reason; the first citation against marked sentences; and labels that foreign sources change.
Intervals are 95 %, from 1,000 resamples of the questions.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attribution_first import first_citations
from attribution_kinds_tasks import Kind, read_kinds
from attribution_measures import LIBRARY, Remembering, Resamples, kinds_methods, mean_vector, score_of
from attribution_tasks import Pair, distractors, shuffled
from evidence_methods import WordFrequencies
from evidence_table import Estimate, Table, markdown

from latelens import EmbeddingCache, Encoder, load_encoder
from latelens.attribution import Attribution, Claim, Source, attribute
from latelens.evaluation.measures import auroc

REASONS = "number", "date", "name", "negation", "elsewhere", "words", "low", "no evidence"


def measure_kind(kind: Kind, encoder: Encoder, *, seed: int) -> tuple[Table, list[Attribution]]:
    """AUROC of each method on each half, and what `attribute` says of each claim."""
    claims = kind.claims
    scoring = kinds_methods(encoder, WordFrequencies(claims.passages.values()))
    texts = [[claims.passages[name] for name in pair.cited] for pair in claims.pairs]
    found = [
        attribute(pair.claim, own, encoder, question=pair.asked) for pair, own in zip(claims.pairs, texts, strict=True)
    ]
    scores = {LIBRARY: np.array([score_of(one) for one in found])}
    for method, score in scoring.items():
        scores[method] = np.array([score(pair.claim, own) for pair, own in zip(claims.pairs, texts, strict=True)])
    return {
        f"{kind.name}, {split}": _auroc_row(claims.pairs, scores, split, seed=seed) for split in ("report", "all")
    }, found


def _auroc_row(
    pairs: Sequence[Pair], scores: Mapping[str, np.ndarray], split: str, *, seed: int
) -> dict[str, Estimate]:
    kept = np.array([split in (pair.split, "all") for pair in pairs])
    labels = np.array([pair.attributable for pair in pairs])[kept]
    draws = Resamples([pair.question for pair, keep in zip(pairs, kept, strict=True) if keep], seed=seed)
    kept_scores = {method: values[kept] for method, values in scores.items()}
    row = {
        method: draws.estimate(lambda weights, x=values: auroc(x, labels, weights))
        for method, values in kept_scores.items()
    }
    best = max((method for method in row if method != LIBRARY), key=lambda method: row[method].mean)
    ours, theirs = kept_scores[LIBRARY], kept_scores[best]
    row["minus the best"] = draws.estimate(
        lambda weights: auroc(ours, labels, weights) - auroc(theirs, labels, weights)
    )
    return row


def reason_of(claim: Claim) -> set[str]:
    """Why a claim is flagged, as columns of the table."""
    if claim.label == "no_evidence":
        return {"no evidence"}
    if not claim.reasons:
        return {"low"}
    return {
        "elsewhere" if "stands only" in reason else "words" if reason.startswith("not in") else reason.split()[0]
        for reason in claim.reasons
    }


def flags_table(kind: Kind, found: Sequence[Attribution]) -> dict[str, dict[str, float]]:
    """Shares of claims that are flagged, by reason, of attributable ones and others."""
    table = {}
    for name, wanted in (("attributable", True), ("other", False)):
        own = [one for pair, one in zip(kind.claims.pairs, found, strict=True) if pair.attributable is wanted]
        counts = Counter(reason for one in own for reason in set().union(*(reason_of(claim) for claim in one.flagged)))
        row = {"claims": float(len(own)), "flagged": sum(bool(one.flagged) for one in own) / max(len(own), 1)}
        table[f"{kind.name}, {name}"] = row | {reason: counts[reason] / max(len(own), 1) for reason in REASONS}
    return table


def stability(
    kind: Kind, encoder: Encoder, found: Sequence[Attribution], *, count: int, limit: int
) -> dict[str, float]:
    """Share of attributable claims whose label changes when `count` foreign passages stand beside their own."""
    claims = kind.claims
    if len(claims.passages) < count + 5:
        return {}
    names = {**claims.passages, **{pair.id: pair.claim for pair in claims.pairs}}
    vectors = {
        name: mean_vector(one) for name, one in zip(names, encoder.encode_documents(list(names.values())), strict=True)
    }
    changed = lost = total = 0
    kept = [(pair, one) for pair, one in zip(claims.pairs, found, strict=True) if pair.attributable][:limit]
    for pair, alone in kept:
        among = shuffled((*pair.cited, *distractors(claims, vectors, pair, count)), pair.id)
        sources = [Source(claims.passages[name], id=name) for name in among]
        both = attribute(pair.claim, sources, encoder, question=pair.asked)
        for before, after in zip(alone.claims, both.claims, strict=True):
            total += 1
            changed += before.label != after.label
            lost += before.label == "corroborated" != after.label
    return {"claims": total, "changed": changed / max(total, 1), "newly flagged": lost / max(total, 1)}


def _plain_table(title: str, table: Mapping[str, Mapping[str, float]]) -> str:
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    lines = [f"### {title}", "", f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in table.items():
        cells = [f"{row[c]:.0f}" if c == "claims" else f"{row.get(c, 0):.3f}" for c in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--model", default="offline/latelens-mini")
    parser.add_argument("--limit", type=int, help="claims of a set")
    parser.add_argument("--foreign", type=int, default=19, help="foreign passages beside a claim's own")
    parser.add_argument("--foreign-claims", type=int, default=150, help="claims of a set that meet them")
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings between runs")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    try:
        kinds = read_kinds(asked.data, asked.sets, limit=asked.limit)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    encoder: Any = Remembering(load_encoder(asked.model), EmbeddingCache(asked.cache, max_bytes=2**32))
    aurocs: dict[str, dict[str, Estimate]] = {}
    flags: dict[str, dict[str, float]] = {}
    moved: dict[str, dict[str, float]] = {}
    for kind in kinds:
        table, found = measure_kind(kind, encoder, seed=asked.seed)
        aurocs |= {name: dict(row) for name, row in table.items()}
        flags |= flags_table(kind, found)
        if row := stability(kind, encoder, found, count=asked.foreign, limit=asked.foreign_claims):
            moved[kind.name] = row
        print(f"{kind.name} measured", file=sys.stderr, flush=True)
    hits = {kind.name: first_citations(kind, encoder, seed=asked.seed) for kind in kinds if kind.marked}
    print(markdown(f"AUROC, {asked.model}", aurocs) + "\n")
    print(_plain_table("Flagged claims, by reason", flags) + "\n")
    print(markdown("The first citation is a marked sentence", hits) + "\n")
    print(_plain_table(f"Labels that {asked.foreign} foreign sources change", moved))
    if asked.json is not None:
        written = {
            "model": asked.model,
            "auroc": {name: {key: cell.as_json() for key, cell in row.items()} for name, row in aurocs.items()},
            "first citation": {name: {key: cell.as_json() for key, cell in row.items()} for name, row in hits.items()},
            "flags": flags,
            "foreign sources": moved,
        }
        asked.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
