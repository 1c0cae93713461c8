"""Late interaction for LangChain: reranking, retrieval and citations, each result with its exact evidence."""

from typing import TYPE_CHECKING, Any

try:
    from langchain_latelens.boxes import add_boxes
    from langchain_latelens.chain import AttachCitations
    from langchain_latelens.citations import attach_citations, read_attribution, read_checked_marks, strip_citations
    from langchain_latelens.documents import to_chunks
    from langchain_latelens.embeddings import LateInteractionEmbeddings
    from langchain_latelens.evaluator import create_attribution_evaluator
    from langchain_latelens.evidence import read_evidence, read_regions, strip_evidence
    from langchain_latelens.fields import cite_fields, read_fields
    from langchain_latelens.pages import PdfPagesLoader
    from langchain_latelens.pictures import page_blocks
    from langchain_latelens.reranked_retriever import RerankedRetriever
    from langchain_latelens.reranker import LateInteractionRerank
    from langchain_latelens.retriever import LateInteractionRetriever
    from langchain_latelens.stages import first_stage
    from langchain_latelens.tool import create_evidence_tool
    from langchain_latelens.vector_store import LateInteractionVectorStore
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "langchain_core":
        raise
    raise ImportError("langchain_latelens needs langchain-core: run `pip install 'latelens[langchain]'`") from error

if TYPE_CHECKING:
    from langchain_latelens.middleware import EvidenceCitationMiddleware as EvidenceCitationMiddleware

__all__ = [
    "AttachCitations",
    "EvidenceCitationMiddleware",
    "LateInteractionEmbeddings",
    "LateInteractionRerank",
    "LateInteractionRetriever",
    "LateInteractionVectorStore",
    "PdfPagesLoader",
    "RerankedRetriever",
    "add_boxes",
    "attach_citations",
    "cite_fields",
    "create_attribution_evaluator",
    "create_evidence_tool",
    "first_stage",
    "page_blocks",
    "read_attribution",
    "read_checked_marks",
    "read_evidence",
    "read_fields",
    "read_regions",
    "strip_citations",
    "strip_evidence",
    "to_chunks",
]


def __getattr__(name: str) -> Any:
    """`EvidenceCitationMiddleware` is imported when it is asked for: only it needs langchain."""
    if name == "EvidenceCitationMiddleware":
        from langchain_latelens.middleware import EvidenceCitationMiddleware

        return EvidenceCitationMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
