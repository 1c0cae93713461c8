"""Claims are changed in one place each, always the same way, and the guards reach the aims on them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import attribution_flips as flips

PASSAGES = ("In 1994, the old bridge was built by Ada Lovelace for 3,500 people. It does not carry trains to Paris.",)
CASES = [
    flips.Case("a", "The bridge was built by Ada Lovelace in 1994 for 3,500 people.", PASSAGES),
    flips.Case("b", "It does not carry trains to Paris.", PASSAGES),
    flips.Case("c", "It was opened by Alan Turing.", ("It was opened by Alan Turing in London.",)),
]


def test_a_change_is_one_replacement_of_what_stands_in_the_passages():
    made = flips.flips(CASES)
    for flip in made:
        if flip.kind == flips.IN_PASSAGES:
            assert flip.claim == flip.case.claim
            assert flip.passages != flip.case.passages
            continue
        before, after = flip.case.claim[: flip.start], flip.case.claim[flip.start + len(flip.old) :]
        assert flip.case.claim == before + flip.old + after
        assert flip.claim == before + flip.new + after != flip.case.claim
        if flip.kind.startswith(("number", "name")):
            assert flip.old in " ".join(flip.passages)
    assert {flip.kind for flip in made if flip.case.id == "a"} >= {"number", "name", "negation added"}
    assert [(flip.old, flip.claim) for flip in made if flip.kind == "negation removed"] == [
        ("not ", "It does carry trains to Paris.")
    ]
    assert made == flips.flips(CASES)


def test_a_name_becomes_a_name_of_the_same_shape():
    names = {flip.case.id: (flip.old, flip.new) for flip in flips.flips(CASES) if flip.kind == "name"}
    assert names["a"] == ("Ada Lovelace", "Alan Turing")
    assert names["c"] == ("Alan Turing", "Ada Lovelace")


def test_only_a_new_reason_counts():
    made = [flip for flip in flips.flips(CASES) if flip.kind in ("number", "name")]
    rows = flips.measure(CASES, made, lambda claim, passages: ("always",))
    assert {(row.kind, row.flagged) for row in rows if row.half == "all" and row.claims} == {
        ("untouched", 3),
        ("number", 0),
        ("name", 0),
    }
    rows = flips.measure(CASES, made, lambda claim, passages: (claim,))
    assert all(row.flagged == row.claims for row in rows)


def test_an_interval_holds_the_share():
    row = flips.Row("number", "all", claims=10, flagged=5)
    low, high = row.interval
    assert (round(low, 3), round(high, 3)) == (0.237, 0.763)  # Wilson (1927), as printed for 5 of 10


def test_the_table_has_a_line_for_each_kind_that_was_made():
    made = flips.flips(CASES)
    _, _, *lines = flips.table(flips.measure(CASES, made)).splitlines()
    assert {line.split(" | ")[0].strip("| ") for line in lines} == {"untouched", *(flip.kind for flip in made)}
    assert lines[0].endswith("| 0.000 (0/3) | 0.000 to 0.562 |")  # Wilson for 0 of 3


def test_the_guards_reach_the_aims(shared_data):
    """On all claims, and on the half that no rule was made for."""
    cases = flips.read_cases(shared_data / "hagrid_attributionbench" / "norm")
    measured = flips.measure(cases, flips.flips(cases))
    for half in ("report", "all"):
        share = {row.kind: row.share for row in measured if row.half == half}
        assert share["untouched"] <= 0.10
        assert share["number"] >= 0.90
        assert share["name"] >= 0.80
        assert share["negation added"] >= 0.80
        assert share[flips.IN_PASSAGES] >= 0.75
