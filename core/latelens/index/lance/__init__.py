"""LanceDB: one machine, up to a million chunks."""

from latelens.index.lance.index import LanceIndex

__all__ = ["LanceIndex"]
