"""An answer is shown as it is, each mark with the sentence that it stands for, and no text becomes code."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from latelens.attribution import Attribution, Citation, Claim, Label, Source
from latelens.render.html.answer import answer_report, show_answer
from latelens.render.labels import LABELS, NO_PROOF, link, neighbours, numbers, place_of
from latelens.render.terminal.answer import AnswerText, format_answer

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> ' \" ]]> <!-- &lt; \r\n \x1b[31m\u202eeat"
ANSWER = "Hello!\n\n- Herds **eat** 250 kg of grass.\n- They drink water.\n- Lions fly.\n"
FOOD = "Herds roam. Herds eat 150 kg of grass, and they drink water. Rain fell."
SENTENCE = "Herds eat 150 kg of grass, and they drink water."
SOURCES = (
    Source(FOOD, "zoo#4", "Zoo & more", "https://zoo.org/?a=1&b=2", 1000),
    Source("Water is wet. They drink.", "w"),
    Source("Nothing."),
)
_VOID = {"meta", "img", "br"}


def cited(answer: str, sources: Sequence[Source], part: str, index: int, text: str, **options: Any) -> Citation:
    start, place, source = answer.index(part), sources[index].text.index(text), sources[index]
    at = None if source.start is None else source.start + place
    end = None if at is None else at + len(text)
    return Citation(
        start, start + len(part), index, source.id, place, place + len(text), text, 0.5, options.get("relevance"),
        source.title, source.url, at, end,
    )  # fmt: skip


def claim(
    part: str,
    label: Label,
    *places: tuple[int, str],
    answer: str = ANSWER,
    sources: Sequence[Source] = SOURCES,
    **options: Any,
) -> Claim:
    start = answer.index(part)
    citations = tuple(cited(answer, sources, part, index, text, **options) for index, text in places)
    return Claim(start, start + len(part), part, label, 0.5, options.get("reasons", ()), None, citations)


def attribution() -> Attribution:
    claims = (
        claim("Hello!", "not_checkable"),
        claim("Herds **eat** 250 kg of grass.", "weak", (0, SENTENCE), reasons=("number 250 kg not in the evidence",)),
        claim("They drink water.", "corroborated", (1, "They drink."), (0, SENTENCE), relevance=0.87),
        claim("Lions fly.", "no_evidence"),
    )
    return Attribution(ANSWER, SOURCES, claims, "fake")


def of(text: str, label: Label = "weak", source: Source | None = None) -> Attribution:
    """One claim, cited whole from one source that says the same."""
    source = source or Source(text, text, text, text)
    found = Citation(0, len(text), 0, source.id, 0, len(source.text), source.text, 1.0, None, source.title, source.url)
    citations = (found,) if source.text else ()
    return Attribution(text, (source,), (Claim(0, len(text), text, label, 1.0, (text,), None, citations),), text)


class Reader(HTMLParser):
    """Collects the text inside elements, by tag and class, every element, and the text outside ``.ll-cite``."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.answer = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in _VOID:
            return
        keys = [tag, *(dict(attrs).get("class") or "").split()]
        self.open.append((tag, " ".join(keys)))
        for key in keys:
            self.texts.setdefault(key, []).append("")

    def handle_endtag(self, tag):
        name, _ = self.open.pop()
        assert name == tag

    def handle_data(self, data):
        keys = [key for _, found in self.open for key in found.split()]
        for key in keys:
            self.texts[key][-1] += data
        if "ll-text" in keys and "ll-cite" not in keys:
            self.answer += data

    def attributes(self, name: str) -> list[str]:
        return [found[name] or "" for _, found in self.elements if name in found]


def _writable(text: str) -> str:
    return "".join("\ufffd" if mark == "\0" or "\ud800" <= mark <= "\udfff" else mark for mark in text)


# HTML


def test_the_answer_is_shown_character_for_character_with_its_marks() -> None:
    reader = Reader(show_answer(attribution()))
    assert reader.answer == ANSWER
    assert reader.texts["ll-claim"] == [found.text for found in attribution().claims]
    assert reader.texts["ll-mark"] == ["[1]", "△ weak", "[1]", "[2]", "○ no evidence"]


