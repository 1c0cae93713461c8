"""The scores of a set of answers as a page to keep: the means, then each answer with its claims; no network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from latelens.evaluation.answers import MEASURES, AnswerScore, AnswerScores
from latelens.refusals import check_is
from latelens.render.html.answer import show_answer
from latelens.render.html.escaping import escape
from latelens.render.html.page import resource, whole_page, write_page

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif}main{max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}th,td{padding:.2rem .8rem .2rem 0;text-align:start}summary{cursor:pointer}"
    "details{margin:.5rem 0}"
)


@dataclass(frozen=True)
class AnswersReport:
    """The scores of answers as HTML: `save` writes it as a page."""

    scores: AnswerScores
    title: str = "Answers and their sources"

    def page(self) -> str:
        """The whole document; its content policy lets no script run but ours, and nothing be loaded."""
        worst = sorted(self.scores.scores, key=lambda score: 2.0 if score.supported is None else score.supported)
        answers = "".join(_answer(score) for score in worst)
        body = f"<style>{_STYLE}</style><h1>{escape(self.title)}</h1>{_means(self.scores)}<h2>Answers</h2>{answers}"
        return whole_page(body, title=self.title, scripts=[resource("answer.js")])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, in UTF-8, and say where."""
        return write_page(self.page(), path)


def answers_report(scores: AnswerScores, *, title: str = "Answers and their sources") -> AnswersReport:
    """Show the scores of answers: ``answers_report(scores).save("answers.html")``; the least supported come first."""
    check_is("scores", scores, AnswerScores, "what score_answers gives")
    check_is("title", title, str, "a str")
    return AnswersReport(scores, title)


def _means(scores: AnswerScores) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{escape(MEASURES[name])}</th><td>{_share(mean)}</td>"
        f"<td>{sum(getattr(score, name) is not None for score in scores.scores)}</td></tr>"
        for name, mean in scores.means.items()
    )
    return f"<table><thead><tr><th>share of</th><th>mean</th><th>answers</th></tr></thead><tbody>{rows}</tbody></table>"


def _answer(score: AnswerScore) -> str:
    named = "".join(f"<li>{escape(meaning)}: {_share(getattr(score, name))}</li>" for name, meaning in MEASURES.items())
    asked = escape(score.example.question or score.example.id or "an answer")
    return (
        f'<details><summary><bdi dir="auto">{asked}</bdi> · supported {_share(score.supported)}</summary>'
        f"<ul>{named}</ul>{show_answer(score.attribution)}</details>"
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
