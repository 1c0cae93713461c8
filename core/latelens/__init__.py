"""Late-interaction reranking and retrieval in which every result carries the exact reason for its score."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latelens._version import __version__
from latelens.bridge.metadata import read_evidence, read_regions
from latelens.embeddings import TokenEmbeddings, TokenKind
from latelens.encoders import (
    Encoder,
    EncoderPool,
    ModelInfo,
    PageEncoder,
    TilePooling,
    TokenPooling,
    list_models,
    load_encoder,
)
from latelens.encoders.cache import EmbeddingCache
from latelens.encoders.calibration import Calibration
from latelens.explanation.cells import CellMatch, cell_matches
from latelens.explanation.contrasting import Contrast, WordGain, contrast
from latelens.explanation.evidence import EvidenceSpan, find_evidence
from latelens.explanation.maps import PageMaps, page_maps
from latelens.explanation.matches import Explanation, Match, explain
from latelens.explanation.misses import Miss, WordMiss, explain_miss
from latelens.explanation.regions import Region, find_regions
from latelens.explanation.results import Ranked, Ranking
from latelens.ranking import rerank, rerank_pages

if TYPE_CHECKING:
    from latelens.attribution import Attribution, Citation, Claim, Source, attribute
    from latelens.attribution.verify import CrossEncoderVerifier, Verdict, Verifier
    from latelens.bridge.attributor import Attributor
    from latelens.bridge.quotes import QuoteNumbers

# Imported when they are asked for: they take as long as everything else, and ranking needs none of them.
_LATER = {
    **dict.fromkeys(("Attribution", "Citation", "Claim", "Source", "attribute"), "attribution"),
    **dict.fromkeys(("CrossEncoderVerifier", "Verdict", "Verifier"), "attribution.verify"),
    "Attributor": "bridge.attributor",
    "QuoteNumbers": "bridge.quotes",
}

__all__ = [
    "Attribution",
    "Attributor",
    "Calibration",
    "CellMatch",
    "Citation",
    "Claim",
    "Contrast",
    "CrossEncoderVerifier",
    "EmbeddingCache",
    "Encoder",
    "EncoderPool",
    "EvidenceSpan",
    "Explanation",
    "Match",
    "Miss",
    "ModelInfo",
    "PageEncoder",
    "PageMaps",
    "QuoteNumbers",
    "Ranked",
    "Ranking",
    "Region",
    "Source",
    "TilePooling",
    "TokenEmbeddings",
    "TokenKind",
    "TokenPooling",
    "Verdict",
    "Verifier",
    "WordGain",
    "WordMiss",
    "__version__",
    "attribute",
    "cell_matches",
    "contrast",
    "explain",
    "explain_miss",
    "find_evidence",
    "find_regions",
    "list_models",
    "load_encoder",
    "page_maps",
    "read_evidence",
    "read_regions",
    "rerank",
    "rerank_pages",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
