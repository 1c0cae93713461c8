"""The report says what the explanation says, for any text; a parser reads it back as a browser would."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens import Calibration, Encoder, Explanation, Ranked, explain, rerank
from latelens.render.html.escaping import as_script_json, escape, marked_text
from latelens.render.html.ranking import report, show_one
from latelens.render.ledger import ledger

QUERY = "What do elephants eat?"
TEXTS = [
    "The park opens at six. In the dry season elephants eat bark & <b>dry</b> grass 👍. Bring water!",
    "Lions sleep.\r\nThey eat meat.",
]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> ' \" ]]> <!-- &lt; \r\n eat"
_VOID = {"meta", "img", "br"}
# HTML can write neither; they are shown as U+FFFD.
hostile_text = st.text(
    st.one_of(st.sampled_from(list("<>&\"'/!-\r\n\t\0 aé大👍\u202e\u2028\ud800")), st.characters()), max_size=60
)


class Reader(HTMLParser):
    """Collects the text inside elements, by tag and class, and every element's name."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)
        self.close()

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
        for _, keys in self.open:
            for key in keys.split():
                self.texts[key][-1] += data


def _writable(text: str) -> str:
    return "".join(
        "\ufffd" if character == "\0" or "\ud800" <= character <= "\udfff" else character for character in text
    )


def _ranked(query: str, texts: list[str], encoder: Encoder | None = None) -> list[Ranked]:
    return rerank(query, texts, encoder or FakeEncoder(dim=64))


def _told(reader: Reader) -> dict:
    """The figures for the script: the first script element."""
    return json.loads(reader.texts["script"][0])


@pytest.fixture(scope="module")
def ranked(offline: Encoder) -> list[Ranked]:
    return _ranked(QUERY, TEXTS, offline)


def test_the_text_is_the_chunk_and_the_marks_are_its_evidence(ranked):
    reader = Reader(report(ranked).page())
    texts = [item.explanation.document.text for item in ranked]
    assert reader.texts["ll-text"] == texts
    spans = [span for item in ranked for span in sorted(item.evidence, key=lambda span: span.start)]
    assert reader.texts["mark"] == [span.text for span in spans]
    phrases = [
        item.explanation.document.text[span.phrase_start : span.phrase_end] for item in ranked for span in item.evidence
    ]
    assert sorted(reader.texts["strong"]) == sorted(phrases)


def test_each_ledger_sums_to_its_score(ranked):
    reader = Reader(report(ranked).page())
    values = [float(attributes["value"]) for tag, attributes in reader.elements if tag == "data"]
    for item in ranked:
        lines = len(ledger(item.explanation))
        rows, total, values = values[:lines], values[lines], values[lines + 1 :]
        assert total == item.score
        assert math.fsum(rows) == pytest.approx(item.score, abs=1e-9)
    assert values == []
    assert f"score {ranked[0].score:.3f}" in reader.texts["ll-score"][0]


def test_every_word_of_the_query_is_a_button_and_a_row_of_each_ledger(ranked):
    reader = Reader(report(ranked).page())
    labels = [line.label for line in ledger(ranked[0].explanation)]
    assert reader.texts["button"] == ["all words", *labels]
    assert labels == ["What", "do", "elephants", "eat", "?", "[CLS] [SEP]"]
    assert _told(reader)["labels"] == labels


def test_the_figures_point_at_the_words_of_the_text_as_a_browser_counts(ranked):
    told = _told(Reader(report(ranked).page()))
    for item, chunk in zip(ranked, told["chunks"], strict=True):
        text = item.explanation.document.text
        units, words, at = text.encode("utf-16-le"), [], 0
        for gap, length in zip(chunk["words"][::2], chunk["words"][1::2], strict=True):
            words.append(units[2 * (at + gap) : 2 * (at + gap + length)].decode("utf-16-le"))
            at += gap + length
        assert "elephants" in words or "Lions" in words
        for line, heat, won in zip(ledger(item.explanation), chunk["heat"], chunk["won"], strict=True):
            if len(line.matched) == 1 and line.is_word:
                assert [words[i] for i in won] == list(line.matched)
                assert heat[won[0]] == max(heat) == round(100 * max(match.similarity for match in line.matches))
        assert ("👍" in words) == ("👍" in text)


@settings(max_examples=60, deadline=None)
@given(hostile_text, hostile_text, hostile_text)
def test_any_text_is_shown_as_it_is_and_adds_no_element(query, text, name):
    plain = Reader(report(_ranked("eat", ["bark"]), names=["a"]).page())
    ranked = _ranked(query + " eat", [text + HOSTILE, "bark"])
    reader = Reader(report(ranked, names=[name, HOSTILE]).page())
    first = ranked[0].explanation.document.text
    assert reader.texts["ll-text"][0] == _writable(first)
    assert reader.texts["ll-query"] == [_writable(query + " eat")]
    assert reader.texts["title"] == [_writable(query + " eat")]
    assert {tag for tag, _ in reader.elements} <= {tag for tag, _ in plain.elements} | {"mark", "strong", "i"}
    assert len(reader.texts["script"]) == 2
    assert reader.open == []
    assert not any(key.startswith("on") for _, attributes in reader.elements for key in attributes)


