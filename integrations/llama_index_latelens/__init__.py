"""Late-interaction reranking for LlamaIndex, with the exact evidence for every returned node."""

from llama_index_latelens.evidence import read_evidence, strip_evidence
from llama_index_latelens.reranker import LateInteractionRerank

__all__ = ["LateInteractionRerank", "read_evidence", "strip_evidence"]
