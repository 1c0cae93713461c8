"""Sentences as a reader would cut them, in every kind of text that ends up in a chunk."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import regex
import sentencex
from growth import assert_linear
from hypothesis import example, given, settings
from hypothesis import strategies as st

from latelens.evaluation.data import read_lines
from latelens.text.sentences import _UNSAFE, _WINDOW, MAX_CHARACTERS, _segments, split_sentences


def cut(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in split_sentences(text, language)]


def one_line_each(*lines: str) -> tuple[str, list[str]]:
    """A text of lines, and what it must be cut into."""
    return "\n".join(lines), [line.strip() for line in lines if line.strip()]


LINES_THAT_STAND_ALONE = {
    "markdown table": one_line_each("| Animal | Diet |", "|---|---|", "| Elephant | grass |", "| Cat | mice |"),
    "aligned table": one_line_each(
        "Animal                 Diet of a day            Weight of one",
        "elephant               grass and bark           about 5,400 kg",
        "cat                    mice and milk            about 4 kg",
    ),
    "csv": one_line_each("id,animal,food", "1,elephant,grass", "2,cat,mice"),
    "csv of two columns in lower case": one_line_each("animal,food", "elephant,grass", "cat,mice"),
    "csv with long fields": one_line_each(
        "1,The elephant eats grass every day,and it drinks water in the evening,5400",
        "2,the cat eats mice on most days,and it drinks milk in the morning,4",
    ),
    "tsv": one_line_each("id\tanimal\tfood", "1\telephant\tgrass", "2\tcat\tmice"),
    "list": one_line_each("- elephants", "* cats", "+ cows", "• mice", "1. grass", "2) bark", "(3) fruit", "a) hay"),
    "nested list": one_line_each("- mammals", "  - elephants", "  - cats", "- birds"),
    "headings": one_line_each("# Diet", "## of elephants", "They eat grass.", "2.3 Results", "We saw it."),
    "underlined heading": one_line_each("Diet", "====", "They eat grass."),
    "fenced code": one_line_each("Run:", "```python", "import os", "x = eat(1)", "x.run()", "```", "It eats."),
    "indented code": one_line_each("Run this.", "", "    for x in food:", "        eat(x)", "", "It eats."),
    "code": one_line_each("import os", "def eat(x):", "    return x", "food = find()", "eat(food)"),
    "c code": one_line_each("int main() {", "eat(food);", "return 0;", "}"),
    "json lines": one_line_each('{"id": 1, "text": "They eat. A lot."}', '{"id": 2, "text": "Cats sleep"}'),
    "pretty json": one_line_each("{", '  "animal": "elephant",', '  "food": [', '    "grass"', "  ]", "}"),
    "yaml": one_line_each("animal: elephant", "food: grass", "days:", "- monday"),
    "key and value": one_line_each("Product: Hay", "Weight: 3 kg", "Shipping Address: Jaipur"),
    "chat": one_line_each("Ann: hello there", "Bob: hi", "carol: what do they eat", "[10:32] <dan> grass"),
    "long chat": one_line_each(
        "[2026-01-01 10:00] Ann: Did the elephants eat all of the hay",
        "[2026-01-01 10:01] Bob: They did, and they drank all the water",
    ),
    "log": one_line_each(
        "2026-01-01 ERROR failed to open the database of the elephants",
        "2026-01-01 INFO trying to open the database a second time",
    ),
    "references": one_line_each(
        "[1] A. Rao and B. Sen, The diet of elephants and of their calves",
        "[2] C. Das and D. Roy, The diet of cats and of their many kittens",
    ),
    "html": one_line_each("<html>", "<h1>Diet</h1>", "<p>They eat grass.</p>", "<li>bark</li>", "</html>"),
    "questions and answers": one_line_each("Q: What do they eat?", "A: Grass."),
    "titles": one_line_each("The Diet of Elephants", "Elephants eat grass, leaves and bark, and more of it than cats."),
    "sql": one_line_each("SELECT food", "FROM elephants", "WHERE id = 1;"),
}


@pytest.mark.parametrize(("text", "lines"), LINES_THAT_STAND_ALONE.values(), ids=LINES_THAT_STAND_ALONE)
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_lines_that_stand_alone_are_not_joined(text, lines, line_break):
    assert cut(text.replace("\n", line_break)) == lines


PROSE = {
    "one line": ["They eat grass.", "Do they drink?", "Yes!"],
    "abbreviations": [
        "Dr. Rao met Ms. Sen of Hay Inc. in the U.S. on Jan. 5.",
        "It cost approx. $5.50, e.g. for hay.",
        "See Fig. 3, vol. 2, No. 5 and eq. 4 of Rao et al. (2020).",
        "J. R. Das left.",
    ],
    "quotes and brackets": ['He said "They eat. A lot."', "(She did not hear.) Then she left."],
    "ellipsis": ["They eat... maybe grass.", "We will see."],
    "numbers and names": ["Version 3.5.1 of www.hay.org costs 1,000.50 kg.", "It is no. 1."],
    "numbered item": ["1. They eat grass.", "They drink."],
    "item with letter": ["a) They eat grass.", "They drink."],
    "chinese": ["大象吃草。", "它们每天吃150公斤！", "真的吗？"],
    "japanese": ["象は草を食べる。", "一日に150キロ食べます！"],
    "hindi": ["हाथी घास खाता है।", "वह पानी पीता है।"],
    "arabic": ["هل تأكل الفيلة العشب؟", "نعم، كل يوم."],
    "emoji": ["They eat grass 🐘🏽.", "They drink 👩‍👩‍👧."],
}


@pytest.mark.parametrize("sentences", PROSE.values(), ids=PROSE)
def test_prose_is_cut_at_its_sentences(sentences):
    glue = "" if sentences[0].endswith("。") else " "
    assert cut(glue.join(sentences)) == sentences


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\u2028"])
def test_hard_wrapped_prose_is_read_through_its_line_breaks(line_break):
    text = (
        "The elephants of the hills eat grass and leaves, and Dr.\n"
        "Rao, who counted them for years in the forests of South\n"
        "India, says so. They drink\n"
        "twice a day. Cats do not.\n"
        "\n"
        "A new paragraph has no end\n"
        "\n"
        "Another one does."
    ).replace("\n", line_break)
    assert [sentence.replace(line_break, " ") for sentence in cut(text)] == [
        "The elephants of the hills eat grass and leaves, and Dr. Rao, who counted them for years in the forests of "
        "South India, says so.",
        "They drink twice a day.",
        "Cats do not.",
        "A new paragraph has no end",
        "Another one does.",
    ]


def test_a_wrapped_list_item_stays_whole():
    text = "- elephants eat grass\n  and leaves\n- cats eat mice, which they hunt at night in the barns of\n  Jaipur"
    assert cut(text) == [
        "- elephants eat grass\n  and leaves",
        "- cats eat mice, which they hunt at night in the barns of\n  Jaipur",
    ]


def test_a_wrapped_quote_stays_whole():
    assert cut("> They eat grass\n> and leaves. They drink\n>\n> water\nIndeed.") == [
        "> They eat grass\n> and leaves.",
        "They drink",
        ">",
        "> water",
        "Indeed.",
    ]


def test_a_long_line_goes_on_after_a_stray_line_break():
    air = "The air that all the elephants of the hills breathe in holds as much as 21 per cent of the gas O\n2 and "
    text = air + "they like it, " * 14 + "as cats do."
    assert cut(text) == [text]


def test_a_title_of_many_words_above_a_longer_line_stands_alone():
    title = "The Daily Diet of All the Elephants in Jaipur"
    line = "Elephants eat grass, leaves and bark, and all of them eat more of it in one day than cats do in a year."
    assert cut(f"{title}\n{line}") == [title, line]


def test_lines_inside_a_fence_are_never_joined():
    lines = ["```", "elephants --eat grass", "and leaves", "", "cats", "```", "It eats", "grass."]
    assert cut("\n".join(lines)) == [*lines[:3], "cats", "```", "It eats\ngrass."]


def test_wrapped_prose_with_colons_commas_and_semicolons_goes_on():
    text = (
        "The keepers of the elephants note down a tuple of (name,age,food)\n"
        "for each of them, and (hay,bark,leaves) for what they ate the day\n"
        "before: grass, many leaves (see the table of the year 2020 there);\n"
        "Cats are left out."
    )
    assert cut(text) == [text]


def test_a_long_numbered_heading_stands_alone():
    lines = ["2.3 Results of the Counting of Elephants", "The elephants were counted in the spring", "and in autumn."]
    assert cut("\n".join(lines)) == [lines[0], "\n".join(lines[1:])]


def test_a_heading_is_not_joined_with_a_line_in_lower_case():
    assert cut("# The diet of all the elephants in the hills\nthey eat grass") == [
        "# The diet of all the elephants in the hills",
        "they eat grass",
    ]


def test_html_in_one_line_is_cut_where_its_blocks_end():
    text = "<div><p>They eat grass. They drink.</p><ul><li>Hay for Dr. Rao</li><li>Bark</li></ul></div>"
    assert cut(text) == [
        "<div><p>They eat grass.",
        "They drink.</p>",
        "<ul><li>Hay for Dr. Rao</li>",
        "<li>Bark</li></ul></div>",
    ]


def test_the_language_decides_about_abbreviations():
    text = "Sie fressen z.B. Gras usw. und Heu. Sie trinken."
    assert cut(text, "de") == ["Sie fressen z.B. Gras usw. und Heu.", "Sie trinken."]


@pytest.mark.parametrize("text", ["", " ", "\n\n\t \r\n", "\u3000\u00a0\u2028"])
def test_white_space_has_no_sentences(text):
    assert split_sentences(text) == ()


@pytest.mark.parametrize("space", ["\u00a0", "\u2009", "\u3000", "\t", "\x1f", "  "])
def test_an_initial_before_any_white_space_does_not_end_a_sentence(space):
    # sentencex 1.0 panics where an initial is followed by a white space of several bytes.
    assert cut(f"It was J.{space}Das. She left.") == [f"It was J.{space}Das.", "She left."]


def test_a_lone_surrogate_is_cut_around_like_any_letter():
    assert cut("They eat\ud800 grass. They drink.") == ["They eat\ud800 grass.", "They drink."]


ENDLESS = {
    "words": "grass leaves bark " * 1200,
    "clauses": "they eat grass, leaves and bark; " * 700,
    "letters": "a" * 20_000,
    "ideographs": "大象吃草" * 5000,
    "accents": "e\u0301" * 10_000,
    "flags": "🇮🇳" * 10_000,
    "thai": "ช้างกินหญ้า" * 2000,
    "markup": "<b><i>" * 4000,
    "commas": "1,2;" * 5000,
    "spaces": "grass" + " " * 20_000 + "bark",
    "item numbers": "1. a) (b) " * 2000,
    "quotes": "> " * 10_000,
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_text_is_cut_into_short_sentences_in_no_time(text):
    started = time.process_time()
    sentences = cut(text)
    assert time.process_time() - started < 5  # ten milliseconds each; a quadratic search takes minutes
    assert max(map(len, sentences)) <= MAX_CHARACTERS + 10
    assert "".join("".join(sentences).split()) == "".join(text.split())


@pytest.mark.parametrize("unit", ["漢。", "漢。」", "![", "a! (", "“A. ", "A.\n", "1. ", "漢", "👩\u200d"])
def test_time_grows_with_the_sentences_of_a_text(unit):
    assert_linear(split_sentences.__wrapped__, lambda size: unit * (size // len(unit)), 24_000, within=2)


@pytest.mark.parametrize("kind", sorted(PROSE.keys() - {"item with letter"}))  # a letter in lower case opens nothing
def test_a_line_of_many_pages_is_cut_into_the_sentences_of_one_page(kind):
    sentences = PROSE[kind]
    times = 30_000 // len("".join(sentences))
    glue = "" if sentences[0].endswith("。") else " "
    assert cut(glue.join(sentences * times)) == sentences * times


def _texts(shared_data: Path, name: str) -> list[str]:
    return [line["text"] for line in read_lines(shared_data / name / "norm" / "corpus.jsonl")]


def test_long_real_texts_are_cut_as_if_the_splitter_were_given_the_whole(shared_data, monkeypatch):
    texts = [text for name in ("squad_dev", "scifact") for text in _texts(shared_data, name) if len(text) > _WINDOW]
    assert len(texts) > 10
    read = [split_sentences.__wrapped__(text) for text in texts]
    monkeypatch.setattr("latelens.text.sentences._WINDOW", max(map(len, texts)))
    assert [split_sentences.__wrapped__(text) for text in texts] == read


def test_many_real_texts_in_one_line_are_cut_as_if_the_splitter_were_given_the_whole(shared_data):
    # What opens a quotation or a bracket and never ends it may hide the stops of the texts behind it.
    texts = [text for text in _texts(shared_data, "squad_dev") if not re.search(r"""["'“”‘’„«»`()\[\]{}]""", text)]
    line = _UNSAFE.sub(" ", " ".join(texts)[:100_000])
    assert list(_segments(line, "en")) == sentencex.segment("en", line)