@given(st.recursive(hostile_text, lambda inner: st.lists(inner, max_size=3)))
def test_json_in_a_script_comes_back_and_cannot_end_it(value):
    written = as_script_json(value)
    assert json.loads(written) == value
    assert not set("<>&") & set(written)
    assert written.isascii()


@given(hostile_text)
def test_escaped_text_comes_back_from_an_element_and_from_an_attribute(text):
    reader = Reader(f'<p title="{escape(text)}">{escape(text)}</p>')
    assert reader.texts["p"] == [_writable(text)]
    assert reader.elements == [("p", {"title": _writable(text)})]


def test_evidence_that_overlaps_is_marked_without_losing_a_character(ranked):
    item = ranked[0]
    [span, *_] = item.evidence
    text = item.explanation.document.text
    assert Reader(f"<p>{marked_text(text, [span, span])}</p>").texts["p"] == [text]
    assert "<mark>" not in marked_text(text, [])


def test_the_page_loads_nothing_and_lets_only_its_own_script_run(ranked):
    page = report(ranked).page()
    reader = Reader(page)
    assert not [tag for tag, attributes in reader.elements if {"src", "href", "action"} & set(attributes)]
    [policy] = [found["content"] for tag, found in reader.elements if found.get("http-equiv")]
    assert policy.startswith("default-src 'none'")
    assert "'unsafe-inline'" not in policy.split("script-src")[1]
    assert "url(" not in page
    assert "@import" not in page


def test_several_outputs_share_a_page_without_ids(ranked):
    pieces = [ranked[0]._repr_html_(), ranked[1].explanation._repr_html_(), report(ranked)._repr_html_()]
    for piece in pieces:
        reader = Reader(piece)
        assert not any("id" in attributes for _, attributes in reader.elements)
        assert reader.elements[0] == (
            "section",
            {"class": "latelens", "data-format": "1", "aria-label": "Explained ranking"},
        )
        assert reader.open == []
    assert "document 0" in pieces[0]
    assert pieces[0] == ranked[0]._repr_html_()


def test_an_explanation_shows_its_own_evidence(ranked):
    marks = Reader(show_one(ranked[0].explanation)).texts["mark"]
    assert sorted(marks) == sorted(span.text for span in ranked[0].evidence)
    assert "mark" not in Reader(show_one(ranked[0].explanation, [])).texts


def test_names_are_those_of_the_input(ranked):
    names = ["a.txt", "b.txt"]
    headings = Reader(report(ranked, names=names).page()).texts["h3"]
    for rank, (heading, item) in enumerate(zip(headings, ranked, strict=True), start=1):
        assert heading.startswith(f"{rank}. {names[item.index]} ")
    with pytest.raises(ValueError, match="got 1, and document 1 is here"):
        report(ranked, names=["a.txt"])


def test_a_report_needs_one_ranking(ranked):
    with pytest.raises(ValueError, match="ranking is empty"):
        report([])
    with pytest.raises(ValueError, match="one query"):
        report([*ranked, *_ranked("Do lions sleep?", TEXTS)])


def test_save_writes_the_page(ranked, tmp_path):
    path = report(ranked).save(tmp_path / "report.html")
    assert path.read_bytes().decode("utf-8") == report(ranked).page()


def test_a_text_that_was_not_read_whole_says_so(ranked):
    first = ranked[0].explanation
    cut = first.document.__class__(
        first.document.text,
        first.document.vectors,
        first.document.tokens,
        first.document.spans,
        first.document.kinds,
        complete=False,
    )
    assert "could not read" in Explanation(first.score, first.query, cut, first.similarity)._repr_html_()
    assert "could not read" not in first._repr_html_()


def test_a_long_document_stays_small():
    words = " ".join(f"word{i}" for i in range(6000))
    encoder = FakeEncoder(dim=64)
    [query], [document] = (
        encoder.encode_queries(["what is word7 and word9 in word5000 here"]),
        encoder.encode_documents([words]),
    )
    assert len(explain(query, document)._repr_html_()) < 350_000


def test_a_ranking_shows_itself_as_a_report_with_relevances() -> None:
    ranking = rerank("eat grass", ["Herds eat grass.", "Cats sleep."], Calibrated())
    assert isinstance(ranking, list)
    assert ranking._repr_html_() == report(ranking)._repr_html_()
    assert f"relevance {ranking[0].relevance:.2f}" in ranking._repr_html_()
    assert f"relevance {ranking[0].relevance:.2f}" in ranking[0]._repr_html_()
    assert "relevance" not in rerank("eat grass", ["Herds eat grass."], FakeEncoder())._repr_html_()
    assert "No document" in rerank("eat grass", [], FakeEncoder())._repr_html_()


class Calibrated(FakeEncoder):
    calibration = Calibration("fake", strength=4.0, length=0.0, intercept=-2.0, fitted_on="by hand")
