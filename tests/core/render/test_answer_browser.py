"""An answer in a real browser: pointer and keyboard show the cited sentence, and nothing is loaded or run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import BROWSER, Page, luminance

from latelens.attribution import Attribution, Citation, Claim, Label, Source
from latelens.render.html.answer import answer_report, show_answer

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")

HOSTILE = (
    "<img src=x onerror=alert(1)> </script><script>document.title='owned'</script> \"'&amp; ${1} \u202eeat\r\nbark"
)
FOOD = "Herds roam. Herds eat 150 kg of grass, and they drink water. Rain fell."
CITED = "Herds eat 150 kg of grass, and they drink water."
ANSWER = "# Food\n\nHerds eat 250 kg of grass. They drink water. Lions fly.\n"


def claim(answer: str, part: str, label: Label, source: Source | None = None, cited: str = CITED) -> Claim:
    start = answer.index(part)
    end, citations = start + len(part), ()
    if source is not None:
        at = source.text.index(cited)
        found = Citation(start, end, 0, source.id, at, at + len(cited), cited, 0.8, 0.9, source.title, source.url)
        citations = (found,)
    return Claim(start, end, part, label, 0.8, ("number 250 kg not in the evidence",), None, citations)


def attribution(padding: int = 0) -> Attribution:
    source, answer = Source(FOOD, "zoo#4", "Zoo", "https://zoo.org/"), ANSWER + "More. " * padding
    claims = (
        claim(answer, "Herds eat 250 kg of grass.", "weak", source),
        claim(answer, "They drink water.", "corroborated", source),
        claim(answer, "Lions fly.", "no_evidence"),
    )
    return Attribution(answer, (source, Source("Unused.", "u")), claims, "fake")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    page = Page(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()


@pytest.fixture
def opened(page: Page, tmp_path: Path) -> Iterator[Page]:
    page.open(answer_report(attribution()).save(tmp_path / "answer.html"))
    yield page
    assert page.complaints() == []


def mark(number: int) -> str:
    return f"document.querySelectorAll('.ll-mark')[{number}]"


def cards(page: Page) -> list[Any]:
    """The text that each card on view shows, and its highlighted part."""
    visible = "[...document.querySelectorAll('.ll-card')].filter(card => card.checkVisibility())"
    return page.run(
        f"{visible}.map(card => [card.innerText.split('\\n').filter(Boolean), card.querySelector('mark')?.textContent])"
    )


def test_the_pointer_on_a_mark_shows_the_cited_sentence_in_its_text(opened):
    assert cards(opened) == []
    opened.point_at(mark(0))
    [[lines, highlighted]] = cards(opened)
    assert lines == ["Zoo", FOOD, "△ weak, score 0.80, relevance 0.90"]
    assert highlighted == CITED
    opened.point_at("document.querySelector('.ll-tally')")
    assert cards(opened) == []


def test_the_pointer_can_go_from_the_mark_into_what_it_shows(opened):
    opened.point_at(mark(0))
    box, card = (
        opened.run(f"(r => [r.left, r.top, r.right, r.bottom])({element}.getBoundingClientRect())")
        for element in (mark(0), f"{mark(0)}.nextElementSibling")
    )
    for step in range(21):
        y = box[3] - 1 + (card[1] + 4 - box[3]) * step / 20
        opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=(box[0] + box[2]) / 2, y=y)
        assert len(cards(opened)) == 1


def test_the_pointer_on_a_flag_shows_why(opened):
    opened.point_at(mark(1))
    [[lines, _]] = cards(opened)
    assert lines == ["number 250 kg not in the evidence"]


def test_the_keyboard_goes_from_mark_to_mark_and_escape_closes(opened):
    shown = []
    for _ in range(4):
        opened.press("Tab")
        assert len(cards(opened)) == 1
        shown.append(opened.run("document.activeElement.textContent"))
    assert shown == ["[1]", "△ weak", "[1]", "○ no evidence"]
    opened.press("Escape")
    assert cards(opened) == []
    opened.press("Tab")
    opened.run(f"{mark(2)}.focus()")
    assert cards(opened)[0][1] == CITED


def test_escape_closes_what_the_pointer_opened(opened):
    opened.point_at(mark(0))
    opened.press("Escape")
    assert cards(opened) == []
    opened.point_at(mark(2))
    assert len(cards(opened)) == 1


def test_a_mark_leads_to_its_source_and_back(opened):
    opened.point_at(mark(2), click=True)
    assert opened.run("document.activeElement.dataset.n") == "1"
    assert "zoo#4" in opened.run("document.activeElement.textContent")
    opened.point_at("document.querySelector('[role=doc-backlink]')", click=True)
    assert opened.run(f"document.activeElement === {mark(0)}") is True
    opened.point_at(mark(1), click=True)
    assert opened.run("document.activeElement.closest('.ll-check') !== null") is True


def test_a_source_under_the_pointer_shows_its_claims(opened):
    lit = "[...document.querySelectorAll('.ll-on .ll-claim')].map(claim => claim.textContent)"
    assert opened.run(lit) == []
    opened.point_at("document.querySelector('.ll-sources blockquote')")
    assert opened.run(lit) == ["Herds eat 250 kg of grass.", "They drink water."]


def test_without_scripts_marks_still_show_and_lead(page, tmp_path):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        path = answer_report(attribution()).save(tmp_path / "answer.html")
        page.open(path)
        page.press("Tab")
        assert cards(page)[0][1] == CITED
        target = page.run(f"{mark(0)}.getAttribute('href')")
        page.call("Page.navigate", url=path.as_uri() + target)
        assert page.run("document.querySelector('li:target').dataset.n") == "1"
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_copying_the_answer_takes_no_hidden_text(opened):
    opened.run("getSelection().selectAllChildren(document.querySelector('.ll-text'))")
    copied = opened.run("getSelection().toString()")
    assert copied.split("\n")[2] == "Herds eat 250 kg of grass.[1]△ weak They drink water.[1] Lions fly.○ no evidence"


def test_hostile_text_is_text_and_does_not_run(page, tmp_path):
    source = Source(HOSTILE, HOSTILE, HOSTILE, "javascript:document.title='owned'")
    hostile = Attribution(HOSTILE, (source,), (claim(HOSTILE, HOSTILE, "weak", source, HOSTILE),), "fake")
    page.open(answer_report(hostile).save(tmp_path / "answer.html"))
    assert page.run("document.querySelector('.ll-claim').textContent") == HOSTILE
    for i in range(page.run("document.querySelectorAll('a').length")):
        page.run(f"document.querySelectorAll('a')[{i}].focus()")
        page.run(f"document.querySelectorAll('a')[{i}].click()")
    assert page.run("document.title") != "owned"
    assert page.run("document.querySelectorAll('main img').length") == 0
    assert page.run("document.querySelectorAll('script').length") == 1
    assert page.complaints() == []


def test_outputs_on_one_page_work_apart_even_the_same_one_twice(page, tmp_path):
    outputs = [show_answer(attribution()), show_answer(attribution()), show_answer(attribution(padding=3))]
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{'<hr>'.join(outputs)}", encoding="utf-8")
    page.open(path)
    page.run("document.querySelectorAll('.ll-answer')[1].querySelector('.ll-mark').click()")
    inside = "[...document.querySelectorAll('.ll-answer')].map(root => root.contains(document.activeElement))"
    assert page.run(inside) == [False, True, False]
    assert page.complaints() == []


def test_an_output_works_when_a_notebook_inserts_it(page, tmp_path):
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
                made.textContent = old.textContent;
                old.replaceWith(made);
            }}
            document.body.append(host);
        }})({json.dumps(show_answer(attribution()))})"""
    )
    page.point_at(mark(0), click=True)
    assert page.run("document.activeElement.dataset.n") == "1"
    assert page.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_on_its_ground_in_light_and_dark(opened, scheme):
    opened.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    grounds = [
        (".ll-text", ".latelens"),
        (".ll-soft", ".latelens"),
        (".ll-mark", ".ll-mark"),
        (".ll-badge span", ".latelens"),
    ]
    for element, ground in [*grounds, (".ll-legend", ".latelens"), (".ll-flag .ll-mark span", ".latelens")]:
        ink, paper = luminance(opened, element, "color"), luminance(opened, ground, "backgroundColor")
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5, (element, scheme)
    assert (luminance(opened, ".latelens", "backgroundColor") > 0.5) == (scheme == "light")
    opened.call("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("width", [320, 1400])
def test_nothing_is_wider_than_the_window(opened, width):
    opened.call("Emulation.setDeviceMetricsOverride", width=width, height=700, deviceScaleFactor=1, mobile=False)
    for number in range(4):
        opened.run(f"{mark(number)}.focus()")
        assert len(cards(opened)) == 1
        assert opened.run("document.documentElement.scrollWidth") <= width
    opened.call("Emulation.clearDeviceMetricsOverride")


def test_flagged_claims_are_told_apart_by_their_lines_too(opened):
    styles = "[...document.querySelectorAll('.ll-claim')].map(claim => getComputedStyle(claim).textDecorationStyle)"
    lines = "[...document.querySelectorAll('.ll-claim')].map(claim => getComputedStyle(claim).textDecorationLine)"
    assert opened.run(styles)[::2] == ["dashed", "dotted"]
    assert opened.run(lines) == ["underline", "none", "underline"]
