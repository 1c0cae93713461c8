"""Whether the names that a PDF gives its pages can be read: they are a tree, and PDFium follows one in a circle."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

# A tree of 10,000 pages whose every page has an entry of its own is not larger.
_MOST_NODES, _DEEPEST = 20_000, 20


def has_sound_labels(data: Path | bytes, password: str | None) -> bool:
    """Whether there are labels, in a tree that ends; False where pypdf, which looks, is missing or cannot read it."""
    try:
        from pypdf import PdfReader
    except ModuleNotFoundError as error:
        if error.name != "pypdf":
            raise
        return False
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # PDFium says what is wrong with a file, where it matters
    try:
        with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
            root: Any = PdfReader(file, password=password).trailer["/Root"]
            return _ends(root.get("/PageLabels"))
    except OSError:
        raise
    except Exception:  # a damaged file can break pypdf anywhere
        return False
    finally:
        logger.setLevel(level)


def _ends(root: Any) -> bool:
    """Whether a tree of pages' labels has neither circles nor more branches than pages."""
    left, nodes = [(root, 0)], 0
    while left:
        node, depth = left.pop()
        node = node.get_object() if node is not None else None
        nodes += 1
        if not isinstance(node, dict) or depth > _DEEPEST or nodes > _MOST_NODES:
            return False
        kids = node.get("/Kids")
        left += [(kid, depth + 1) for kid in (kids.get_object() if kids is not None else ())]
    return True
