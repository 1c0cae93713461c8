"""`report` with pages: evidence on pictures of its pages, in HTML."""

from __future__ import annotations

import re

import numpy as np
import pytest
from browser import BROWSER
from browser import Page as Browser
from made_pdfs import column, made_pdf, turned
from PIL import Image

from latelens import Source, attribute, rerank
from latelens.pages import FilePage, PageFiles, open_pages
from latelens.render.html.answer import answer_report
from latelens.render.html.ranking import report

TEXTS = (
    "The filter is changed every 500 hours of operation. A clogged filter lets the pressure fall below two bar.",
    "Before the cover is opened the pump must be switched off. The line must be without pressure as well.",
)
QUESTION = "How often is the <filter> changed?"


@pytest.fixture
def pages(tmp_path):
    path = tmp_path / "a&b<manual>.pdf"
    path.write_bytes(turned(made_pdf(*(column(text, width=40) for text in TEXTS)), rotation=180))
    return open_pages(path).all()


def test_a_report_holds_everything_and_escapes_it(pages, offline, tmp_path):
    ranking = rerank(QUESTION, [page.text for page in pages], offline)
    page = report(ranking, pages=pages).page()
    assert page.count('role="img" aria-label="') == 2 + sum(len(item.evidence) for item in ranking)
    assert "<filter>" not in page
    assert "a&amp;b&lt;manual&gt;.pdf, page 1" in page
    assert {address[:11] for address in re.findall(r'(?:src|href)="([^"#]+)', page)} == {"data:image/"}
    assert page.count("base64,") == 2  # what is cut out of a page is not held again
    assert "img-src data:" in page
    assert report(ranking, pages=pages, names=["first", "second"]).save(tmp_path / "r.html").stat().st_size < 500_000


def test_a_document_without_a_page_is_left_to_the_text(pages, offline):
    ranking = rerank(QUESTION, [page.text for page in pages], offline)
    made = report(ranking, pages=[pages[0], None])
    assert made._repr_html_().count("<article>") == 1
    assert "document 1" in made.page()
    assert report(ranking, pages=[None, None])._repr_html_() == report(ranking)._repr_html_()
    with pytest.raises(ValueError, match="pages must have one for each document given to rerank: got 1"):
        report(ranking, pages=pages[:1])
    with pytest.raises(ValueError, match="the ranking is empty"):
        report([], pages=pages)


def test_only_so_many_pages_are_drawn(pages, offline, monkeypatch):
    monkeypatch.setattr("latelens.render.html.pages.MOST", 1)
    ranking = rerank(QUESTION, [page.text for page in pages], offline)
    piece = report(ranking, pages=pages)._repr_html_()
    assert piece.count("<article>") == 1
    assert "1 more pages are not drawn" in piece


def test_evidence_that_is_not_on_the_page_is_counted(pages, offline):
    ranking = rerank(QUESTION, ["The filter is cleaned by hand whenever somebody has the time for such work."], offline)
    assert "1 of 1 not found on this page" in report(ranking, pages=[pages[0]])._repr_html_()


def answered(pages, encoder, answer="The filter is changed every 500 hours."):
    sources = [Source(page.text, title="manual", file=FilePage(page.source, page.number - 1)) for page in pages]
    return attribute(answer, sources, encoder, max_citations=1)


def test_the_page_of_an_answer_shows_the_cited_sentence_on_its_page(pages, offline, tmp_path):
    attribution = answered(pages, offline)
    page = answer_report(attribution, files=PageFiles([tmp_path])).page()
    assert page.count("url(data:image/jpeg;base64,") == 1
    assert page.count('class="ll-here"') == 2  # a box a line
    assert "page 1, lower half, right</figcaption>" in page  # the page is shown upside down
    assert "data:image" not in answer_report(attribution).page()


def test_a_page_is_drawn_once_and_only_so_many_pages_are(pages, offline, tmp_path, monkeypatch):
    said = "The filter is changed every 500 hours. A clogged filter lets the pressure fall. The pump is switched off."
    attribution, files = answered(pages, offline, said), PageFiles([tmp_path])
    assert len(attribution.references) == 3
    page = answer_report(attribution, files=files).page()
    assert (page.count('class="ll-window"'), page.count("url(data:image/jpeg")) == (3, 2)
    assert len(page) < 200_000
    monkeypatch.setattr("latelens.render.html.answer._PAGES", 1)
    page = answer_report(attribution, files=files).page()
    assert (page.count('class="ll-window"'), page.count("url(data:image/jpeg")) == (2, 1)
    assert page.count("<figcaption>page 2") == 1


