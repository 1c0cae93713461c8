"""Hostile pages and texts: what is read is text, what is shown is harmless, and both take little time."""

from __future__ import annotations

import io
import random
import re
import time

import pytest
from fake_encoder import FakeEncoder
from hostile_text import hostile
from rich.console import Console

from latelens import attribute, rerank
from latelens.cli.files.html import read_html
from latelens.render.html.answer import answer_report
from latelens.render.html.ranking import report
from latelens.render.terminal.answer import format_answer
from latelens.render.terminal.ranking import format_ranking

PAGES, RENDERS = 200, 50
_TERMINAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def test_hostile_pages_give_text_and_no_error(campaign: int, record_property) -> None:
    pytest.importorskip("bs4")
    chance, slowest = random.Random(1), 0.0
    for _ in range(PAGES * campaign):
        page = hostile(chance, 60).encode("utf-8", "surrogatepass")
        began = time.process_time()
        try:
            text, _note = read_html(page)
        except ValueError as error:
            if not re.search("is not .* text|is no text but binary", str(error)):
                raise
        else:
            assert not set(text) & set(map(chr, range(9)))
        slowest = max(slowest, time.process_time() - began)
    record_property("pages", PAGES * campaign)
    assert slowest < 2


def test_hostile_texts_are_shown_without_a_control_character_or_a_script_of_theirs(
    campaign: int, record_property
) -> None:
    chance, encoder = random.Random(2), FakeEncoder(dim=64)
    for _ in range(RENDERS * campaign):
        texts = [hostile(chance) or "a" for _ in range(2)]
        names = [hostile(chance, 5) for _ in texts]
        ranked = rerank("eat grass ships", texts, encoder)
        attribution = attribute(hostile(chance), [*texts], encoder)
        out = io.StringIO()
        console = Console(file=out, width=60, color_system=None)
        console.print(format_ranking(ranked, names=names))
        console.print(format_answer(attribution))
        assert not _TERMINAL.search(out.getvalue())
        for page in (report(ranked, names=names).page(), answer_report(attribution).page()):
            shown = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
            assert not re.search(r"<(?:script|img|a [^>]*javascript:|[a-z]+[^>]*\sonerror)", shown)
    record_property("renders", 4 * RENDERS * campaign)
