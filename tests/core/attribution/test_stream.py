"""Claims come while the answer is written, and the whole is attributed as if it had come at once."""

from __future__ import annotations

from time import process_time

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens.attribution import attribute
from latelens.attribution.stream import AnswerStream

SOURCES = ["Cats eat mice. Dr. Rao counted 3.5 dogs.", "Birds sing at dawn."]
ANSWER = (
    "# Pets\n\nHello! Cats eat mice [1]. Dr. Rao counted 3.5 dogs.\n- Birds sing\n- Fish fly. No?\n\n"
    "```\nx. y.\n```\nEnd."
)


def run(pieces, sources=SOURCES, **arguments):
    encoder = FakeEncoder()
    stream = AnswerStream(sources, encoder, **arguments)
    given = [stream.feed(piece) for piece in pieces]
    return given, stream.finish(), encoder


@pytest.mark.parametrize("width", [1, 2, 3, 7, 30, 500])
def test_the_whole_is_what_attribute_gives_whatever_the_pieces(width):
    pieces = [ANSWER[i : i + width] for i in range(0, len(ANSWER), width)]
    given, whole, _ = run(pieces)
    assert whole == attribute(ANSWER, SOURCES, FakeEncoder())
    early = [claim for claims in given for claim in claims]
    assert early == list(whole.claims)[: len(early)]
    assert len(early) >= 4


def test_a_claim_comes_when_its_sentence_has_ended():
    given, _, _ = run(["Cats eat", " mice.", " Birds", " sing at dawn", ".\n\n", "Fish"])
    assert [[claim.text for claim in claims] for claims in given] == [
        [], [], ["Cats eat mice."], [], [], ["Birds sing at dawn."],
    ]  # fmt: skip


def test_an_abbreviation_ends_no_claim():
    given, whole, _ = run(["Dr.", " Rao", " counted 3.", "5 dogs. ", "They"])
    assert [[claim.text for claim in claims] for claims in given] == [[], [], [], [], ["Dr. Rao counted 3.5 dogs."]]
    assert len(whole.claims) == 2


def test_no_source_is_encoded_and_no_claim_verified_twice():
    asked = []

    def judge(claim, evidence):
        asked.append(claim)
        return 0.9

    _, whole, encoder = run(list("Cats eat mice. Birds sing at dawn. Fish."), verifier=judge)
    assert asked == ["Cats eat mice.", "Birds sing at dawn."]
    assert [claim.label for claim in whole.claims][:2] == ["supported", "supported"]
    assert [encoder.encoded.count(text) for text in ("Cats eat mice. Dr. Rao counted 3.5 dogs.", "Fish.")] == [1, 1]
    assert encoder.encoded.count("Cats eat mice.") == 2  # when it ended, and with the whole


def test_what_cannot_be_used_is_refused():
    with pytest.raises(TypeError, match="sources must be a sequence of Source or str, got str"):
        AnswerStream("text", FakeEncoder())
    with pytest.raises(TypeError, match="piece must be a str, got int: 3"):
        AnswerStream([], FakeEncoder()).feed(3)


SENTENCE = st.sampled_from(
    ["Cats eat mice.", "Dr. Rao counted 3.5 dogs.", "Birds sing at dawn!", "Do fish fly?", "It is [2]."]
)
BLOCK = st.lists(SENTENCE, min_size=1, max_size=5).map(" ".join) | st.lists(SENTENCE, min_size=1, max_size=4).map(
    lambda items: "\n".join(f"- {item}" for item in items)
)
TEXT = st.lists(BLOCK, max_size=4).map("\n\n".join)


@settings(max_examples=200, deadline=None)
@given(TEXT, st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_claims_of_prose_and_lists_come_once_in_order_and_stay(answer, widths):
    pieces, reached, i = [], 0, 0
    while reached < len(answer):
        pieces.append(answer[reached : reached + widths[i % len(widths)]])
        reached, i = reached + widths[i % len(widths)], i + 1
    given, whole, _ = run(pieces)
    early = [claim for claims in given for claim in claims]
    assert early == list(whole.claims)[: len(early)]
    assert whole == attribute(answer, SOURCES, FakeEncoder())


def test_a_long_answer_takes_time_that_grows_with_its_length():
    def seconds(count):
        stream = AnswerStream([], FakeEncoder(dim=16))
        started = process_time()
        for i in range(count):
            stream.feed(f"Cats eat mouse{i}. ")
        return process_time() - started

    once, twice = seconds(1500), seconds(3000)
    assert twice < 3 * once or twice < 0.5
