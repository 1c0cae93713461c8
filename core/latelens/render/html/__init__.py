"""Self-contained HTML pages: a ranking's report, and an answer with its sources."""

from latelens.render.html.ranking import Report, report, show_one

__all__ = ["Report", "report", "show_one"]
