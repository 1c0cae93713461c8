import itertools

import numpy as np
import pytest
import regex
from growth import assert_linear
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import HOSTILE, SENTENCES, seen

from latelens.text import characters, split_passages, split_sentences
from latelens.text.characters import (
    character_edges,
    covers_visible,
    is_visible,
    snap_to_characters,
    snap_to_visible,
    trim_to_visible,
    words,
)

FAMILY = "👩\u200d👩\u200d👧\u200d👦"
# Unicode grows: what Python does not know yet, regex may know.
known = st.text(st.characters(exclude_categories=["Cn"]), max_size=4)
texts = st.lists(st.sampled_from([*HOSTILE, *SENTENCES]) | known, max_size=8).map("".join)


def spans(*pairs):
    return np.array(pairs, dtype=np.int32).reshape(-1, 2)


@pytest.mark.parametrize("text", ["a", ".", "½", "字", "👍", "x\u0301", "\ue000", "\ufffd", "\u0378", " a "])
def test_a_character_that_leaves_ink_is_visible(text):
    assert is_visible(text)


@pytest.mark.parametrize(
    "text", ["", " ", "\t\r\n", "\x00", "\xad", "\ufeff", "\u200b", "\u200d", "\u3000", "\u2028", "\ud800", "\u0301"]
)
def test_spaces_controls_joiners_and_lone_marks_are_not_visible(text):
    assert not is_visible(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It can't cost 3.5 €!", ["It", "can't", "cost", "3.5", "€"]),
        ("le cafe\u0301.", ["le", "cafe\u0301"]),
        (f"hi {FAMILY}!", ["hi", FAMILY]),
        ("한국어 말", ["한국어", "말"]),
        ("น้ำ", ["น้ำ"]),
        ("שלום, עולם", ["שלום", "עולם"]),
        ("(a) ... !?", ["a"]),
        (" \u200b\x00", []),
        ("", []),
    ],
)
def test_words_are_what_a_reader_calls_words(text, expected):
    assert [text[start:end] for start, end in words(text).tolist()] == expected


def test_words_of_a_text_are_shared_so_nobody_may_change_them():
    with pytest.raises(ValueError, match="read-only"):
        words("two words")[0] = 0


def test_a_span_widens_to_the_whole_character():
    text = f"e\u0301{FAMILY}"
    assert snap_to_characters(text, spans((0, 1), (1, 2), (4, 5), (-1, -1))).tolist() == [
        [0, 2],
        [0, 2],
        [2, 2 + len(FAMILY)],
        [-1, -1],
    ]


def test_an_ascii_line_break_is_one_character():
    assert character_edges("a\r\nb").tolist() == [0, 1, 3, 4]
    assert character_edges("a\nb").tolist() == [0, 1, 2, 3]
    assert character_edges("").tolist() == [0]


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("a cafe\u0301", (1, 6), "cafe\u0301"),
        ("a cafe\u0301", (1, 2), None),
        (" a\u200b b ", (0, 4), "a"),
        (" a\u200b b ", (0, 6), "a\u200b b"),
        ("नि", (1, 2), "नि"),
        (f"x{FAMILY}", (2, 3), FAMILY),
        ("a\x00\xad", (1, 3), None),
        ("\u0301", (0, 1), None),
        ("", (-1, -1), None),
    ],
)
def test_a_visible_span_begins_and_ends_with_something_to_see(text, span, expected):
    start, end = snap_to_visible(text, spans(span))[0].tolist()
    assert (text[start:end] if start >= 0 else None) == expected


@settings(max_examples=300, derandomize=True, deadline=None)
@given(text=texts, data=st.data())
def test_snapped_spans_are_whole_visible_characters_of_any_text(text, data):
    edge = st.integers(0, len(text))
    pairs = data.draw(st.lists(st.tuples(edge, edge).map(sorted), max_size=6))
    given_spans = spans(*pairs)
    before = given_spans.copy()
    edges = {0, len(text)} | {match.start() for match in regex.finditer(r"\X", text)}
    for (start, end), (low, high) in zip(pairs, snap_to_visible(text, given_spans).tolist(), strict=True):
        inked = [i for i in range(start, end) if seen(text[i])]
        if (low, high) == (-1, -1):
            assert not inked
            continue
        assert {low, high} <= edges
        assert all(low <= i < high for i in inked)
        first, *_, last = 2 * regex.findall(r"\X", text[low:high])
        assert any(map(seen, first))
        assert any(map(seen, last))
    assert (given_spans == before).all()


