"""The report in a real browser: a click filters, a pointer and a key show, and hostile text stays text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import BROWSER, Page, luminance
from fake_encoder import FakeEncoder

from latelens import Encoder, Ranked, rerank
from latelens.render.html.ranking import report
from latelens.render.ledger import ledger
from latelens.text.characters import words

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")
QUERY = "What do elephants eat in the dry season?"
TEXTS = [
    "The park opens at six 👍. In the dry season elephants eat bark. " + "Lions sleep. " * 300 + "Food is dry grass.",
    "Elephants eat grass and bark.",
    "Lions sleep most of the day.",
]
HOSTILE = (
    "<img src=x onerror=alert(1)> </script><script>document.title='owned'</script> \"'&amp; ${1} <b>eat</b> 👍\r\nbark"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def ranked(offline: Encoder) -> list[Ranked]:
    return rerank(QUERY, TEXTS, offline)


@pytest.fixture
def opened(page: Page, ranked: list[Ranked], tmp_path: Path) -> Iterator[Page]:
    page.open(report(ranked).save(tmp_path / "report.html"))
    yield page
    assert page.complaints() == []


def _button(label: str) -> str:
    return f"[...document.querySelectorAll('.ll-words button')].find(b => b.textContent === {json.dumps(label)})"


def _word(text: str, article: int = 0) -> str:
    words = f"[...document.querySelectorAll('article')[{article}].querySelectorAll('.ll-w')]"
    return f"{words}.find(w => w.textContent === {json.dumps(text)})"


def _framed(page: Page) -> list[list[str]]:
    articles = "[...document.querySelectorAll('article')]"
    return page.run(f"{articles}.map(a => [...a.querySelectorAll('.ll-won')].map(w => w.textContent))")


def _words_that_match(item: Ranked, label: str) -> list[str]:
    [line] = [line for line in ledger(item.explanation) if line.label == label]
    return list(line.matched)


def test_a_click_on_a_word_frames_its_matches_in_every_document(opened, ranked):
    everything = _framed(opened)
    opened.point_at(_button("eat"), click=True)
    assert opened.run(f"{_button('eat')}.getAttribute('aria-pressed')") == "true"
    assert opened.run(f"{_button('all words')}.getAttribute('aria-pressed')") == "false"
    assert _framed(opened) == [_words_that_match(item, "eat") for item in ranked]
    told = opened.run("[...document.querySelectorAll('.ll-found')].map(found => found.textContent)")
    for text, item in zip(told, ranked, strict=True):
        [line] = [line for line in ledger(item.explanation) if line.label == "eat"]
        assert text == f"adds {line.contribution:.3f}: {', '.join(line.matched) or 'no text'}"
    assert opened.run("document.querySelectorAll('tr.ll-on').length") == len(ranked)
    opened.point_at(_button("eat"), click=True)
    assert _framed(opened) == everything


def test_a_chosen_word_is_brought_into_view_inside_a_long_text(opened, ranked):
    long = next(i for i, item in enumerate(ranked) if item.index == 0)
    [text] = opened.run(f"[document.querySelectorAll('.ll-text')[{long}]].map(t => [t.scrollHeight, t.clientHeight])")
    assert text[0] > 2 * text[1]
    opened.run(f"document.querySelectorAll('.ll-text')[{long}].scrollTop = 1e6")
    opened.point_at(_button("season"), click=True)
    box, word = (
        opened.run(f"(r => [r.top, r.bottom])({element}.getBoundingClientRect())")
        for element in (f"document.querySelectorAll('.ll-text')[{long}]", _word("season", long))
    )
    assert box[0] <= word[0] < word[1] <= box[1]


def test_the_pointer_on_a_word_shows_its_query_word_and_similarity(opened, ranked):
    opened.point_at(_word("grass", [item.index for item in ranked].index(1)))
    [item] = [item for item in ranked if item.index == 1]
    lines = [line for line in ledger(item.explanation) if line.is_word]
    column = item.explanation.document.tokens.index("grass")
    similarity = [max(item.explanation.similarity[match.query_row, column] for match in line.matches) for line in lines]
    best = max(range(len(lines)), key=lambda i: similarity[i])
    assert opened.run("document.querySelector('.ll-tip').hidden") is False
    told = opened.run("document.querySelector('.ll-tip').textContent")
    assert told.splitlines()[0] == f"grass ↔ {lines[best].label}: {similarity[best]:.2f}"
    opened.point_at("document.querySelector('.ll-query')")
    assert opened.run("document.querySelector('.ll-tip').hidden") is True


def test_the_keyboard_reaches_words_matches_and_filters(opened):
    opened.run(f"{_button('eat')}.focus()")
    opened.press("Enter")
    assert opened.run(f"{_button('eat')}.getAttribute('aria-pressed')") == "true"
    opened.press("Escape")
    assert opened.run(f"{_button('all words')}.getAttribute('aria-pressed')") == "true"
    for _ in range(20):
        opened.press("Tab")
        if opened.run("document.activeElement.classList.contains('ll-w')"):
            break
    first = opened.run("Number(document.activeElement.dataset.word)")
    assert opened.run("document.activeElement.classList.contains('ll-won')") is True
    assert opened.run("document.querySelector('.ll-tip').hidden") is False
    opened.press("ArrowRight")
    assert opened.run("Number(document.activeElement.dataset.word)") == first + 1
    opened.press("ArrowLeft")
    opened.press("ArrowDown")
    assert opened.run("document.activeElement.classList.contains('ll-won')") is True
    assert opened.run("Number(document.activeElement.dataset.word)") > first
    opened.press("Tab")
    assert opened.run("document.activeElement.tagName") == "SUMMARY"


def test_hostile_text_is_text_and_does_not_run(page, tmp_path):
    ranked = rerank(f"eat {HOSTILE}", [HOSTILE, "eat bark"], FakeEncoder(dim=512))
    page.open(report(ranked, names=[HOSTILE, "b"]).save(tmp_path / "report.html"))
    texts = page.run("[...document.querySelectorAll('.ll-text')].map(text => text.textContent)")
    assert texts == [item.explanation.document.text for item in ranked]
    assert page.run("document.querySelector('.ll-query').textContent") == f"eat {HOSTILE}"
    for i in range(page.run("document.querySelectorAll('.ll-words button').length")):
        page.run(f"document.querySelectorAll('.ll-words button')[{i}].click()")
    for i in range(page.run("document.querySelectorAll('.ll-w').length")):
        page.run(f"document.querySelectorAll('.ll-w')[{i}].focus()")
    assert page.run("document.title") != "owned"
    assert page.run("document.querySelectorAll('main img, main b').length") == 0
    assert page.run("document.querySelectorAll('script').length") == 2
    assert page.complaints() == []


def test_the_words_of_the_page_are_those_of_the_text_beyond_the_basic_plane(page, tmp_path):
    text = "👍 𝔸 eat 大象 e\u0301t\u0000 \r\n\r\n🇩🇪 eat."
    ranked = rerank("eat 👍", [text], FakeEncoder(dim=512))
    page.open(report(ranked).save(tmp_path / "report.html"))
    shown = page.run("[...document.querySelectorAll('.ll-w')].map(word => word.textContent)")
    assert shown == [text[start:end] for start, end in words(text).tolist()]
    assert page.run("document.querySelector('.ll-text').textContent") == text.replace("\0", "\ufffd")


def test_outputs_on_one_page_work_apart_even_the_same_one_twice(page, ranked, tmp_path):
    outputs = [ranked[0]._repr_html_(), ranked[0]._repr_html_(), report(ranked)._repr_html_()]
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{'<hr>'.join(outputs)}", encoding="utf-8")
    page.open(path)
    roots = "[...document.querySelectorAll('.latelens')]"
    page.run(f"{roots}[1].querySelectorAll('button')[4].click()")
    assert page.run(f"{roots}.map(root => root.querySelectorAll('[aria-pressed=true]').length)") == [1, 1, 1]
    assert page.run(f"{roots}.map(root => root.querySelectorAll('tr.ll-on').length)") == [0, 1, 0]
    words = [page.run(f"{roots}[{i}].querySelector('article').querySelectorAll('.ll-w').length") for i in range(3)]
    assert words[0] == words[1] == words[2] > 0
    assert page.complaints() == []


def test_an_output_works_when_a_notebook_inserts_it(page, ranked, tmp_path):
    path = tmp_path / "empty.html"
    path.write_text("<!doctype html><meta charset=utf-8><body>", encoding="utf-8")
    page.open(path)
    # As JupyterLab does it: scripts set with innerHTML never run, so each is made anew, before the output is attached.
    page.run(
        f"""(html => {{
            const host = document.createElement("div");
            host.innerHTML = html;
            for (const old of host.querySelectorAll("script")) {{
                const made = document.createElement("script");
                for (const attribute of old.attributes) made.setAttribute(attribute.name, attribute.value);
                made.textContent = old.textContent;
                old.replaceWith(made);
            }}
            document.body.append(host);
        }})({json.dumps(ranked[0].explanation._repr_html_())})"""
    )
    page.point_at(_button("eat"), click=True)
    assert page.run("document.querySelectorAll('tr.ll-on').length") == 1
    assert page.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_its_ground_in_light_and_dark(opened, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    opened.call("Emulation.setEmulatedMedia", features=features)
    opened.run("document.querySelectorAll('.ll-w').forEach(word => word.style.setProperty('--h', 1))")
    for element, ground in ((".ll-text", ".latelens"), (".ll-score", ".latelens"), (".ll-w", ".ll-w")):
        ink = luminance(opened, element, "color")
        paper = luminance(opened, ground, "backgroundColor")
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5, (element, scheme)
    assert (luminance(opened, ".latelens", "backgroundColor") > 0.5) == (scheme == "light")
    opened.call("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("width", [320, 1400])
def test_nothing_is_wider_than_the_window(opened, width):
    opened.call("Emulation.setDeviceMetricsOverride", width=width, height=700, deviceScaleFactor=1, mobile=False)
    opened.point_at(_button("season"), click=True)
    assert opened.run("document.documentElement.scrollWidth") <= width
    opened.call("Emulation.clearDeviceMetricsOverride")
