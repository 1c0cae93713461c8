"""Stores of token embeddings that are searched by late interaction, and stages put before and after them."""

from latelens.index.base import TokenIndex
from latelens.index.protocol import Chunk, Filter, Hit, Index, Searcher

__all__ = ["Chunk", "Filter", "Hit", "Index", "Searcher", "TokenIndex"]