@settings(max_examples=300, derandomize=True, deadline=None)
@given(text=texts)
def test_words_come_in_order_and_are_whole_characters(text):
    edges = {0, len(text)} | {match.start() for match in regex.finditer(r"\X", text)}
    found = words(text).tolist()
    assert {edge for span in found for edge in span} <= edges
    assert all(start < end for start, end in found)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("text", "expected"), [("  a b\n", "a b"), ("a", "a"), ("   ", ""), ("", ""), ("\u3000字\u00a0", "字")]
)
def test_white_space_is_trimmed_at_both_ends(text, expected):
    start, end = trim_to_visible(text, 0, len(text))
    assert text[start:end] == expected


def test_coverage_fails_with_any_visible_character_left_out():
    text = "ab \u200bc"
    assert covers_visible(text, spans((0, 2), (4, 5)))
    assert covers_visible(text, spans((4, 5), (-1, -1), (1, 2), (0, 2)))
    assert not covers_visible(text, spans((0, 2)))
    assert not covers_visible(text, spans((1, 5)))
    assert not covers_visible(text, spans((0, 1), (2, 5)))
    assert covers_visible(" \n", spans())
    assert not covers_visible("a", spans())


@settings(max_examples=300, derandomize=True, deadline=None)
@given(text=texts, data=st.data())
def test_coverage_agrees_with_a_count_by_hand(text, data):
    edge = st.integers(0, len(text))
    pairs = data.draw(st.lists(st.tuples(edge, edge).map(sorted), max_size=8))
    covered = {i for start, end in pairs for i in range(start, end)}
    by_hand = all(i in covered for i, character in enumerate(text) if is_visible(character))
    assert covers_visible(text, spans(*pairs)) == by_hand


def test_a_word_in_quotes_is_a_word():
    for text in ("He said 'elephants eat' now", "He said ’elephants eat’ now", "«eat» (eat) \"eat\" 'eat'"):
        assert [text[start:end].strip("'’") for start, end in words(text)] == regex.findall(r"\w+", text)


@given(
    st.text(st.characters(max_codepoint=127), max_size=30), st.lists(st.tuples(st.integers(-1, 29), st.integers(0, 30)))
)
def test_ascii_spans_are_snapped_as_all_others(text, pairs):
    spans = np.array([(a, min(b, len(text))) for a, b in pairs if a < len(text)], dtype=np.int32).reshape(-1, 2)
    wide = snap_to_visible(text + "é", spans)  # one character more, and the quick way is not taken
    np.testing.assert_array_equal(snap_to_visible(text, spans), wide)


def test_letters_that_need_no_search_join_with_nothing():
    single = [chr(code) for code in range(0x110000) if characters._SINGLE.fullmatch(chr(code))]
    assert len(single) > 20_000
    # By the standard only "\r\n" joins two characters of these classes.
    apart = regex.compile(r"[\p{GCB=Other}\p{GCB=Control}\p{GCB=CR}\p{GCB=LF}]")
    assert [character for character in single if not apart.fullmatch(character)] == []
    assert character_edges("Größe – „жар\r\n図書館“").tolist() == [*range(13), *range(14, 19)]


LETTERS = [chr(0x1F1E6 + i) for i in range(26)]


@given(st.lists(st.sampled_from([*LETTERS, *HOSTILE, "\u200d", "\u0301", "a", "'", "."]) | known, max_size=30))
@settings(max_examples=300)
def test_flags_in_a_row_are_cut_as_the_standard_cuts_them(pieces):
    text = "".join(pieces)
    starts = [match.start() for match in regex.finditer(r"\X", text)]
    assert character_edges(text).tolist() == [*starts, len(text)]
    expected = [match.span() for match in characters._WORD.finditer(text)]
    merged = characters._merge(snap_to_characters(text, spans(*expected)))
    assert words(text).tolist() == merged.tolist()


@pytest.mark.parametrize("work", [words.__wrapped__, character_edges, split_sentences.__wrapped__, split_passages])
@pytest.mark.parametrize("unit", ["🇩", "🇩🇪", "🇩\u0301", "a🇩", "\u0301", "a ", " ", "<a ", "'", "1.", "👩\u200d"])
def test_time_grows_with_the_text(work, unit):
    assert_linear(work, lambda size: "x " + unit * (size // len(unit)), 8_000, within=2)
