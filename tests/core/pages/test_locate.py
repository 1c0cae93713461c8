"""`locate`: a quoted text on its page, whichever program extracted it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pdfs import column, made_pdf

from latelens.pages import Page, locate, locate_span, open_pages
from latelens.pages.alignment import exact_matches, near_matches
from latelens.pages.skeleton import skeleton

PROSE = (
    "The filter is changed every 500 hours of operation. A filter that is clogged lets the pressure fall below two "
    "bar, and the warning lamp on the panel lights up. Before the cover is opened the pump must be switched off and "
    "the line must be without pressure. Spare parts are ordered by the numbers in the table at the end of this manual."
)

TWINS = (
    "In spring the valve is checked. It takes an hour. In autumn the pump is checked. It takes an hour. Then all rest."
)


@pytest.fixture
def pages(tmp_path):
    def make(*lines, **options):
        path = tmp_path / "made.pdf"
        path.write_bytes(made_pdf(*lines, **options))
        return open_pages(path)

    return make


def under(page: Page, place) -> str:
    """What the page says inside the boxes of a place, by the middles of its words' boxes."""
    inside = []
    for word in page.words:
        for left, top, right, bottom in word.boxes[:1]:
            x, y = (left + right) / 2, (top + bottom) / 2
            if any(box[0] <= x <= box[2] and box[1] <= y <= box[3] for box in place.boxes):
                inside.append(word.text)
    return " ".join(inside)


def test_a_sentence_has_a_box_a_line(pages):
    (page,) = pages(column(PROSE, width=60))
    sentence = PROSE[PROSE.index("A filter") : PROSE.index(" Before")]
    place = locate([page], sentence)
    assert (place.page, place.confidence) == (1, 1.0)
    assert under(page, place) == sentence
    assert len(place.boxes) == 3
    assert [page.text[a:b].replace("\n", " ") for a, b in place.spots[0].spans] == [sentence]


@pytest.mark.parametrize(
    "written",
    [
        "the  pump\nmust be\u00a0switched\u00ad off",
        "THE PUMP MUST BE SWITCHED OFF",
        "the pump must be swit-\nched off",
        "| the pump | **must be** switched off |",
        "thepumpmustbeswitchedoff",
        "the pump must be swítched oﬀ",
    ],
)
def test_spaces_hyphens_ligatures_accents_and_marks_count_for_nothing(pages, written):
    (page,) = pages(column(PROSE))
    assert under(page, locate([page], written)) == "the pump must be switched off"


def test_what_is_not_there_has_no_place(pages):
    (page,) = pages(column(PROSE))
    assert locate([page], "The gearbox is filled with oil of the grade that the plate on its housing names.") is None
    assert (
        locate([page], "The filter is cleaned by the driver before each journey and replaced when it is torn.") is None
    )
    assert locate([page], "") is None
    assert locate([page], " — ") is None
    assert locate([], "filter") is None


def test_a_text_with_small_differences_is_found_with_less_confidence(pages):
    (page,) = pages(column(PROSE))
    quoted = "Before the covver is opened the pump must b switched off and the Iine must be without pressure."
    place = locate([page], quoted)
    assert 0.9 < place.confidence < 1
    assert (
        under(page, place)
        == "Before the cover is opened the pump must be switched off and the line must be without pressure."
    )
    assert locate([page], quoted, min_confidence=0.99) is None


def test_another_number_is_another_text(pages):
    (page,) = pages(column(PROSE))
    assert locate([page], "The filter is changed every 500 hours of operation.") is not None
    assert locate([page], "The filter is changed every 300 hours of operation.") is None


def test_a_part_of_a_number_is_another_number(pages):
    (page,) = pages(column("The tank holds 1,277 litres and the pump takes 45.7 minutes to fill it up again."))
    assert locate([page], "litres and the pump takes 45.7 minutes to fill it") is not None
    assert locate([page], "7 minutes to fill it up again") is None
    assert locate([page], "277 litres and the pump takes 45") is None


def test_a_short_text_is_found_as_whole_words_or_not_at_all(pages):
    (page,) = pages(column("The party took part in the partition of the department."))
    assert under(page, locate([page], "part")) == "part"
    assert locate([page], "art") is None
    assert locate([page], "parts") is None


def test_a_repeated_passage_is_told_from_its_twins_by_what_stands_around(pages):
    (page,) = pages(column(TWINS, width=40))
    assert locate([page], "It takes an hour.") is None
    first = locate([page], "It takes an hour.", before="In spring the valve is checked. ")
    second = locate([page], "It takes an hour.", after=" Then all rest.")
    spans = [place.spots[0].spans[0][0] for place in (first, second)]
    assert spans[0] < page.text.index("autumn") < spans[1]
    assert locate([page], "It takes an hour.", min_confidence=0.5) is not None


def test_a_number_that_goes_on_is_no_reason_to_take_another_page(pages):
    foot = "Technical memorandum 2014-216638"
    found = pages(
        *([(f"{foot} {number}", 72, 740), (f"{number}.5 Valves of part {number}", 72, 700)] for number in (1, 7, 11))
    )
    page = found[0]
    start, end = 0, page.text.index("1.5 V") + 1  # "... 216638 1\n1", whose letters are those of "... 216638 11"
    assert locate_span(found, page.text, start, end).page == 1
    assert locate(found, page.text[start:end]) is None


def test_of_identical_surroundings_none_is_chosen(pages):
    row = "Pump 12 is checked in spring and again before the winter."
    (page,) = pages([(row, 72, 700 - 20 * i) for i in range(3)])
    assert locate([page], row) is None
    assert locate([page], "again before the winter.", before="Pump 12 is checked in spring and ") is None


