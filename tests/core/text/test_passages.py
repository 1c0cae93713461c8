"""Passages: whole sentences, one heading, one page, exact positions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens.text.characters import words
from latelens.text.passages import MAX_WORDS, split_passages


def texts(text: str) -> list[str]:
    return [text[start:end] for start, end in split_passages(text)]


def paragraph(count: int, word: str = "word") -> str:
    """Sentences of ten words each."""
    return " ".join([" ".join([word.capitalize(), *[word] * 9]) + "."] * (count // 10))


@pytest.mark.parametrize("text", ["", " \n\t", "---", "* * *\n\n***"])
def test_a_text_without_a_word_has_no_passage(text):
    assert split_passages(text) == ()


def test_short_paragraphs_are_read_together_and_long_ones_alone():
    assert texts("They eat.\n\nThey sleep.") == ["They eat.\n\nThey sleep."]
    long, short = paragraph(100), paragraph(20, "tail")
    assert texts(f"{long}\n\n{short}") == [long, short]


def test_a_paragraph_that_is_too_long_is_cut_between_sentences():
    found = texts(paragraph(300))
    assert [len(words(passage)) for passage in found] == [140, 140, 20]
    assert all(passage.endswith(".") for passage in found)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("# Diet\n\nGrass.", "## Range\nIndia."),
        ("Diet\n====\n\nGrass grows.", "Range\n-----\n\nIndia is large."),
        ("Diet\n\nThey eat grass.", "Range\n\nThey live in India."),
        ("Intro text here.", "# Range\n\nIndia."),
    ],
)
def test_a_heading_opens_a_passage_and_stands_with_what_follows(first, second):
    assert texts(f"{first}\n\n{second}") == [first, second]


def test_headings_in_a_row_stay_together():
    assert texts("# Animals\n\n## Elephants\n\nThey eat.") == ["# Animals\n\n## Elephants\n\nThey eat."]


def test_a_comment_in_code_is_no_heading():
    text = "Run this:\n\n```sh\n# install\nmake\n# test\nmake test\n```\n\nDone."
    assert texts(text) == [text]


def test_list_items_are_no_headings():
    text = "Bring:\n\n- milk\n\n- bread\n\n- eggs\n\nThat is all."
    assert texts(text) == [text]


def test_a_page_break_parts_passages_and_is_in_none():
    assert texts("They eat\fgrass and leaves.") == ["They eat", "grass and leaves."]


def test_a_long_list_of_titles_is_cut_too():
    found = texts("\n\n".join(f"Title number {i}" for i in range(200)))
    assert len(found) > 3
    assert max(len(words(passage)) for passage in found) <= MAX_WORDS


def test_windows_line_ends_part_paragraphs():
    assert texts(f"{paragraph(100)}\r\n\r\nTail.")[1] == "Tail."


@given(st.text(st.sampled_from("ab é.\n\r\f#-|\t 你😀e\u0301"), max_size=300))
@settings(max_examples=200, deadline=None)
def test_passages_are_disjoint_in_order_and_leave_out_no_word(text):
    spans = split_passages(text)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    kept = "".join(text[start:end] for start, end in spans)
    assert [c for c in kept if c.isalnum()] == [c for c in text if c.isalnum()]
