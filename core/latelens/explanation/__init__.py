"""Why a document got its score: matches, evidence, differences and misses."""

from latelens.explanation.cells import CellMatch, cell_matches
from latelens.explanation.codes import Code, CodesExplanation, explain_codes
from latelens.explanation.contrasting import Contrast, WordGain, contrast
from latelens.explanation.evidence import EvidenceSpan, find_evidence
from latelens.explanation.maps import PageMaps, page_maps
from latelens.explanation.matches import COVERED, Explanation, Match, explain
from latelens.explanation.misses import Miss, WordMiss, explain_miss
from latelens.explanation.regions import Region, find_regions

__all__ = [
    "COVERED",
    "CellMatch",
    "Code",
    "CodesExplanation",
    "Contrast",
    "EvidenceSpan",
    "Explanation",
    "Match",
    "Miss",
    "PageMaps",
    "Region",
    "WordGain",
    "WordMiss",
    "cell_matches",
    "contrast",
    "explain",
    "explain_codes",
    "explain_miss",
    "find_evidence",
    "find_regions",
    "page_maps",
]
