"""The kinds of index that the conformance suite runs on; a new one is added to `KINDS`, and nowhere else."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from latelens import Encoder
from latelens.index import TokenIndex


@dataclass(frozen=True)
class Kind:
    """How the suite makes an index of a kind, and what it may ask of it.

    Attributes
    ----------
    open
        ``open(encoder, folder)`` opens what is in the folder, or starts anew.
    needs
        Modules without which the kind is skipped.
    before_fork
        Modules that take long to import and survive that their process is forked.
    durable
        Opening the same folder again finds what was written.
    processes
        Two processes may have the folder open at once.
    exact
        A search finds the best of all chunks; otherwise it may miss some, and the order of what it finds is checked.
    close
        Called before the folder is opened again.
    """

    name: str
    open: Callable[[Encoder, Path], Any]
    needs: tuple[str, ...] = ()
    before_fork: tuple[str, ...] = ()
    durable: bool = True
    processes: bool = True
    exact: bool = True
    close: Callable[[Any], None] = lambda index: None

    def __str__(self) -> str:
        return self.name


def _memory(encoder: Encoder, folder: Path) -> TokenIndex:
    return _class("exact.ExactIndex")(encoder)


def _disk(encoder: Encoder, folder: Path) -> TokenIndex:
    return _class("exact.ExactIndex")(encoder, folder)


def _lance(encoder: Encoder, folder: Path) -> TokenIndex:
    return _class("lance.LanceIndex")(encoder, folder)


def _qdrant(encoder: Encoder, folder: Path) -> TokenIndex:
    from qdrant_client import QdrantClient

    return _class("qdrant.QdrantIndex")(encoder, QdrantClient(path=str(folder)), "chunks")


def _plaid(encoder: Encoder, folder: Path) -> TokenIndex:
    return _class("plaid.PlaidIndex")(encoder, folder)


def _close_qdrant(index: Any) -> None:
    index.client.close()


_SHARDS: dict[str, Any] = {}


def _sharded(encoder: Encoder, folder: Path) -> TokenIndex:
    """The one of the encoder's model, emptied: its processes take seconds to start."""
    from latelens.index import ShardedIndex

    if encoder.fingerprint not in _SHARDS:
        _SHARDS[encoder.fingerprint] = ShardedIndex(encoder, tempfile.mkdtemp(), 2)
    index = _SHARDS[encoder.fingerprint]
    index.delete(list(index.ids()))
    index.encoder = encoder
    return index


KINDS = (
    Kind("memory", _memory, durable=False, processes=False),
    Kind("disk", _disk),
    Kind("lance", _lance, needs=("lancedb", "latelens.index.lance"), before_fork=("lancedb",)),
    # The client's local mode locks its folder.
    Kind(
        "qdrant",
        _qdrant,
        needs=("qdrant_client", "latelens.index.qdrant"),
        before_fork=("qdrant_client",),
        processes=False,
        close=_close_qdrant,
    ),
    Kind("plaid", _plaid, needs=("pylate", "latelens.index.plaid"), before_fork=("fast_plaid.search",), exact=False),
    # Durability and killed processes: test_sharded_index.py.
    Kind("sharded", _sharded, needs=("ray", "latelens.index.sharded"), durable=False, processes=False),
)


def kind_named(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


def skip_without(kind: Kind) -> None:
    """Skip a test where a module that the kind needs is not installed."""
    for module in kind.needs:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"no module {module}")


def _class(name: str) -> Any:
    # Where it is used: the processes that the suite kills are forked, which not every engine's threads survive.
    module, name = name.split(".")
    return getattr(importlib.import_module(f"latelens.index.{module}"), name)
