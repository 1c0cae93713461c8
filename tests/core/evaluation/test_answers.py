"""Answers are scored by their sources: by hand, on texts in which equal words match with 1."""

from __future__ import annotations

import pytest
from fake_encoder import FakeEncoder

from latelens.evaluation.answers import Answered, score_answer, score_answers
from latelens.render.html.answers import answers_report

SOURCES = ("Cats eat mice.", "Dogs bark loudly.")


def shares(score):
    return score.supported, score.flagged, score.citation_precision, score.citation_recall


def test_an_answer_is_scored_by_hand():
    answer = "Hello! Cats eat mice [1]. Dogs bark loudly [1]. Fish climb trees. Dogs bark loudly."
    score = score_answer("What?", answer, SOURCES, FakeEncoder())
    assert score.claims == 4
    assert shares(score) == (0.75, 0.25, 0.5, 0.25)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Cats eat mice.", (1, 0, None, None)),
        ("Hello!", (None, None, None, None)),
        ("", (None, None, None, None)),
        ("Cats eat mice [7].", (1, 0, 0, 0)),
        ("Cats eat mice [1][2].", (1, 0, 0.5, 1)),
        ("Hello! [1]", (None, None, None, None)),
    ],
)
def test_what_cannot_be_measured_is_none(answer, expected):
    assert shares(score_answer("", answer, SOURCES, FakeEncoder())) == expected


def test_a_verifier_decides_instead():
    score = score_answer("", "Cats eat mice [1].", SOURCES, FakeEncoder(), verifier=lambda claim, texts: 0.1)
    assert shares(score) == (0, 1, 0, 0)


def test_a_set_has_the_means_of_its_answers_and_encodes_a_source_once():
    encoder = FakeEncoder()
    examples = [Answered("a", "Cats eat mice [1].", SOURCES), Answered("b", "Fish climb trees.", SOURCES)]
    found = score_answers(examples, encoder)
    assert found.means == {"supported": 0.5, "flagged": 0.5, "citation_precision": 1.0, "citation_recall": 1.0}
    assert found.table().splitlines()[2:] == [
        "| supported: claims that the sources back | 0.500 | 2 |",
        "| flagged: claims that a reader should check | 0.500 | 2 |",
        "| citation_precision: marks whose source backs the claim | 1.000 | 1 |",
        "| citation_recall: claims that a marked source backs | 1.000 | 1 |",
    ]
    assert encoder.encoded.count("Dogs bark loudly.") == 1
    assert found == score_answers(examples, FakeEncoder())
    assert score_answers([], encoder).means["supported"] is None


def test_the_report_is_one_page_that_loads_nothing_and_escapes_every_text(tmp_path):
    evil = "<script>alert('x')</script>"
    example = Answered(evil, f"Cats eat mice. {evil} fly.", (f"Cats eat mice. {evil}",), id=evil)
    path = answers_report(score_answers([example], FakeEncoder()), title=evil).save(tmp_path / "answers.html")
    page = path.read_text(encoding="utf-8")
    assert evil not in page
    assert "&lt;script&gt;alert" in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "claims that the sources back" in page
