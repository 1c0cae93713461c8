"""Marks that a model wrote are read in all their forms, and each number is checked against its own source."""

from __future__ import annotations

from time import process_time

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens.attribution import attribute
from latelens.attribution.mark_checks import check_marks
from latelens.attribution.marks import read_marks, without_marks

FORMS = {
    "one": ("Cats eat mice [1].", [(1,)], "Cats eat mice."),
    "several in one": ("Cats eat mice [1, 3].", [(1, 3)], "Cats eat mice."),
    "side by side": ("Cats eat mice.[1][2]", [(1,), (2,)], "Cats eat mice."),
    "range": ("Cats eat mice [2-4].", [(2, 3, 4)], "Cats eat mice."),
    "footnote": ("Cats eat mice[^2].\n\n[^2]: The report [7], page 3.\n", [(2,)], "Cats eat mice.\n\n"),
    "of a chat": ("Cats eat mice【4†source】.", [(4,)], "Cats eat mice."),
    "fullwidth alone": ("Cats eat mice【1】", [(1,)], "Cats eat mice"),
    "named": ("Cats eat mice [Source 2] (Documents 3 and 4).", [(2,), (3, 4)], "Cats eat mice."),
    "in round brackets": ("Cats eat mice (1). Dogs bark (2, 3).", [(1,), (2, 3)], "Cats eat mice. Dogs bark."),
    "with a link": ("Cats eat mice [1](https://a.b).", [(1,)], "Cats eat mice."),
    "before a sentence": ("[2] Cats eat mice.", [(2,)], "Cats eat mice."),
    "not a step": ("(1) Cats eat mice. (2) Dogs bark", [], "(1) Cats eat mice. (2) Dogs bark"),
    "not a figure": ("See Figure (1).", [], "See Figure (1)."),
    "not in code": ("Use `a[1]`.\n```\nb[2]\n```\n", [], "Use `a[1]`.\n```\nb[2]\n```\n"),
    "not a year": ("It opened (1994).", [], "It opened (1994)."),
}


@pytest.mark.parametrize(("answer", "numbers", "left"), FORMS.values(), ids=FORMS)
def test_a_mark_is_read_in_whatever_form_it_is_written(answer, numbers, left):
    found = read_marks(answer)
    assert [mark.numbers for mark in found] == numbers
    assert all(answer[mark.start : mark.end] == mark.text for mark in found)
    assert without_marks(answer) == left


SOURCES = ["Cats eat mice.", "Dogs bark loudly.", "Birds sing at dawn. Birds fly."]
ANSWER = "Cats eat mice [1]. Dogs bark loudly [1]. Fish climb trees [3]. Birds fly [9]."


def test_each_number_is_checked_against_its_own_source():
    found = check_marks(ANSWER, SOURCES, FakeEncoder())
    assert [(each.number, each.claim, each.verdict, each.better) for each in found.marks] == [
        (1, 0, "backed", 1),
        (1, 1, "elsewhere", 2),
        (3, 2, "unbacked", None),
        (9, 3, "unknown", 3),
    ]
    assert found.text == ANSWER
    assert found.attribution == attribute(ANSWER, SOURCES, FakeEncoder())


@pytest.mark.parametrize(
    ("handling", "text"),
    [
        ("keep", ANSWER),
        ("move", "Cats eat mice [1]. Dogs bark loudly [2]. Fish climb trees. Birds fly [3]."),
        ("flag", "Cats eat mice [1]. Dogs bark loudly [1?]. Fish climb trees [3?]. Birds fly [9?]."),
        ("strip", "Cats eat mice. Dogs bark loudly. Fish climb trees. Birds fly."),
    ],
)
def test_marks_are_kept_moved_flagged_or_taken_away(handling, text):
    assert check_marks(ANSWER, SOURCES, FakeEncoder(), handling=handling).text == text


def test_a_mark_that_opens_a_line_belongs_to_what_follows_there():
    found = check_marks("Cats eat mice.\n- [2] Dogs bark loudly.\n\nHello! [1]", SOURCES, FakeEncoder())
    assert [(each.claim, each.verdict) for each in found.marks] == [(1, "backed"), (2, "unknown")]


def test_two_sources_may_bear_a_claim_together():
    answer = "Cats eat mice and dogs bark loudly [1][2]."
    assert [each.verdict for each in check_marks(answer, SOURCES, FakeEncoder()).marks] == ["backed", "backed"]
    assert [each.verdict for each in check_marks(answer[:-4] + ".", SOURCES, FakeEncoder()).marks] == ["elsewhere"]


def test_marks_of_an_attribution_replace_those_of_the_model():
    assert attribute("Dogs bark loudly [7]. [3] Cats eat mice (2).", SOURCES, FakeEncoder()).marked() == (
        "Dogs bark loudly.[1] Cats eat mice.[2]"
    )


def test_a_mark_is_no_number_of_the_claim():
    (claim,) = attribute("Cats eat mice (7).", SOURCES, FakeEncoder()).claims
    assert (claim.label, claim.reasons) == ("corroborated", ())


def test_another_handling_is_refused():
    with pytest.raises(ValueError, match="handling must be 'keep', 'move', 'flag' or 'strip', got 'drop'"):
        check_marks("Cats eat mice [1].", SOURCES, FakeEncoder(), handling="drop")


PIECES = ["[1]", " [2, 3]", "【1†s】", "(1)", "[^1]", "[^1]: x\n", "Cats eat mice. ", "\n", "`", "```\n", "- ", "["]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_marks_are_disjoint_pieces_and_taking_them_away_leaves_none_of_them(answer):
    reached = 0
    for mark in read_marks(answer):
        assert reached <= mark.start < mark.end
        assert answer[mark.start : mark.end] == mark.text
        assert mark.numbers
        reached = mark.end
    for handling in ("keep", "move", "flag", "strip"):
        check_marks(answer, SOURCES, FakeEncoder(dim=64), handling=handling)


@pytest.mark.parametrize(
    "unit", ["[1]", "(1) ", "`", "[1, ", "【1", "[^1]: x\n", "[1](", "a (1).", "[sources ", "[1]\n"]
)
def test_a_long_answer_is_read_in_time_that_grows_with_its_length(unit):
    started = process_time()
    without_marks(unit * (200_000 // len(unit)))
    assert process_time() - started < 10