def test_a_text_over_two_pages_has_boxes_on_both(pages):
    head, foot = ("Manual of the pump", 72, 760), ("Page of many", 280, 30)
    words = PROSE.split()
    found = pages(
        [head, *column(" ".join(words[:30])), foot],
        [head, *column(" ".join(words[30:])), foot],
    )
    quoted = " ".join(words[20:40])
    place = locate(found, quoted)
    assert [spot.page for spot in place.spots] == [1, 2]
    shown = [found[spot.page - 1].text[a:b] for spot in place.spots for a, b in spot.spans]
    assert " ".join(" ".join(shown).split()) == quoted


def test_the_page_of_a_text_is_found_in_a_file(pages):
    found = pages(
        *(column(f"{PROSE} Chapter {i} of the {i}th part deals with machine number {i}.") for i in range(1, 9))
    )
    place = locate(found, "Chapter 5 of the 5th part deals with machine number 5.")
    assert [spot.page for spot in place.spots] == [5]
    assert locate(found, "the warning lamp on the panel lights up") is None  # on every page


def test_lines_of_two_columns_in_either_order_have_boxes_in_their_own_column(pages):
    left = column("One reads the left column from its top to its end before the other one begins at all.", width=30)
    right = column(
        "Programs that know no columns put the lines of both together as if they were one line.", width=30, x=320
    )
    by_columns = [*left, *right]
    by_rows = [line for pair in zip(left, right, strict=False) for line in pair]
    sentence = "the left column from its top to its end before the other one"
    mixed = " ".join(line for line, _, _ in by_rows[2:6])
    for lines in (by_columns, by_rows):
        (page,) = pages(lines)
        place = locate([page], sentence)
        assert sorted(under(page, place).split()) == sorted(sentence.split())
        assert all(box[2] < 0.5 for box in place.boxes)
        both = locate([page], mixed)
        assert sorted(under(page, both).split()) == sorted(mixed.split())


def test_cells_of_a_table_are_found_in_their_row(pages):
    rows = [("Filter", "A-17", "12.50"), ("Gasket", "B-03", "3.20"), ("Pump", "C-99", "410.00")]
    lines = [(cell, 72 + 150 * j, 700 - 20 * i) for i, row in enumerate(rows) for j, cell in enumerate(row)]
    (page,) = pages(lines)
    place = locate([page], "Gasket | B-03 | 3.20")
    assert under(page, place) == "Gasket B-03 3.20"
    assert len(place.boxes) == 3


def test_a_span_of_a_chunk_is_told_from_its_twins_by_the_chunk(pages):
    (page,) = pages(column(TWINS, width=40))
    start = TWINS.rindex("It takes")
    place = locate_span([page], TWINS, start, start + len("It takes an hour."))
    assert place.spots[0].spans[0][0] > page.text.index("autumn")
    with pytest.raises(ValueError, match=r"span \(3, 999\) lies outside the chunk"):
        locate_span([page], TWINS, 3, 999)
    with pytest.raises(ValueError, match="min_confidence must be above 0"):
        locate([page], "hour", min_confidence=0)


def test_text_by_another_program_is_found_on_its_page_and_on_no_other(shared_data):
    folder = shared_data / "pdfs"
    random_ = random.Random(11)
    wrong, found, asked = [], 0, 0
    for row in map(json.loads, (folder / "pages.jsonl").read_text(encoding="utf-8").splitlines()):
        if row["file"] != "qed_tacl2021.pdf":
            continue
        pages = _opened(folder / row["file"])
        sentences = [match[0] for match in re.finditer(r"[A-Z][^.]{60,250}\.", row["text"])]
        for sentence in random_.sample(sentences, min(4, len(sentences))):
            place = locate(pages, sentence)
            asked += 1
            found += place is not None
            if place is not None and place.page != row["page"]:
                wrong.append((row["page"], place.page, sentence))
    assert not wrong
    assert asked >= 50
    assert found >= 0.98 * asked


_OPENED: dict[Path, list[Page]] = {}


def _opened(path: Path) -> list[Page]:
    return _OPENED.setdefault(path, list(open_pages(path)))


_LIKELY = ["filter", "pump", "of", "the", "12", "500", "è", "ﬁt", "水", "-", "cover"]
_WORDS = st.lists(st.sampled_from(_LIKELY), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(_WORDS, _WORDS, _WORDS)
def test_an_exact_match_is_the_quote(before, quote, after):
    whole = skeleton(" ".join([*before, *quote, *after])).text
    start, end = len(skeleton(" ".join(before)).text), len(whole) - len(skeleton(" ".join(after)).text)
    for match in exact_matches(whole, whole, start, end):
        places = match.places[start:end].tolist()
        assert "".join(whole[place] for place in places) == whole[start:end]
    assert exact_matches(whole, whole, start, end) or start == end


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abcdefgh12", max_size=400), st.text(alphabet="abcdefgh12", min_size=1, max_size=200))
def test_a_near_match_pairs_equal_characters_in_order(text, quote):
    for match in near_matches(text, quote, 0, len(quote)):
        pairs = [(quote[i], text[place]) for i, place in enumerate(match.places.tolist()) if place >= 0]
        assert all(a == b for a, b in pairs)
        kept = [place for place in match.places.tolist() if place >= 0]
        assert kept == sorted(set(kept))
        assert match.share == pytest.approx(len(kept) / len(quote))
