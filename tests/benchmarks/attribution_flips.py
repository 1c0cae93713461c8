"""False support: are claims flagged once a number, a name or a negation in them is changed?

    python tests/benchmarks/attribution_flips.py FOLDER

FOLDER holds `corpus.jsonl` {id, text}, `queries.jsonl` {id, text} and `pairs.jsonl` {qid, docids, label}, such as
the claims of HAGRID in AttributionBench. A claim that its passages back (label 1) is changed in one place; what is
changed is found with the patterns of `attribution_changes`, not with those that are measured, and nothing else is
asked of a change than that the old value stands in the passages: the new one may stand there, too. A change counts as
flagged where it brings a reason that the untouched claim does not have. Rules were made on half "develop" (even sha1
of the qid).

One kind leaves the claim and denies a sentence of its passages instead. The two kinds "... of the passages" swap a
value for another one of the same passages: only where the values stand tells that they are wrong, so they show what
matching values cannot see.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attribution_changes import (
    Case,
    Change,
    affirmed,
    denied,
    names_of,
    negated,
    other_names,
    other_numbers,
    swapped_names,
    swapped_numbers,
)

from latelens.attribution.guards import check
from latelens.evaluation.data import read_lines

KINDS = ("number", "name", "negation added", "negation removed", "number of the passages", "name of the passages")
IN_PASSAGES = "negation added in the passages"
Reasons = Callable[[str, Sequence[str]], Sequence[str]]


@dataclass(frozen=True)
class Flip:
    """A claim, or the passages, changed in one place: `old`, which stood at `start`, became `new`."""

    case: Case
    kind: str
    claim: str
    passages: tuple[str, ...]
    start: int
    old: str
    new: str


@dataclass(frozen=True)
class Row:
    """How many claims of a kind were flagged; ``low`` and ``high`` are Wilson's 95 % interval of the share."""

    kind: str
    half: str
    claims: int
    flagged: int

    @property
    def share(self) -> float:
        return self.flagged / self.claims if self.claims else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        n, p, z = max(self.claims, 1), self.share if self.claims else 0.5, 1.96
        middle, width = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - width) / (1 + z * z / n), (middle + width) / (1 + z * z / n)


def read_cases(folder: Path, *, label: int = 1) -> list[Case]:
    """The claims of one label, in the file's order."""
    passages = {line["id"]: line["text"] for line in read_lines(folder / "corpus.jsonl")}
    claims = {line["id"]: line["text"] for line in read_lines(folder / "queries.jsonl")}
    pairs = [line for line in read_lines(folder / "pairs.jsonl") if line["label"] == label]
    return [Case(pair["qid"], claims[pair["qid"]], tuple(passages[id] for id in pair["docids"])) for pair in pairs]


def flips(cases: Sequence[Case]) -> list[Flip]:
    """At most one change of each kind for each claim, always the same ones."""
    pool = sorted({name for case in cases for _, name in names_of(case)})
    makers: dict[str, Callable[[Case, random.Random], Iterator[Change]]] = {
        "number": other_numbers,
        "name": lambda case, chance: other_names(case, chance, pool),
        "negation added": negated,
        "negation removed": affirmed,
        "number of the passages": swapped_numbers,
        "name of the passages": swapped_names,
    }
    made = []
    for case in cases:
        for kind in KINDS:
            chance = _chance(kind, case)
            if changes := list(makers[kind](case, chance)):
                start, old, new = chance.choice(changes)
                made.append(Flip(case, kind, _replaced(case.claim, start, old, new), case.passages, start, old, new))
        if denials := list(denied(case)):
            i, start, old, new = _chance(IN_PASSAGES, case).choice(denials)
            passages = (*case.passages[:i], _replaced(case.passages[i], start, old, new), *case.passages[i + 1 :])
            made.append(Flip(case, IN_PASSAGES, case.claim, passages, start, old, new))
    return made


def _chance(kind: str, case: Case) -> random.Random:
    return random.Random(hashlib.sha1(f"{kind} {case.id}".encode()).digest())


def _replaced(text: str, start: int, old: str, new: str) -> str:
    return text[:start] + new + text[start + len(old) :]


def measure(cases: Sequence[Case], made: Sequence[Flip], reasons: Reasons = check) -> list[Row]:
    """Count what ``reasons(claim, passages)`` flags: untouched claims, and changes that bring a new reason."""
    before = {case.id: tuple(reasons(case.claim, case.passages)) for case in cases}
    hits = [("untouched", case, bool(before[case.id])) for case in cases]
    for flip in made:
        after = reasons(flip.claim, flip.passages)
        hits.append((flip.kind, flip.case, not set(after) <= set(before[flip.case.id])))
    rows = []
    for kind in ("untouched", *KINDS, IN_PASSAGES):
        for half in ("develop", "report", "all"):
            flagged = [hit for found, case, hit in hits if found == kind and half in (case.half, "all")]
            rows.append(Row(kind, half, len(flagged), sum(flagged)))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line for each kind, a column for each half."""
    lines = ["| claims | develop | report | all | 95 % of all |", "|---|---|---|---|---|"]
    for kind in dict.fromkeys(row.kind for row in rows if row.claims):
        parts = {row.half: row for row in rows if row.kind == kind}
        low, high = parts["all"].interval
        cells = [f"{part.share:.3f} ({part.flagged}/{part.claims})" for part in parts.values()]
        lines.append(f"| {kind} | {' | '.join(cells)} | {low:.3f} to {high:.3f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--show", metavar="KIND", help="print what a kind misses, or 'untouched'")
    arguments = parser.parse_args()
    cases = read_cases(arguments.folder)
    made = flips(cases)
    if arguments.show:
        _show(cases, made, arguments.show)
    print(table(measure(cases, made)))


def _show(cases: Sequence[Case], made: Sequence[Flip], kind: str) -> None:
    for case in cases:
        if kind == "untouched" and case.half == "develop" and check(case.claim, case.passages):
            print(f"{check(case.claim, case.passages)} | {case.claim}\n")
    for flip in made:
        if flip.kind == kind and flip.case.half == "develop":
            before = check(flip.case.claim, flip.case.passages)
            if set(check(flip.claim, flip.passages)) <= set(before):
                print(f"{flip.old!r} -> {flip.new!r} | {flip.claim}\n")


if __name__ == "__main__":
    main()
