"""Qdrant: a server or a cluster."""

from latelens.index.qdrant.index import QdrantIndex
from latelens.index.qdrant.storage import QdrantStorage

__all__ = ["QdrantIndex", "QdrantStorage"]
