"""An attribution in the formats that others read: plain JSON, Anthropic's citations, Google's grounding metadata."""

from latelens.interchange.anthropic import from_anthropic_citations, to_anthropic_citations
from latelens.interchange.google import from_google_grounding, to_google_grounding
from latelens.interchange.own_json import from_json, to_json

__all__ = [
    "from_anthropic_citations",
    "from_google_grounding",
    "from_json",
    "to_anthropic_citations",
    "to_google_grounding",
    "to_json",
]
