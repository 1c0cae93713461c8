"""Late-interaction reranking for LangChain, with the exact evidence for every returned document."""

from langchain_latelens.evidence import read_evidence, strip_evidence
from langchain_latelens.reranker import LateInteractionRerank, RerankedRetriever

__all__ = ["LateInteractionRerank", "RerankedRetriever", "read_evidence", "strip_evidence"]
