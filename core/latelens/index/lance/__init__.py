"""LanceDB: one machine, some hundred thousand chunks."""

from latelens.index.lance.index import LanceIndex

__all__ = ["LanceIndex"]
