"""PLAID, with PyLate: a small disk."""

from latelens.index.plaid.index import PlaidIndex

__all__ = ["PlaidIndex"]
