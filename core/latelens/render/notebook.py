"""What a notebook shows for each of our values."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from latelens.attribution.citations import Attribution
from latelens.explanation.matches import Explanation
from latelens.explanation.results import Ranked, Ranking
from latelens.render.html.answer import show_answer
from latelens.render.html.ranking import report, show_one


@singledispatch
def html_of(value: Any) -> str:
    """A piece of HTML for a value; it holds its style and its script."""
    raise TypeError(f"nothing shows a {type(value).__name__} as HTML")


@html_of.register
def _(value: Explanation) -> str:
    return show_one(value)


@html_of.register
def _(value: Ranked) -> str:
    if value.page is not None:
        return report([value])._repr_html_()
    return show_one(value.explanation, value.evidence, heading=f"document {value.index}", relevance=value.relevance)


@html_of.register
def _(value: Ranking) -> str:
    return report(value)._repr_html_() if value else "<p>No document was kept.</p>"


@html_of.register
def _(value: Attribution) -> str:
    return show_answer(value)
