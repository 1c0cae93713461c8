"""Late-interaction reranking in which every result carries the exact reason for its score."""

from latelens._version import __version__
from latelens.cache import EmbeddingCache
from latelens.contrast import Contrast, WordGain, contrast
from latelens.embeddings import TokenEmbeddings, TokenKind
from latelens.encoders import Encoder, ModelInfo, list_models, load_encoder
from latelens.evidence import EvidenceSpan, find_evidence
from latelens.explanation import Explanation, Match, explain
from latelens.metadata import read_evidence
from latelens.miss import Miss, WordMiss, explain_miss
from latelens.ranking import Ranked, Ranking, rerank
from latelens.relevance import Calibration

__all__ = [
    "Calibration",
    "Contrast",
    "EmbeddingCache",
    "Encoder",
    "EvidenceSpan",
    "Explanation",
    "Match",
    "Miss",
    "ModelInfo",
    "Ranked",
    "Ranking",
    "TokenEmbeddings",
    "TokenKind",
    "WordGain",
    "WordMiss",
    "__version__",
    "contrast",
    "explain",
    "explain_miss",
    "find_evidence",
    "list_models",
    "load_encoder",
    "read_evidence",
    "rerank",
]
