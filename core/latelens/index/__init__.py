"""Stores of token embeddings that are searched by late interaction, and stages put before and after them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latelens.index.exact import ExactIndex
from latelens.index.pages import add_pages
from latelens.index.protocol import Chunk, EncodedChunk, Filter, Hit, Index, Searcher
from latelens.index.stages.first_stage import Candidate, FirstStage
from latelens.index.stages.hybrid import Hybrid
from latelens.index.stages.region_words import RegionWords
from latelens.index.stages.two_stage import TwoStage
from latelens.index.tiled import TiledIndex
from latelens.index.token_index import TokenIndex

if TYPE_CHECKING:
    from latelens.index.lance import LanceIndex as LanceIndex
    from latelens.index.plaid import PlaidIndex as PlaidIndex
    from latelens.index.qdrant import QdrantIndex as QdrantIndex
    from latelens.index.qdrant import QdrantStorage as QdrantStorage
    from latelens.index.sharded import ShardedIndex as ShardedIndex
    from latelens.index.stages.bm25 import BM25 as BM25

# Each needs a package of its own, which is asked for when the name is first used; so `import *` does not name them.
_OPTIONAL = {
    "BM25": "stages.bm25",
    "LanceIndex": "lance",
    "PlaidIndex": "plaid",
    "QdrantIndex": "qdrant",
    "QdrantStorage": "qdrant",
    "ShardedIndex": "sharded",
}

__all__ = [
    "Candidate",
    "Chunk",
    "EncodedChunk",
    "ExactIndex",
    "Filter",
    "FirstStage",
    "Hit",
    "Hybrid",
    "Index",
    "RegionWords",
    "Searcher",
    "TiledIndex",
    "TokenIndex",
    "TwoStage",
    "add_pages",
]


def __getattr__(name: str) -> Any:
    if name not in _OPTIONAL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_OPTIONAL[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_OPTIONAL})
