"""Self-contained HTML pages: a ranking's report, and an answer with its sources."""

from latelens.render.html.answer import AnswerReport, answer_report
from latelens.render.html.ranking import Report, report

__all__ = ["AnswerReport", "Report", "answer_report", "report"]
