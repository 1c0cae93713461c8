"""What the terminal shows is the evidence and the score, with colours and without."""

from __future__ import annotations

import io
import re

import pytest
from fake_encoder import FakeEncoder
from growth import assert_linear
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from latelens import EvidenceSpan, attribute, explain, find_evidence, rerank
from latelens.render.terminal.answer import format_answer
from latelens.render.terminal.printing import printable
from latelens.render.terminal.ranking import EvidenceText, format_ledger, format_ranking

TEXT = "Herd [bold]one[/bold]. They eat grass daily. Rain fell."
EVIDENCE = [EvidenceSpan(45, 55, "Rain fell.", 1.0, 0.0, (), 45, 49), EvidenceSpan(23, 44, "They eat grass daily.", 3.0, 1.0, ("eat",), 28, 37)]  # fmt: skip # noqa: E501
HOSTILE = "Herds \x1b[31meat\x1b]8;;http://evil\x07 grass\x9b2J\r\n\u202edaily. [red]Rain[/red] fell :smile:."


def shown(renderable, **options) -> str:
    out = io.StringIO()
    Console(file=out, **{"width": 80, **options}).print(renderable)
    return out.getvalue()


def span(text: str, sentence: str, phrase: str, words: tuple[str, ...] = ("eat",)) -> EvidenceSpan:
    start, first = text.index(sentence), text.index(phrase)
    return EvidenceSpan(start, start + len(sentence), sentence, 2.0, 1.0, words, first, first + len(phrase))


def styled(text: str, evidence, **options) -> list[str]:
    """The characters under each style, in the order of the styles."""
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard", **options)
    (found,) = EvidenceText(text, evidence).__rich_console__(console, console.options)
    return [found.plain[part.start : part.end] for part in found.spans]


def test_without_colour_sentences_stand_between_marks_in_reading_order() -> None:
    out = shown(EvidenceText(TEXT, EVIDENCE), width=200)
    assert out.rstrip() == "Herd [bold]one[/bold]. »They eat grass daily.« »Rain fell.«"


def test_with_colour_the_styled_characters_are_the_evidence() -> None:
    assert styled(TEXT, EVIDENCE) == ["They eat grass daily.", "eat grass", "Rain fell.", "Rain"]


def test_line_breaks_and_control_characters_shift_no_style() -> None:
    text = f"\x1b\r\n\tFirst\x0b\x1b line.\r\n\r\n{HOSTILE}"
    sentence = HOSTILE[: HOSTILE.index(" [red]")]
    (bold, phrase) = styled(text, [span(text, sentence, "grass")])
    assert (phrase, bold) == ("grass", "Herds \ufffd[31meat\ufffd]8;;http://evil\ufffd grass\ufffd2J daily.")


@given(st.text(st.sampled_from("ab. \r\n\t\x1b\x9b\x07\u202e\ud800é你#- "), max_size=80), st.data())
@settings(max_examples=150, deadline=None)
def test_no_control_character_is_printed_and_the_marks_stand_where_the_evidence_does(text, data) -> None:
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    evidence = [EvidenceSpan(start, end, text[start:end], 1.0, 0.0, (), start, end)]
    out = shown(EvidenceText(text, evidence), width=400)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", out)
    letters = re.findall("[ab.é你#-]|[»«]", out)
    marked = [*re.findall("[ab.é你#-]", text[:start]), "»", *re.findall("[ab.é你#-]", text[start:end]), "«"]
    assert letters == [*marked, *re.findall("[ab.é你#-]", text[end:])]


def test_wrapped_lines_are_joined_and_code_keeps_its_lines() -> None:
    text = "Herds eat\ngrass every day.\n\n```\ndef eat():\n    return 1\n```\n"
    out = [line.rstrip() for line in shown(EvidenceText(text, ())).splitlines()]
    assert out[:6] == ["Herds eat grass every day.", "", "```", "def eat():", "    return 1", "```"]


def test_without_colours_wanted_the_phrase_is_underlined() -> None:
    out = shown(EvidenceText(TEXT, EVIDENCE), force_terminal=True, color_system="truecolor", no_color=True)
    assert "\x1b[1;4meat grass\x1b[0m" in out
    assert not re.search(r"\x1b\[[\d;]*(?:3[0-7]|9[0-7]|4[0-7]|10[0-7]|38)", out)


def test_where_the_terminal_is_ascii_so_are_the_marks() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=out, width=80).print(EvidenceText("They eat.", [span("They eat.", "They eat.", "eat")]))
    out.seek(0)
    assert out.read().strip() == ">>They eat.<<"


