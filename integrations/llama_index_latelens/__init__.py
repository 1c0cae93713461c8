"""Late-interaction reranking for LlamaIndex, with the exact evidence for every returned node."""

try:
    from llama_index_latelens.evidence import read_evidence, strip_evidence
    from llama_index_latelens.reranker import LateInteractionRerank
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "llama_index":
        raise
    raise ImportError(
        "llama_index_latelens needs llama-index-core: run `pip install 'latelens[llama-index]'`"
    ) from error

__all__ = ["LateInteractionRerank", "read_evidence", "strip_evidence"]
