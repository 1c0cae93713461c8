"""`ShardedIndex`: chunks spread over several indexes, each in a process of its own, on one machine or many."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.arguments import check_count, check_ids
from latelens.index.exact import ExactIndex
from latelens.index.filters import Condition
from latelens.index.protocol import Chunk, EncodedChunk, Filter, Hit
from latelens.index.sharded.shards import Shards
from latelens.index.sharded.worker import KnownEncoder, Open
from latelens.index.token_index import TokenIndex, check_manifest, manifest_of, ranked
from latelens.paths import checked_folder
from latelens.refusals import check_is, check_number, described

_KIND = "sharded"


class ShardedIndex(TokenIndex):
    """Spreads chunks over indexes in processes of their own, and searches them as one.

    A chunk goes to a shard by its document, or by its id where it has none, so that `replace_document` stays atomic.
    This process encodes; each shard scores its own chunks, and the best of all are merged: scores are exact MaxSim, so
    they compare. The shards are Ray actors. One whose process is lost is started again from its folder and asked again;
    where that fails, or takes too long, an error names the shard: an answer without some of the shards is never given.

    A chunk that an `upsert` moves to another document may be found twice for a moment, and after a writer was killed
    in that moment, until it is written again.

    Parameters
    ----------
    encoder
        From `load_encoder`.
    folder
        Holds a folder for each shard. On more than one machine it must be where all of them see it, or `options` must
        bind each shard to its machine.
    shards
        How many; None takes as many as the folder has.
    open
        ``open(encoder, folder)`` makes a shard's index: `ExactIndex`, `LanceIndex`, or ``partial(LanceIndex, ...)``.
    timeout
        Seconds that a shard has for an answer.
    options
        Ray's, for each actor, such as ``{"num_cpus": 2}``.

    Raises
    ------
    ImportError
        If Ray is missing: ``pip install 'latelens[ray]'``.
    ValueError
        If the folder has another number of shards, or another encoder's rows.
    """

    def __init__(
        self,
        encoder: Encoder,
        folder: str | os.PathLike[str],
        shards: int | None = None,
        *,
        open: Open = ExactIndex,
        timeout: float = 300,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(encoder)
        check_number("timeout", timeout, 0, none="")
        if not callable(open):
            raise TypeError(
                f"open must be a function of an encoder and a folder, such as ExactIndex, got {described(open)}"
            )
        check_is("options", options, (Mapping, type(None)), "a dict of Ray's options for an actor, or None")
        self.path = checked_folder(folder).resolve()
        known = self._known()
        count = _count(shards, known, self.path)
        places = [self.path / f"shard-{i}" for i in range(count)]
        named = KnownEncoder(encoder.name, encoder.fingerprint, encoder.dim)
        self._opened = partial(ShardedIndex, shards=count, open=open, timeout=timeout, options=options)
        self._shards = Shards(open, named, places, timeout, options or {})
        if known is None:
            self._shards.all("create")
            self._remember(count)
        self.count()  # so that a folder that cannot be opened says so here

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied, the folder is opened again, by processes of its own."""
        return self._opened, (self.encoder, self.path)

    def __repr__(self) -> str:
        shards = len(self._shards)
        return f"ShardedIndex({self.encoder.name!r}, path={str(self.path)!r}, shards={shards}, count={self.count()})"

    def close(self) -> None:
        """End the shards' processes; they also end with this one."""
        self._shards.close()

    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks and return how many there were; unknown ids are skipped."""
        check_ids(ids)
        return sum(self._shards.all("delete", list(ids)))

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The chunks with these ids, None where there is none."""
        check_ids(ids)
        return _first_found(self._shards.all("get", list(ids)))

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The stored rows of the chunks with these ids, None where there are none."""
        check_ids(ids)
        return _first_found(self._shards.all("rows", list(ids)))

    def count(self) -> int:
        """How many chunks there are."""
        return sum(self._shards.all("count"))

    def persist(self) -> None:
        """Put everything acknowledged on disk."""
        self._shards.all("persist")

    def _digests(self, ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for some in self._shards.all("digests", list(ids)):
            # What two shards hold, after a writer was killed, counts as changed: written again, one of them goes.
            found |= {id: one if id not in found else "" for id, one in some.items()}
        return found

    def _write(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], *, replace: bool) -> None:
        parts: dict[int, list[EncodedChunk]] = {}
        for chunk in self._encoded(chunks, rows):
            parts.setdefault(self._home(chunk.document_id or chunk.id), []).append(chunk)
        self._shards.some("write", {i: (part,) for i, part in parts.items()}, replace=replace)
        if replace:
            elsewhere = (
                [chunk.id for j, part in parts.items() if j != i for chunk in part] for i in range(len(self._shards))
            )
            self._shards.some("delete", {i: (ids,) for i, ids in enumerate(elsewhere) if ids})

    def _exchange(
        self, document_id: str, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], kept: Mapping[str, str]
    ) -> int | None:
        home = self._home(document_id)
        encoded = self._encoded(chunks, rows)
        [deleted] = self._shards.some("exchange", {home: (document_id, encoded, dict(kept))})
        return None if deleted is None else int(deleted)

    def _chunks(self, condition: Condition | None) -> Iterator[Chunk]:
        return (chunk for some in self._shards.stream("chunks", condition) for chunk in some)

    def _search(self, query: TokenEmbeddings, k: int, condition: Condition | None) -> list[Hit]:
        return self._search_many([query], k, condition)[0]

    def _search_many(self, queries: Sequence[TokenEmbeddings], k: int, condition: Condition | None) -> list[list[Hit]]:
        answers = [answer for answer in self._shards.all("search", list(queries), k, condition) if answer]
        found = [ranked((hit for answer in answers for hit in answer[i]), k) for i in range(len(queries))]
        # Each shard sends a query of its own back: hits of one question have one query, as everywhere.
        return [
            [replace(hit, explanation=replace(hit.explanation, query=query)) for hit in hits]
            for query, hits in zip(queries, found, strict=True)
        ]

    def _condition(self, filter: Filter | str | None) -> Any:
        """The filter as it is given, for the shards to read: some kinds know SQL."""
        if not isinstance(filter, str):
            super()._condition(filter)
        return filter

    def _home(self, key: str) -> int:
        """The shard of a document, or of a chunk without one."""
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") % len(self._shards)

    def _encoded(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings]) -> list[EncodedChunk]:
        fingerprint = self.encoder.fingerprint
        return [
            EncodedChunk(chunk.id, chunk.text, chunk.metadata, chunk.document_id, rows=one, fingerprint=fingerprint)
            for chunk, one in zip(chunks, rows, strict=True)
        ]

    def _known(self) -> int | None:
        """How many shards the folder has; None where there are none yet."""
        try:
            found = json.loads((self.path / "shards.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        check_manifest(found, self.encoder, _KIND, f"the folder {str(self.path)!r}")
        return int(found["shards"])

    def _remember(self, count: int) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = self.path / "shards.json.tmp"
        temporary.write_text(json.dumps({**manifest_of(self.encoder, _KIND), "shards": count}), encoding="utf-8")
        temporary.replace(self.path / "shards.json")


def _count(asked: int | None, known: int | None, path: Path) -> int:
    if asked is not None:
        check_count("shards", asked)
    if known is not None and asked not in (None, known):
        raise ValueError(
            f"the folder {str(path)!r} has {known} shards, got shards={asked}; leave `shards` out, or add the chunks "
            "to a new folder: a chunk's place depends on the number"
        )
    if asked is None and known is None:
        raise ValueError(f"there are no shards in {str(path)!r} yet; say how many with shards=, or correct the path")
    return known or asked or 1


def _first_found(answers: Sequence[Sequence[Any]]) -> list[Any]:
    return [next((one for one in each if one is not None), None) for each in zip(*answers, strict=True)]
