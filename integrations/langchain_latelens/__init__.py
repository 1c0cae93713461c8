"""Late-interaction reranking for LangChain, with the exact evidence for every returned document."""

try:
    from langchain_latelens.evidence import read_evidence, strip_evidence
    from langchain_latelens.reranker import LateInteractionRerank, RerankedRetriever
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "langchain_core":
        raise
    raise ImportError("langchain_latelens needs langchain-core: run `pip install 'latelens[langchain]'`") from error

__all__ = ["LateInteractionRerank", "RerankedRetriever", "read_evidence", "strip_evidence"]
