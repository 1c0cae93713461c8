"""Indexes and files of a `LanceIndex`'s table: when they are made anew, and how."""

from __future__ import annotations

import math
from datetime import timedelta

from lancedb.index import FTS, IvfRq

from latelens.index.lance.table import TEXT_INDEX, VECTOR_INDEX, Snapshot, Table, has_text_index, vector_indexes

# The share of the table that may be loose beside an index before a new one pays: making one reads all vectors.
_LOOSE_SHARE = 0.2
# Every write lists all files anew. Beside an index five times as many are kept, for merging them needs a new one.
_MOST_FILES = 200
# Readers that began on an older version have finished after so long.
_KEPT = timedelta(hours=1)

# Any script: ICU finds the words of Chinese and Thai, and parts at punctuation. Whoever asks for an exact term, a code
# or a name wants no stemming; accents are left out on both sides.
_WORDS = FTS(base_tokenizer="icu/split", stem=False, remove_stop_words=False, max_token_length=255)


def pays(snapshot: Snapshot, index_from: int | None) -> bool:
    """Whether an index, or a new one, is worth its making."""
    if index_from is None:
        return False
    if len(snapshot.loose) >= max(index_from, _LOOSE_SHARE * snapshot.indexed):
        return True
    return snapshot.covered is not None and _files(snapshot) > 5 * _MOST_FILES


def vector_index(rows: int) -> IvfRq:
    """How to index so many vectors.

    For 2 million structured rows of 96 dimensions, two bits and 1,024 partitions found .998 of the best 10, one bit
    .98, and 244 partitions, LanceDB's choice, took four times as long (100 candidates of 500 listed, 32 probes).
    Making the index takes rows times partitions, so their number grows with the root of the rows.
    """
    return IvfRq(
        distance_type="cosine",
        num_bits=2,
        num_partitions=max(1, round(0.72 * math.sqrt(rows))),
        max_iterations=5,
        sample_rate=32,
    )


def index_vectors(table: Table) -> None:
    """Make the vector index anew, beside readers and writers."""
    with table.folder.locked():  # no write is under way, so every row up to this version is seen
        handle = table.fresh()
        generation = handle.version
    rows = int(handle.search().select(["rows"]).to_arrow()["rows"].to_numpy().sum())
    handle.create_index("vectors", config=vector_index(rows), name=f"{VECTOR_INDEX}{generation}", replace=True)
    for _, name in vector_indexes(handle)[:-1]:
        handle.drop_index(name)


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
