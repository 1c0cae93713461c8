"""Text for a terminal: a ranking, a ledger, and an answer with its sources."""

from latelens.render.terminal.printing import printable
from latelens.render.terminal.ranking import EvidenceText, format_ledger, format_ranking

__all__ = ["EvidenceText", "format_ledger", "format_ranking", "printable"]
