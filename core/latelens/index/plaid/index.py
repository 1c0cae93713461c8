"""`PlaidIndex`: PLAID's compressed rows find the candidates, and re-encoding their texts scores them exactly."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

try:
    import fast_plaid  # noqa: F401 - first, to say what is missing
except ModuleNotFoundError as error:
    if error.name != "fast_plaid":
        raise
    raise ImportError(
        "PlaidIndex needs PyLate, in an environment of its own: run `pip install 'latelens[pylate]'`"
    ) from error

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.encoders.cached import cached
from latelens.explanation.matches import explain
from latelens.index.arguments import check_ids
from latelens.index.filters import Condition, matches
from latelens.index.plaid.builder import PlaidBuilder
from latelens.index.plaid.folder import PlaidFolder
from latelens.index.plaid.store import ChunkStore, Generation, View
from latelens.index.plaid.waiting import Waiting, best
from latelens.index.protocol import Chunk, Hit
from latelens.index.token_index import TokenIndex, check_manifest, manifest_of, ranked
from latelens.paths import checked_folder
from latelens.refusals import check_count, check_is, check_number, check_one_of

__all__ = ["PlaidIndex"]

_KIND = "plaid"
_BITS = (1, 2, 4, 8)
_MOST_WAITING = 32_768  # chunks: bounds the memory of a build
_FEW_DELETED = 1000  # up to so many, that many more candidates are asked for; beyond, PLAID is told which are alive
_PATIENT_READS = 20


class PlaidIndex(TokenIndex):
    """Keeps a fraction of the rows: PLAID (Santhanam et al., CIKM 2022) as fast-plaid, in PyLate's environment.

    PLAID keeps each row as its nearest centroid and `n_bits` a dimension, finds candidates with that, and may miss
    some. The texts of the candidates are encoded again, so a hit's score and explanation are exact; what PLAID thought
    of it is ``hit.stages["plaid"]``, an approximation. Encoding again takes most of a search's time: a `cache` saves
    it for texts that are found again.

    Fewer than `build_from` chunks are compared one by one, with exact rows, as are new ones until there are enough
    to build PLAID or to change it, which happens at the end of an `add` or `upsert` and may take minutes. Everything
    acknowledged is on disk, whenever the process is killed; processes and threads may share the folder. Filters read
    the metadata of all chunks.

    Parameters
    ----------
    path
        The folder, made if it is not there. It holds the texts in the clear.
    n_bits
        1, 2, 4 or 8, of each dimension; None takes 4, or what an existing index has.
    build_from
        Chunks from which on PLAID is built.
    oversampling
        Candidates to encode again for each hit asked for. Of the true best 10 among 572 paragraphs of SQuAD (offline
        model, cut to 64 dimensions), 15 candidates hold .999 with 4 bits and .991 with 2; 10 hold .963 and .911.
    probes
        Centroids to look at for each row of a query; more find more and take longer.
    cache
        Keeps texts that were encoded again.
    device
        Where PLAID runs; None takes a GPU if there is one.

    Raises
    ------
    ValueError
        If the folder holds another kind of index, another encoder's or another number of bits.
    """

    def __init__(
        self,
        encoder: Encoder,
        path: str | os.PathLike[str],
        *,
        n_bits: int | None = None,
        build_from: int = 4096,
        oversampling: float = 1.5,
        probes: int = 8,
        cache: EmbeddingCache | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__(encoder)
        check_one_of("n_bits", n_bits, [*_BITS, None])
        check_count("build_from", build_from)
        check_count("probes", probes)
        check_number("oversampling", oversampling, 1, none="")
        check_is("cache", cache, (EmbeddingCache, type(None)), "an EmbeddingCache or None")
        check_is("device", device, (str, type(None)), "a str such as 'cuda' or None")
        self.path = checked_folder(path)
        self.build_from, self.oversampling, self.probes = build_from, oversampling, probes
        self.cache, self.device = cache, device
        self._waiting = Waiting()
        self._loaded: tuple[str, PlaidFolder] | None = None
        self._loader = threading.Lock()
        self._store = self._open(n_bits)
        self._builder = PlaidBuilder(self._store, self.path, n_bits=self.n_bits, build_from=build_from, device=device)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied, the folder is opened again."""
        opened = partial(
            PlaidIndex,
            n_bits=self.n_bits,
            build_from=self.build_from,
            oversampling=self.oversampling,
            probes=self.probes,
            cache=self.cache,
            device=self.device,
        )
        return opened, (self.encoder, self.path)

    @property
    def loss(self) -> str:
        """What is lost, in words; empty where it is nothing."""
        if self.count() == self._count_waiting():
            return ""
        return f"candidates are found with rows of {self.n_bits} bits a dimension, so a hit can be missed"

    def add(self, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> int:
        """As in every index; then PLAID is built or changed if enough chunks wait."""
        written = super().add(chunks, batch_size=batch_size, show_progress=show_progress)
        self._builder.settle()
        return written

    def upsert(self, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> int:
        """As in every index; then PLAID is built or changed if enough chunks wait."""
        written = super().upsert(chunks, batch_size=batch_size, show_progress=show_progress)
        self._builder.settle()
        return written

    def replace_document(self, document_id: str, chunks: Iterable[Chunk]) -> int:
        """As in every index; then PLAID is built or changed if enough chunks wait."""
        written = super().replace_document(document_id, chunks)
        self._builder.settle()
        return written

    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks and return how many there were; unknown ids are skipped."""
        check_ids(ids)
        with self._store.writing() as view:
            return view.delete(ids)

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The chunks with these ids, None where there is none."""
        check_ids(ids)
        with self._store.reading() as view:
            found = view.chunks(ids)
        return [found.get(id) for id in ids]

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The stored rows of the chunks with these ids; None where there are none, as for all that PLAID holds."""
        check_ids(ids)
        with self._store.reading() as view:
            found = view.rows_by_id(ids)
        return [found.get(id) for id in ids]

    def count(self) -> int:
        """How many chunks there are."""
        with self._store.reading() as view:
            return view.count()

    def build(self) -> None:
        """Let PLAID take in all that waits now; below 16 chunks in all there is nothing for it to learn from."""
        self._builder.settle(least=1)

    def rebuild(self) -> None:
        """Encode all texts again and build PLAID anew: after many changes, or damage to its folder."""
        with self._builder.alone():
            while rows := self._encoded_again():
                with self._store.writing() as view:
                    view.unplace(rows)
            with self._store.writing() as view:
                view.set("generation", None)
        self._builder.settle()

    def _open(self, n_bits: int | None) -> ChunkStore:
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"path must name a folder, but {str(self.path)!r} is a file; choose another place")
        if (self.path / "manifest.json").exists():
            other = json.loads((self.path / "manifest.json").read_bytes())
            check_manifest(other, self.encoder, _KIND, repr(str(self.path)))
        self.path.mkdir(parents=True, exist_ok=True)
        store = ChunkStore(self.path / "chunks.sqlite")
        with store.writing() as view:
            manifest = view.setting("manifest")
            if manifest is None:
                manifest = {**manifest_of(self.encoder, _KIND), "n_bits": n_bits or 4}
                view.set("manifest", manifest)
            check_manifest(manifest, self.encoder, _KIND, repr(str(self.path)))
            view.index_documents()
        if n_bits not in (None, manifest["n_bits"]):
            raise ValueError(
                f"{str(self.path)!r} was made with n_bits={manifest['n_bits']}, not {n_bits}; leave n_bits out, or "
                "choose another place"
            )
        self.n_bits = int(manifest["n_bits"])
        return store

    def _digests(self, ids: Sequence[str]) -> dict[str, str]:
        with self._store.reading() as view:
            return view.digests(ids)

    def _write(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], *, replace: bool) -> None:
        with self._store.writing() as view:
            view.insert(chunks, rows, replace=replace)
        self._builder.settle(least=_MOST_WAITING)

    def _exchange(
        self, document_id: str, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], kept: Mapping[str, str]
    ) -> int | None:
        with self._store.writing() as view:
            if view.digests(list(kept)) != kept:
                return None
            gone = view.delete(sorted({*view.of_document(document_id)} - {*kept, *(chunk.id for chunk in chunks)}))
            view.insert(chunks, rows, replace=True)
        return gone

    def _chunks(self, condition: Condition | None) -> Iterator[Chunk]:
        with self._store.reading() as view:
            for chunk in view.all():
                if condition is None or matches(condition, chunk.fields()):
                    yield chunk

    def _search(self, query: TokenEmbeddings, k: int, condition: Condition | None) -> list[Hit]:
        for attempt in range(_PATIENT_READS):
            try:
                with self._store.reading() as view:
                    exact, found = self._candidates(view, query, k, condition)
                break
            except FileNotFoundError as error:  # another process was quicker; or else it stays so
                if attempt == _PATIENT_READS - 1:
                    raise ValueError(
                        f"the PLAID folder in {str(self.path)!r} is damaged ({error}); `rebuild()` makes it anew from "
                        "the texts"
                    ) from error
        return ranked([*exact, *self._rescored(query, found)], k)

    def _candidates(
        self, view: View, query: TokenEmbeddings, k: int, condition: Condition | None
    ) -> tuple[list[Hit], list[tuple[Chunk, float | None]]]:
        """Exact hits among the waiting chunks, and chunks that PLAID found, with its scores."""
        waiting, placed = (None, None) if condition is None else view.matching(condition)
        explained = best(self._waiting.at(view), query, k, None if waiting is None else set(waiting))
        chunks = view.by("seq", [seq for seq, _ in explained])
        exact = [Hit(chunks[seq], explanation) for seq, explanation in explained]
        generation = view.generation()
        if generation is None:
            return exact, []
        limit = math.ceil(k * self.oversampling)
        scores: dict[int, float | None] = {}
        if placed is not None and len(placed) <= limit:  # nothing to choose
            scores = dict.fromkeys(placed)
        else:
            scores = dict(self._approximate(view, generation, query, limit, placed))
        found = view.by("position", list(scores))
        return exact, [(found[position], scores[position]) for position in scores if position in found][:limit]

    def _approximate(
        self, view: View, generation: Generation, query: TokenEmbeddings, limit: int, alive: list[int] | None
    ) -> list[tuple[int, float]]:
        deleted = generation.size - view.count("position IS NOT NULL")
        if alive is None and deleted > _FEW_DELETED:
            alive = [position for position, _ in view.placed()]
        asked = limit if alive is not None else min(limit + deleted, generation.size)
        return self._folder(generation).search(query.vectors, asked, probes=self.probes, alive=alive)

    def _rescored(self, query: TokenEmbeddings, found: Sequence[tuple[Chunk, float | None]]) -> list[Hit]:
        if not found:
            return []
        texts = [chunk.text for chunk, _ in found]
        rows = cached(self.encoder, self.cache).encode_documents(texts)
        return [
            Hit(chunk, explain(query, each), {} if score is None else {"plaid": score})
            for (chunk, score), each in zip(found, rows, strict=True)
        ]

    def _folder(self, generation: Generation) -> PlaidFolder:
        with self._loader:
            if self._loaded is None or self._loaded[0] != generation.name:
                self._loaded = generation.name, PlaidFolder(self.path / generation.name, self.device)
            return self._loaded[1]

    def _encoded_again(self) -> dict[int, TokenEmbeddings]:
        """Some of the chunks that PLAID holds, by ``seq``, while there are any."""
        with self._store.reading() as view:
            seqs = [seq for _, seq in islice(view.placed(), 256)]
            texts = {seq: chunk.text for seq, chunk in view.by("seq", seqs).items()}
        return dict(zip(texts, self.encoder.encode_documents(list(texts.values())), strict=True)) if texts else {}

    def _count_waiting(self) -> int:
        with self._store.reading() as view:
            return view.count("position IS NULL")
