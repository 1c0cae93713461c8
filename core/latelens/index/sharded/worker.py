"""What runs in a shard's process: one of our indexes, whose rows are encoded elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.batches import batches
from latelens.index.protocol import Chunk, EncodedChunk, Hit
from latelens.index.token_index import TokenIndex

Open = Callable[[Encoder, Path], TokenIndex]
_TOGETHER = 256  # chunks, of a listing


@dataclass(frozen=True)
class KnownEncoder:
    """Which encoder's rows a shard holds; no model is loaded there."""

    name: str
    fingerprint: str
    dim: int

    def encode_queries(self, texts: Sequence[str]) -> NoReturn:  # noqa: ARG002 - the protocol's
        """Never asked for."""
        raise RuntimeError(f"a shard does not encode; {self.name!r} is where the ShardedIndex is")

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> NoReturn:  # noqa: ARG002
        """Never asked for."""
        self.encode_queries(texts)


class Shard:
    """An index in a folder; every call may be made again after the process was lost in the middle of it."""

    def __init__(self, open: Open, encoder: KnownEncoder, folder: Path) -> None:
        self._open, self._encoder, self._folder = open, encoder, folder
        # Brute force is twice as fast with rows in bfloat16, for which a process must have torch (`latelens.rounded`).
        with suppress(ImportError):
            import_module("torch")

    @property
    def _mark(self) -> Path:
        return self._folder / "shard.json"

    def create(self) -> None:
        """Start the folder anew, or go on with it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._mark.write_text(json.dumps({"fingerprint": self._encoder.fingerprint}), encoding="utf-8")
        self.count()

    @cached_property
    def _index(self) -> TokenIndex:
        # A process that starts again on another machine must not take a folder that is not there for an empty one.
        if not self._mark.exists():
            raise FileNotFoundError(
                f"there is no shard in {str(self._folder)!r} on this machine; put the folder where every machine sees "
                "it, or bind each shard to its machine with `options`"
            )
        return self._open(self._encoder, self._folder / "rows")

    def count(self) -> int:
        """How many chunks there are."""
        return self._index.count()

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        """Of the chunks that are there."""
        return self._index._digests(ids)

    def write(self, chunks: Sequence[EncodedChunk], *, replace: bool) -> int:
        """Chunks that are there already, unchanged, are skipped."""
        return (self._index.upsert if replace else self._index.add)(chunks, batch_size=max(1, len(chunks)))

    def exchange(self, document_id: str, chunks: Sequence[EncodedChunk], kept: Mapping[str, str]) -> int | None:
        """As `TokenIndex._exchange`."""
        return self._index._exchange(document_id, chunks, [chunk.rows for chunk in chunks], kept)

    def delete(self, ids: Sequence[str]) -> int:
        """How many there were."""
        return self._index.delete(ids)

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """By id."""
        return self._index.get(ids)

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """By id."""
        return self._index.rows(ids)

    def chunks(self, filter: Any) -> Iterator[list[Chunk]]:
        """All that fulfil a filter, some at a time."""
        yield from batches(self._index.chunks(filter), _TOGETHER)

    def search(self, queries: Sequence[TokenEmbeddings], k: int, filter: Any) -> list[list[Hit]]:
        """The best `k` of this shard for each query."""
        return self._index._search_many(queries, k, self._index._condition(filter)) if self.count() else []

    def persist(self) -> None:
        """Put everything acknowledged on disk."""
        self._index.persist()