def test_marks_have_the_numbers_of_the_attribution_and_lead_to_its_references() -> None:
    shown, reader = attribution(), Reader(show_answer(attribution()))
    for citation in shown.citations:
        assert numbers(shown)[place_of(citation)] == shown.number_of(citation)
    back = [text for text in reader.texts["a"] if text in ("[1]", "[2]")][-2:]
    quoted = dict(zip(back, reader.texts["blockquote"], strict=True))
    assert quoted == {f"[{i}]": found.cited_text for i, found in enumerate(shown.references, start=1)}
    targets = reader.attributes("id")
    assert len(set(targets)) == len(targets)
    for address in reader.attributes("href"):
        assert address.startswith("https://") or address[1:] in targets
    assert set(reader.attributes("aria-describedby")) <= set(targets)


def test_a_mark_shows_the_cited_sentence_among_its_neighbours() -> None:
    reader = Reader(show_answer(attribution()))
    assert reader.texts["ll-quote"] == [FOOD, FOOD, "Water is wet. They drink."]
    assert reader.texts["mark"] == [SENTENCE, SENTENCE, "They drink."]
    assert "relevance 0.87" in reader.texts["ll-card"][2]


def test_flagged_claims_are_named_with_their_reasons_twice() -> None:
    reader = Reader(show_answer(attribution()))
    assert reader.texts["ll-badge"] == ["△ weak", "○ no evidence"]
    assert reader.texts["q"] == ["Herds **eat** 250 kg of grass.", "Lions fly."]
    reasons = ["number 250 kg not in the evidence", LABELS["no_evidence"].meaning]
    assert sorted(reader.texts["ll-reason"]) == sorted(reasons * 2)
    assert not {"ll-check", "ll-badge", "ll-flag"} & Reader(show_answer(of("They eat.", "corroborated"))).texts.keys()


@pytest.mark.parametrize("label", LABELS)
def test_each_label_has_a_style_a_sign_and_a_meaning_of_its_own(label: Label) -> None:
    reader = Reader(show_answer(of("They eat.", label)))
    assert reader.texts["dt"] == [f"{LABELS[label].sign} {LABELS[label].name}"]
    assert reader.texts["dd"] == [LABELS[label].meaning]
    assert reader.texts[f"ll-{label}"]
    assert len({words.sign for words in LABELS.values()}) == len(LABELS)


def test_the_page_says_what_marks_do_not_prove() -> None:
    assert NO_PROOF in Reader(show_answer(attribution())).texts["ll-legend"]


def test_sources_say_their_title_id_place_and_address_and_who_was_not_cited() -> None:
    reader = Reader(show_answer(attribution()))
    first, second = reader.texts["ll-soft"][-2:]
    assert first == "zoo#4, characters 1,012 to 1,060 of the document"
    assert second == "characters 14 to 25 of the retrieved text"
    assert "https://zoo.org/?a=1&b=2" in reader.texts["a"]
    assert reader.texts["summary"] == ["Not cited: 1 of 3"]
    assert "source 3 of 3" in reader.texts["details"][0]


def test_an_answer_without_claims_or_sources_is_shown() -> None:
    reader = Reader(answer_report(Attribution("", (), (), "fake")).page())
    assert reader.texts["title"] == ["Answer"]
    assert "No source is cited." in reader.texts["p"]
    assert Reader(show_answer(of("They eat.", "no_evidence", Source("")))).texts["ll-claim"] == ["They eat."]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)//https://x.org",
        "java\nscript:alert(1)",
        " https://x.org",
        "https://x.org/\u202egpj.exe",
        "data:text/html,<script>alert(1)</script>",
        "//x.org",
        "file:///etc/passwd",
        "https://",
        "",
        None,
    ],
)
def test_only_plain_web_addresses_become_links(url: str | None) -> None:
    shown = Reader(show_answer(of("They eat.", source=Source("They eat.", "a", "b", url))))
    assert link(url) is None
    assert all(address.startswith("#ll-") for address in shown.attributes("href"))


