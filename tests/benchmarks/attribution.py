"""Does the score tell claims that their passages back from others, and are the right passages cited? Run by hand.

python tests/benchmarks/attribution.py FOLDER [--set small|norm] [--limit N] [--json numbers.json]

FOLDER holds small/ and norm/ as `attribution_tasks` reads them. Prints four tables: AUROC of the claims' scores
beside baselines, on the half that nothing was tuned on ("report") and on the others; citations and labels with
distractors among the sources; claims that were changed in one place (`attribution_flips`); and the cost.
Intervals are 95 %, from 1,000 resamples of the questions.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import attribution_flips as flips
import numpy as np
from attribution_measures import LIBRARY, METHODS, Remembering, Resamples, mean_vector, methods, speed
from attribution_tasks import Claims, Pair, distractors, read_claims, shuffled, texts_of
from evidence_methods import WordFrequencies
from evidence_table import Table, markdown

from latelens import EmbeddingCache, Encoder, load_encoder
from latelens.attribution import Attribution, Source, attribute
from latelens.evaluation.measures import auroc

SPLITS = "report", "tune", "all"
WAYS = "one by one", "together"
LABELS = "corroborated", "weak", "no_evidence", "not_checkable"


def score_pairs(claims: Claims, encoder: Encoder) -> dict[str, dict[str, list[float]]]:
    """Way of reading several passages -> method -> one score a pair."""
    scores: dict[str, dict[str, list[float]]] = {way: {method: [] for method in METHODS} for way in WAYS}
    scoring = methods(encoder, WordFrequencies(claims.passages.values()))
    for pair in _told(claims.pairs, "scored"):
        texts = [claims.passages[name] for name in pair.cited]
        for method, score in scoring.items():
            alone = [score(pair.claim, [text]) for text in texts]
            scores["one by one"][method].append(fmean(alone))
            scores["together"][method].append(score(pair.claim, texts) if len(texts) > 1 else alone[0])
    return scores


def auroc_table(claims: Claims, scores: dict[str, dict[str, list[float]]], *, seed: int) -> Table:
    table = {}
    for way in WAYS:
        for split in SPLITS:
            kept = [i for i, pair in enumerate(claims.pairs) if split in (pair.split, "all")]
            if kept:
                found = {method: np.array(values)[kept] for method, values in scores[way].items()}
                name = f"AUROC, {way}, {split}"
                table |= _auroc_rows(name, [claims.pairs[i] for i in kept], found, seed=seed)
    return table


def _auroc_rows(name: str, pairs: Sequence[Pair], found: dict[str, np.ndarray], *, seed: int) -> Table:
    draws = Resamples([pair.question for pair in pairs], seed=seed)
    labels = np.array([pair.attributable for pair in pairs])
    ours = found[LIBRARY]
    gains = {method: values for method, values in found.items() if method != LIBRARY}
    return {
        name: {
            method: draws.estimate(lambda weights, x=values: auroc(x, labels, weights))
            for method, values in found.items()
        },
        f"{name}, latelens minus this": {
            method: draws.estimate(lambda weights, x=values: auroc(ours, labels, weights) - auroc(x, labels, weights))
            for method, values in gains.items()
        },
    }


def cite(claims: Claims, encoder: Encoder, *, count: int) -> list[tuple[Pair, Attribution, Attribution]]:
    """Each claim among its own passages and `count` others, and among the others alone."""
    texts = claims.passages | {pair.id: pair.claim for pair in claims.pairs}
    encoded = encoder.encode_documents(list(texts.values()))
    vectors = {name: mean_vector(found) for name, found in zip(texts, encoded, strict=True)}
    found = []
    for pair in _told(claims.pairs, "cited"):
        others = distractors(claims, vectors, pair, count)
        both = [
            attribute(pair.claim, [Source(claims.passages[name], id=name) for name in names], encoder)
            for names in (shuffled((*pair.cited, *others), pair.id), others)
        ]
        found.append((pair, both[0], both[1]))
    return found


def citation_table(found: Sequence[tuple[Pair, Attribution, Attribution]], *, seed: int) -> Table:
    table = {}
    for split in SPLITS:
        kept = [(pair, among, without) for pair, among, without in found if split in (pair.split, "all")]
        good = [(pair, among) for pair, among, _ in kept if pair.attributable]
        if not good:
            continue
        precision, first, recall, returned = [], [], [], []
        for pair, among in good:
            right = [citation.source_id in pair.cited for citation in among.citations]
            heads = [claim.citations[0].source_id in pair.cited for claim in among.claims if claim.citations]
            precision.append(fmean(right) if right else np.nan)
            first.append(fmean(heads) if heads else np.nan)
            cited = {citation.source_id for citation in among.citations}
            recall.append(len(cited & set(pair.cited)) / len(pair.cited))
            returned.append(float(len(right)))
        draws = Resamples([pair.question for pair, _ in good], seed=seed)
        columns = {
            "citation precision": precision,
            "precision of first citations": first,
            "citation recall": recall,
            "citations": returned,
        }
        table[split] = {name: draws.estimate(lambda w, x=values: _mean(x, w)) for name, values in columns.items()}
    return table


def label_counts(found: Sequence[tuple[Pair, Attribution, Attribution]], split: str) -> dict[str, dict[str, int]]:
    """Labels of the claims' sentences: attributable, not attributable, and with their own passages taken away."""
    kept = [item for item in found if split in (item[0].split, "all")]
    groups = {
        "attributable": [among for pair, among, _ in kept if pair.attributable],
        "not attributable": [among for pair, among, _ in kept if not pair.attributable],
        "attributable, own passages taken away": [without for pair, _, without in kept if pair.attributable],
    }
    return {name: dict(Counter(claim.label for one in group for claim in one.claims)) for name, group in groups.items()}


