"""Brute force in memory or in a folder."""

from latelens.index.exact.index import ExactIndex

__all__ = ["ExactIndex"]