@pytest.fixture
def browser(tmp_path):
    opened = Browser(tmp_path / "profile")
    opened.call("Emulation.setDeviceMetricsOverride", width=1000, height=1600, deviceScaleFactor=1, mobile=False)
    yield opened
    opened.close()


RECTANGLE = "(r => [r.left, r.top, r.right, r.bottom])({}.getBoundingClientRect())"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_the_page_of_an_answer_is_open_at_the_sentence_and_can_be_scrolled(offline, tmp_path, browser):
    lines = [*column("Nothing of this is cited. " * 20, top=740), *column(TEXTS[0], width=40, top=140)]
    (tmp_path / "manual.pdf").write_bytes(made_pdf(lines))
    pages = open_pages(tmp_path / "manual.pdf").all()
    report = answer_report(answered(pages, offline), files=PageFiles([tmp_path]))
    browser.open(report.save(tmp_path / "answer.html"))
    browser.screenshot(tmp_path / "open.png")
    window = browser.run(RECTANGLE.format("document.querySelector('.ll-window')"))
    marks = [browser.run(RECTANGLE.format(f"document.querySelectorAll('.ll-here')[{i}]")) for i in range(2)]
    seen = np.asarray(Image.open(tmp_path / "open.png").convert("RGB")).astype(int)
    for left, top, right, bottom in marks:
        assert window[0] < left < right < window[2]
        assert window[1] < top < bottom < window[3]
        inside = seen[round(top) + 1 : round(bottom) - 1, round(left) + 1 : round(right) - 1]
        assert np.median(inside[:, :, 2]) < 130  # yellow
        dark = inside.sum(axis=2) < 300
        # The words fill the mark from its first column to its last.
        columns = np.flatnonzero(dark.any(axis=0))
        assert columns[0] < 8
        assert columns[-1] > dark.shape[1] - 8
    assert browser.run("document.querySelector('.ll-window').scrollTop") > 100
    browser.run("document.querySelector('.ll-window').scrollTop = 0")
    browser.run("document.querySelector('.ll-cite .ll-mark').click()")
    assert browser.run("document.querySelector('.ll-window').scrollTop") > 100
    assert [one for one in browser.complaints() if not one.startswith("data:")] == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_the_marks_lie_on_the_words_in_a_browser(pages, offline, tmp_path, browser):
    ranking = rerank(QUESTION, [page.text for page in pages], offline, top_n=1)
    path = report(ranking, pages=pages).save(tmp_path / "report.html")
    browser.open(path)
    browser.screenshot(tmp_path / "marked.png")
    page = browser.run(RECTANGLE.format("document.querySelector('.ll-page')"))
    marks = [
        browser.run(RECTANGLE.format(f"document.querySelectorAll('.ll-here')[{i}]"))
        for i in range(browser.run("document.querySelectorAll('.ll-here').length"))
    ]
    seen = np.asarray(Image.open(tmp_path / "marked.png").convert("RGB")).astype(int)
    dark = seen.sum(axis=2) < 300
    everywhere = dark[int(page[1]) + 3 : int(page[3]) - 3, int(page[0]) + 3 : int(page[2]) - 3].sum()
    under = sum(dark[round(t) : round(b), round(x) : round(r)].sum() for x, t, r, b in marks)
    evidence = sum(len(span.text) for span in ranking[0].evidence)
    assert under / everywhere == pytest.approx(evidence / len(pages[0].text), abs=0.12)
    for left, top, right, bottom in marks:  # yellow, with ink
        inside = seen[round(top) + 1 : round(bottom) - 1, round(left) + 1 : round(right) - 1]
        assert np.median(inside[:, :, 2]) < 130
        assert (inside.sum(axis=2) < 300).any()

    browser.run("[...document.querySelectorAll('.ll-onpages button')].find(b => b.textContent === 'changed').click()")
    won = browser.run("[...document.querySelectorAll('.ll-page .ll-won')].map(e => Number(e.dataset.word))")
    words = re.findall(r"\w+", pages[0].text)
    assert [words[i] for i in won] == ["changed"]
    assert browser.run("document.querySelector('.ll-here').hidden")
    assert [one for one in browser.complaints() if not one.startswith("data:")] == []