def test_a_safe_line_has_no_line_ends() -> None:
    assert printable("a\r\nb\x1b[31m\u202ec") == "a b\ufffd[31mc"


DOCUMENTS = ["Dogs wait outside. Herds eat grass.", "Cats sleep.", HOSTILE]


@pytest.mark.parametrize("options", [{}, {"force_terminal": True}, {"force_terminal": True, "no_color": True}])
def test_a_ranking_marks_each_documents_evidence_and_its_words(options, monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    ranked = rerank("Who eat grass?", DOCUMENTS, FakeEncoder())
    out = shown(format_ranking(ranked, names=["dogs [red]", "cats", "evil\x1b[2J"]), **options)
    plain = re.sub(r"\x1b\[[\d;]*m", "", out)
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 80
    headings = re.findall(r"(?m)^(\d)\. (.*?)  score (\S+)", plain)
    assert headings == [("1", "dogs [red]", "3.00"), ("2", "evil\ufffd[2J", "2.00"), ("3", "cats", "1.00")]
    assert re.search(r"0\.67  Herds eat grass\. +<- eat, grass", plain)
    if not options:
        assert "»Herds eat grass.«" in plain


def test_a_ranking_without_names_counts_documents_from_their_input_position() -> None:
    out = shown(format_ranking(rerank("cats", DOCUMENTS, FakeEncoder(), top_n=1)))
    assert out.startswith("1. document 1  score 2.00")


def ledger_rows(out: str) -> list[tuple[str, str, float]]:
    """Word, matched and contribution of each row of a printed ledger."""
    rows = re.findall(r"(?m)^ (\S.*?) {2,}(\S.*?)?  +(-?\d+\.\d{3})", out)
    return [(word, matched, float(adds)) for word, matched, adds in rows]


def test_a_ledger_names_every_word_and_its_rows_sum_to_the_score(offline) -> None:
    ranked = rerank("How many kg does a megaherbivore eat?", DOCUMENTS, offline)[0]
    out = shown(format_ledger(ranked.explanation))
    *rows, (total, _, score) = ledger_rows(out)
    assert [row[0] for row in rows] == [
        *("How", "many", "kg", "does", "a", "megaherbivore", "eat", "? (punctuation)", "[CLS] [SEP] (special)")
    ]
    assert (total, score) == ("score", round(ranked.score, 3))
    assert sum(row[2] for row in rows) == pytest.approx(ranked.score, abs=0.0005 * len(rows))
    assert max(map(len, out.splitlines())) <= 80


def test_a_ledger_shows_the_words_that_were_matched() -> None:
    (ranked,) = rerank("Who eat grass", DOCUMENTS[:1], FakeEncoder())
    rows = ledger_rows(shown(format_ledger(ranked.explanation)))
    assert rows[1:3] == [("eat", "eat", 1.0), ("grass", "grass", 1.0)]
    assert rows[3][0] == "[CLS] (special)"


def test_evidence_found_by_the_library_is_what_is_shown_in_bold(offline) -> None:
    text = "The museum opens\r\nat ten. Guided tours start at noon.\r\nDogs must wait outside."
    explanation = explain(offline.encode_queries(["When are tours?"])[0], offline.encode_documents([text])[0])
    evidence = find_evidence(explanation)
    bold = styled(text, evidence)[::2]
    assert bold == [re.sub(r"\s+", " ", found.text) for found in sorted(evidence, key=lambda found: found.start)]


ODD = [" ", "\t", " \n", "\n\t", "\x1b[", "\u202e", "🇩", "a. "]


@pytest.mark.parametrize("unit", ODD)
def test_time_grows_with_what_is_made_printable(unit: str) -> None:
    assert_linear(printable, lambda size: "x" + unit * (size // len(unit)) + "x", 20_000, within=1)


@pytest.mark.parametrize("unit", ODD)
def test_time_grows_with_a_passage_or_an_answer_that_is_shown(unit: str) -> None:
    def show(text: str) -> None:
        shown(format_ranking(rerank("eat x", [text], FakeEncoder(dim=64), explain="evidence")))
        shown(format_answer(attribute(text, [text], FakeEncoder(dim=64))))

    assert_linear(show, lambda size: "x eat " + unit * (size // len(unit)) + "x", 2_000, within=2)


def test_a_line_break_takes_the_spaces_around_it_along() -> None:
    assert printable("a \t\r\n  b \n\n c\n") == "a b  c "
