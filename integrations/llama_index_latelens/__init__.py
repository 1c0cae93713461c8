"""Late interaction for LlamaIndex: reranking, retrieval and citations, each result with its exact evidence."""

try:
    from llama_index_latelens.boxes import add_boxes
    from llama_index_latelens.citations import (
        attach_citations,
        cite_fields,
        read_attribution,
        read_checked_marks,
        read_fields,
        strip_citations,
    )
    from llama_index_latelens.embeddings import LateInteractionEmbeddings
    from llama_index_latelens.evaluator import AttributionEvaluator
    from llama_index_latelens.evidence import read_evidence, read_regions, strip_evidence
    from llama_index_latelens.nodes import to_chunks
    from llama_index_latelens.pages import PdfPagesReader
    from llama_index_latelens.pictures import page_blocks
    from llama_index_latelens.query_engine import EvidenceCitationQueryEngine
    from llama_index_latelens.reranker import LateInteractionRerank
    from llama_index_latelens.retriever import LateInteractionRetriever
    from llama_index_latelens.sources import EvidenceCollector, to_citable_blocks
    from llama_index_latelens.stages import first_stage
    from llama_index_latelens.tool import create_evidence_tool
    from llama_index_latelens.vector_store import LateInteractionVectorStore
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "llama_index":
        raise
    raise ImportError(
        "llama_index_latelens needs llama-index-core: run `pip install 'latelens[llama-index]'`"
    ) from error

__all__ = [
    "AttributionEvaluator",
    "EvidenceCitationQueryEngine",
    "EvidenceCollector",
    "LateInteractionEmbeddings",
    "LateInteractionRerank",
    "LateInteractionRetriever",
    "LateInteractionVectorStore",
    "PdfPagesReader",
    "add_boxes",
    "attach_citations",
    "cite_fields",
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
    "to_citable_blocks",
]
