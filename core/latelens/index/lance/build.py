"""Indexes and files of a `LanceIndex`'s table: when they are made anew, and how."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from lancedb.index import FTS

from latelens.index.exact.folder import try_lock
from latelens.index.lance.lists import LISTS
from latelens.index.lance.making import make_lists
from latelens.index.lance.table import TEXT_INDEX, Snapshot, Table, has_text_index, newest

# The share of the table that may be loose beside an index before a new one pays: making one reads all vectors.
_LOOSE_SHARE = 0.2
# Every write lists all files anew.
_MOST_FILES = 200
# Readers that began on an older version have finished after so long.
_KEPT = timedelta(hours=1)

# Any script: ICU finds the words of Chinese and Thai, and parts at punctuation. Whoever asks for an exact term, a code
# or a name wants no stemming; accents are left out on both sides.
_WORDS = FTS(base_tokenizer="icu/split", stem=False, remove_stop_words=False, max_token_length=255)


def pays(snapshot: Snapshot, index_from: int | None) -> bool:
    """Whether an index, or a new one, is worth its making; `index_from` is in bytes of float32 rows."""
    if index_from is None or not snapshot.loose_count:
        return False
    known = snapshot.row_count - snapshot.loose_count
    return 4 * snapshot.dim * snapshot.loose_count >= max(index_from, _LOOSE_SHARE * 4 * snapshot.dim * known)


def index_vectors(table: Table) -> None:
    """Make the lists anew, beside readers and writers, unless another process is at it."""
    with _alone(table.path) as alone:
        snapshot = table.snapshot()
        if not alone or snapshot is None or not len(snapshot.ids):
            return
        _sweep(table.path)  # what a killed builder left
        make_lists(snapshot, table.path)
        _sweep(table.path)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether this is the one builder; the system gives the lock back when a process dies."""
    descriptor = os.open(folder / "building", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Delete all lists but the newest; whoever has them mapped keeps them until then."""
    kept = newest(folder)
    for path in list(folder.iterdir()):
        if path.name.startswith(LISTS) and path.name != kept:
            shutil.rmtree(path, ignore_errors=True)


def index_words(table: Table, *, anew: bool) -> None:
    """Make the index of words, where there is none or if asked for `anew`."""
    with table.folder.locked():
        handle = table.fresh()
        if anew or not has_text_index(handle):
            handle.create_index("text", config=_WORDS, name=TEXT_INDEX, replace=True)


def many_files(snapshot: Snapshot) -> bool:
    """Whether the table lies in so many files that searches and writes get slow."""
    return _files(snapshot) > _MOST_FILES


def merge_files(table: Table) -> None:
    """Merge small files, and remove versions that nobody reads any more."""
    with table.folder.locked():
        table.fresh().optimize(cleanup_older_than=_KEPT)


def _files(snapshot: Snapshot) -> int:
    return int(snapshot.table.stats()["fragment_stats"]["num_fragments"])
