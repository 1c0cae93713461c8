"""Arguments that every index takes, refused alike."""

from __future__ import annotations

from collections.abc import Sequence


def check_count(name: str, value: int) -> None:
    """Refuse what is no int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be an int of at least 1, got {value!r}")


def check_ids(ids: Sequence[str]) -> None:
    """Refuse one id in place of several: its characters would be taken for ids."""
    if isinstance(ids, str):
        raise TypeError(f"ids must be a sequence of str, got the str {ids!r:.40}; put one id in a list")


def check_document(document_id: str) -> None:
    """Refuse what is no document's id."""
    if not isinstance(document_id, str) or not document_id:
        raise ValueError(f"document_id must be a str that is not empty, got {document_id!r:.80}")