def test_an_address_cannot_leave_its_attribute() -> None:
    url = "https://x.org/'\"><script>alert(1)</script>"
    reader = Reader(show_answer(of("They eat.", source=Source("They eat.", "a", "b", url))))
    assert url in reader.attributes("href")
    assert [tag for tag, _ in reader.elements].count("script") == 1
    assert "noopener noreferrer nofollow" in reader.attributes("rel")


_parts = st.one_of(st.sampled_from([*"<>&\"'/!-\r\n\t\0 aé大👍\u202e\u2028\ud800\x1b", HOSTILE]), st.characters())
hostile_text = st.lists(_parts, min_size=1, max_size=30).map("".join)


@given(hostile_text, st.sampled_from(list(LABELS)))
@settings(max_examples=150, deadline=None)
def test_whatever_an_answer_and_its_sources_say_is_text(text: str, label: Label) -> None:
    usual = [tag for tag, _ in Reader(answer_report(of("They eat.", label)).page()).elements]
    reader = Reader(answer_report(of(text, label)).page())
    found = [tag for tag, _ in reader.elements]
    assert found == usual or link(text)
    assert not [name for _, named in reader.elements for name in named if name.startswith("on") or name == "src"]
    assert reader.answer == _writable(text)
    assert reader.texts["blockquote"] == reader.texts["mark"] == [_writable(text)]
    assert reader.texts["ll-where"][0] == _writable(text)


def test_a_direction_that_a_claim_turns_ends_with_it() -> None:
    page = show_answer(of("\u202eeat"))
    assert '<bdi class="ll-claim">\u202eeat</bdi>' in page
    assert "<bdi>a \u202eb </bdi>" in show_answer(Attribution("a \u202eb ", (), (), "fake"))


@pytest.mark.parametrize(
    ("answer", "direction"), [("1. الفيلة تأكل.", "rtl"), ("פילים eat.", "rtl"), ("- eat פילים", "ltr"), ("42", "ltr")]
)
def test_an_answer_runs_the_way_of_its_first_letter(answer: str, direction: str) -> None:
    (text,) = [found for _, found in Reader(show_answer(of(answer))).elements if found.get("class") == "ll-text"]
    assert text["dir"] == direction


def test_the_page_loads_nothing_and_runs_one_script() -> None:
    page = answer_report(attribution()).page()
    reader = Reader(page)
    assert [tag for tag, _ in reader.elements].count("script") == 1
    (policy,) = [value for value in reader.attributes("content") if "default-src" in value]
    assert "default-src 'none'" in policy
    assert re.findall(r"https?://", page.replace("https://zoo.org/?a=1&amp;b=2", "")) == []
    assert not re.search(r"@import|url\(", page)
    assert {tag for tag, _ in reader.elements}.isdisjoint({"img", "link", "iframe", "object", "form", "input"})


def test_a_notebook_shows_the_attribution_and_save_writes_the_page(tmp_path) -> None:
    assert attribution()._repr_html_() == answer_report(attribution())._repr_html_() == show_answer(attribution())
    path = answer_report(attribution()).save(tmp_path / "answer.html")
    assert path.read_bytes().decode("utf-8") == answer_report(attribution()).page()


def big(claims: int, sources: int) -> Attribution:
    sentence = "Herds eat grass number {} every day of the year."
    texts = tuple(Source(f"Before. {sentence.format(i)} After. " + "More. " * 300, f"s{i}") for i in range(sources))
    answer = " ".join(sentence.format(i) for i in range(claims))
    found = tuple(
        claim(
            sentence.format(i),
            "corroborated",
            (i % sources, sentence.format(i % sources)),
            answer=answer,
            sources=texts,
        )
        for i in range(claims)
    )
    return Attribution(answer, texts, found, "fake")


def test_five_hundred_sources_and_a_huge_answer_stay_reasonable() -> None:
    assert len(show_answer(big(10, 500))) < 60_000
    page = show_answer(big(2000, 500))
    assert page.count('role="doc-noteref"') == 2000
    assert len(page) < 3_500_000