def changed_claims(folder: Path, encoder: Encoder, limit: int | None) -> dict[str, list[flips.Row]]:
    """Claims that were changed in one place: what the exact checks flag, and what `attribute` does not corroborate."""
    cases = flips.read_cases(folder)[:limit]
    made = flips.flips(cases)

    def labelled(claim: str, passages: Sequence[str]) -> tuple[str, ...]:
        found = attribute(claim, passages, encoder)
        return (*(reason for one in found.claims for reason in one.reasons), *("flagged" for _ in found.flagged[:1]))

    return {
        "exact checks against whole passages": flips.measure(cases, made),
        "attribute: a flag or a reason": flips.measure(cases, made, labelled),
    }


def _mean(values: Sequence[float], weights: np.ndarray) -> float:
    known = np.isfinite(values)
    total = weights[known].sum()
    return float((np.array(values)[known] * weights[known]).sum() / total) if total else np.nan


def _told(pairs: Sequence[Pair], done: str) -> Iterator[Pair]:
    for i, pair in enumerate(pairs, 1):
        yield pair
        print(f"\r{i} of {len(pairs)} claims {done}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def _counts_table(title: str, counts: dict[str, dict[str, int]]) -> str:
    lines = [f"### {title}", "", "| sentences of claims | n | " + " | ".join(LABELS) + " |", "|---" * 6 + "|"]
    for name, row in counts.items():
        total = max(sum(row.values()), 1)
        shares = " | ".join(f"{row.get(label, 0) / total:.3f}" for label in LABELS)
        lines.append(f"| {name} | {sum(row.values())} | {shares} |")
    return "\n".join(lines)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", default="norm", choices=["small", "norm"])
    parser.add_argument("--model", default="offline/latelens-mini")
    parser.add_argument("--limit", type=int, help="claims")
    parser.add_argument("--distractors", type=int, default=19)
    parser.add_argument("--rounds", type=int, default=15, help="of the timing")
    parser.add_argument("--no-flips", action="store_true")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    folder = asked.folder / asked.set
    try:
        claims = read_claims(folder, limit=asked.limit)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    plain = load_encoder(asked.model)
    encoder: Any = Remembering(plain, EmbeddingCache(max_bytes=2**31))
    encoder.encode_documents(texts_of(claims))  # all at once: batches of equal lengths are several times as fast
    written: dict[str, Any] = {"dataset": claims.name, "model": asked.model, "pairs": len(claims.pairs)}
    scores = score_pairs(claims, encoder)
    found = cite(claims, encoder, count=asked.distractors)
    for title, table in (
        (f"{claims.name}, {asked.model}: {len(claims.pairs)} claims", auroc_table(claims, scores, seed=asked.seed)),
        (f"Citations among {asked.distractors} other passages", citation_table(found, seed=asked.seed)),
    ):
        print(markdown(title, table) + "\n")
        written[title] = {name: {key: cell.as_json() for key, cell in row.items()} for name, row in table.items()}
    for split in SPLITS:
        written[f"labels, {split}"] = label_counts(found, split)
        print(_counts_table(f"Labels, {split}", written[f"labels, {split}"]) + "\n")
    if not asked.no_flips:
        for title, rows in changed_claims(folder, encoder, asked.limit).items():
            print(f"### Changed claims, {title}\n\n{flips.table(rows)}\n")
            written[title] = [{"kind": r.kind, "half": r.half, "n": r.claims, "flagged": r.flagged} for r in rows]
    bearing = [pair.claim for pair in claims.pairs if pair.attributable][:10]
    took = speed(plain, list(claims.passages.values())[:20], bearing, rounds=asked.rounds)
    written["speed"] = took
    print("### Cost\n\n| " + " | ".join(took) + " |\n" + "|---" * len(took) + "|")
    print("| " + " | ".join(f"{value:.4g}" for value in took.values()) + " |")
    if asked.json is not None:
        asked.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