def test_a_long_sentence_is_cut_after_a_clause_and_else_before_a_word():
    clause = "they eat " + "grass and leaves " * 12 + "in the hills; "
    first, *others = cut(clause * 4)
    assert first == clause.strip()
    assert set(others) == {first}
    words = cut("elephants " * 100)
    assert {word for sentence in words for word in sentence.split()} == {"elephants"}


def test_a_number_is_not_cut_at_its_comma():
    text = "x" * 397 + " 1,000,000 and more " + "grass " * 60
    assert cut(text)[1].startswith("1,000,000 and more grass")


PIECES = st.one_of(
    st.sampled_from(list(" \n.!?,;:-#|>*`\t1aA\u0301\u200d\u00a0。，\u2028\x00\ud800")),
    st.sampled_from(["\r\n", "Dr. ", "J.", "...", "[MASK]", "<p>", "</p>", "- ", "1. ", "```", "    "]),
    st.sampled_from(["🇮🇳", "👩‍👧", "ที่", "नि", "한", "שלום", "大象", "elephants "]),
    st.characters(),
)
TEXTS = st.one_of(st.lists(PIECES, max_size=400).map("".join), st.text(max_size=1500))


@given(text=TEXTS)
@settings(max_examples=600, deadline=None)
@example("\u00a0".join("ABC. " * 30))
@example("\u0301. \u0301\n\u0301" * 50)
@example("a\r\n\u0301b. C" * 60)
@example("漢。" * 3000)
@example("e\u0301" * 3000)
@example("👩‍👩‍👧" * 1000 + "🇮🇳" * 3000)
def test_sentences_are_ordered_spans_of_whole_characters_that_hold_every_letter(text):
    spans = split_sentences(text)
    clusters = [match.span() for match in regex.finditer(r"\X", text)]
    starts, ends = {start for start, _ in clusters}, {end for _, end in clusters}
    longest = max((end - start for start, end in clusters), default=0)
    reached = 0
    for start, end in spans:
        assert reached <= start < end <= len(text)
        assert start in starts
        assert end in ends
        assert end - start <= MAX_CHARACTERS + 2 * longest
        assert not any(character.isalnum() for character in text[reached:start])
        reached = end
    assert not any(character.isalnum() for character in text[reached:])
    assert all(type(edge) is int for span in spans for edge in span)


@given(text=TEXTS.filter(bool), size=st.integers(1, 3 * _WINDOW))
@settings(max_examples=150, deadline=None)
def test_no_character_of_a_long_block_is_lost_and_a_short_one_is_given_whole(text, size):
    plain = _UNSAFE.sub(" ", (text * size)[:size])
    segments = list(_segments(plain, "en"))
    assert "".join(segments) == plain
    if size <= _WINDOW:
        assert segments == sentencex.segment("en", plain)