def test_one_huge_source_is_quoted_in_part() -> None:
    source = Source("Rain fell on the hills. " * 4000 + "Herds eat. " + "Then the sun came out. " * 4000)
    shown = Attribution("Herds eat.", (source,), (claim("Herds eat.", "weak", (0, "Herds eat."), answer="Herds eat.", sources=[source]),), "fake")  # fmt: skip # noqa: E501
    page = show_answer(shown)
    assert len(page) < 30_000
    (quote,) = Reader(page).texts["ll-quote"]
    assert quote.startswith("… ")
    assert quote.endswith(" …")
    assert 300 < len(quote) < 360


@given(st.text("ab \n👍🏽é大\u0301\u200d", max_size=900), st.data())
@settings(max_examples=100, deadline=None)
def test_neighbours_are_what_stands_around_a_span(text: str, data: st.DataObject) -> None:
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    before, after = neighbours(text, start, end)
    assert text[:start].endswith(before.removeprefix("… "))
    assert text[end:].startswith(after.removesuffix(" …"))
    assert before.startswith("… ") or before == text[:start]
    assert after.endswith(" …") or after == text[end:]
    assert len(before) + len(after) < 2 * 160 + 2 * 200


# The terminal


def shown(renderable, **options) -> str:
    out = io.StringIO()
    Console(file=out, **{"width": 100, **options}).print(renderable)
    return out.getvalue()


def test_the_terminal_shows_marks_and_flags_without_colour() -> None:
    out = shown(AnswerText(attribution()))
    assert out.splitlines() == [
        "Hello!",
        "",
        "- Herds **eat** 250 kg of grass.[1][△ weak]",
        "- They drink water.[1][2]",
        "- Lions fly.[○ no evidence]",
    ]
    assert re.sub(r"\[[△○] [a-z ]+\]", "", out).strip() == attribution().marked().strip()


def test_the_terminal_lists_what_to_check_and_every_cited_sentence() -> None:
    lines = [line.rstrip() for line in shown(format_answer(attribution())).splitlines()]
    at = lines.index("To check")
    assert lines[at + 1 : at + 5] == [
        "   △ weak: Herds **eat** 250 kg of grass.",
        "      number 250 kg not in the evidence",
        "   ○ no evidence: Lions fly.",
        f"      {LABELS['no_evidence'].meaning}",
    ]
    at = lines.index("Sources")
    assert lines[at + 1 : at + 6] == [
        "   [1] Zoo & more  zoo#4, characters 1,012 to 1,060 of the document",
        f"      {SENTENCE}",
        "      https://zoo.org/?a=1&b=2",
        "   [2] w  characters 14 to 25 of the retrieved text",
        "      They drink.",
    ]
    assert "Claims:  1 ≈ corroborated  1 △ weak  1 ○ no evidence  1 – not checkable" in lines
    assert " ".join(lines).endswith(NO_PROOF)


def test_styles_mark_flagged_claims_and_stay_underlined_without_colour(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = shown(AnswerText(attribution()), force_terminal=True, color_system="standard")
    assert "\x1b[4;33mHerds **eat** 250 kg of grass.\x1b[0m" in coloured
    assert "\x1b[4;35mLions fly.\x1b[0m" in coloured
    plain = shown(AnswerText(attribution()), force_terminal=True, color_system="standard", no_color=True)
    assert "\x1b[4mLions fly.\x1b[0m" in plain
    assert not re.search(r"\x1b\[[\d;]*3[0-7]", plain)


def test_where_the_terminal_is_ascii_the_signs_are_left_out() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Console(file=out, width=100).print(format_answer(attribution()))
    out.seek(0)
    assert "- Lions fly.[no evidence]" in out.read()


@given(hostile_text, st.sampled_from(list(LABELS)))
@settings(max_examples=100, deadline=None)
def test_no_control_character_reaches_the_terminal(text: str, label: Label) -> None:
    out = shown(format_answer(of(text, label)), width=400)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", out)


def test_what_looks_like_markup_is_printed_as_it_is() -> None:
    assert "[red]eat[/red] :smile:[1][△ weak]" in shown(AnswerText(of("[red]eat[/red] :smile:")))


def test_an_empty_answer_prints() -> None:
    assert shown(format_answer(Attribution("", (), (), "fake")), width=200).strip() == NO_PROOF
