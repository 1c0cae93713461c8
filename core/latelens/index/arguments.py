"""Arguments that every index takes, refused alike."""

from __future__ import annotations

from collections.abc import Sequence

from latelens.refusals import check_count, check_texts, shown

__all__ = ["check_count", "check_document", "check_ids"]


def check_ids(ids: Sequence[str]) -> None:
    """Refuse one id in place of several, and what are no ids."""
    check_texts("ids", ids)


def check_document(document_id: str) -> None:
    """Refuse what is no document's id."""
    if not isinstance(document_id, str) or not document_id:
        raise ValueError(f"document_id must be a str that is not empty, got {shown(document_id)}")
    try:
        document_id.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"document_id holds half a surrogate pair, which no store keeps, got {shown(document_id)}"
        ) from error
