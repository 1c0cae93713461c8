"""`TiledIndex`: many page images, found by tiles of their patches and scored by all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tqdm.auto import tqdm

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.encoders.protocol import page_encoder
from latelens.encoders.tile_pooling import TilePooling, pool_tiles
from latelens.explanation.matches import explain
from latelens.index.arguments import check_count
from latelens.index.batches import batches
from latelens.index.exact import ExactIndex
from latelens.index.filters import Condition, matches, parse_filter
from latelens.index.protocol import Chunk, EncodedChunk, Filter, Hit, Index
from latelens.index.scoring import exact_score
from latelens.index.token_index import digest
from latelens.refusals import check_is, check_several

TILES = "tiles"
# How many pages to score exactly, where nobody says: so many, or one in so many.
_CANDIDATES, _SHARE = 100, 10
_AT_ONCE = 64  # pages whose rows are read at a time: 34 MB at 1,030 rows


class TiledIndex:
    """An index of page images that finds candidates by a fraction of their rows and scores them by all of them.

    For thousands of pages, where scoring every patch takes long. Scores, order and explanations are those of whole
    rows; a page may be missed, so `candidates` are many more than a search wants. `Hit.stages` says what the tiles
    gave. It is an `Index`: what is added, replaced or deleted here is so in both. A process that was killed between
    the two leaves pages that are not found until `catch_up`; nothing else goes wrong, as the pages alone count.

    Parameters
    ----------
    pages
        An index of whole rows, of a model of ColPali's family: what is stored.
    tiles
        An index with the encoder ``TilePooling(pages.encoder)``, which is kept in step with `pages`; None makes an
        `ExactIndex` in memory from what is stored.
    candidates
        How many pages to score exactly; at least as many as a search wants. None takes 100, beyond 1,000 pages a tenth
        of them: the tiles of 4,000 made pages had .83 of the best ten among their first 100, those of 1,000 .99.

    Raises
    ------
    TypeError, ValueError
        If the model of `pages` reads texts, or `tiles` has another encoder.
    """

    def __init__(self, pages: Index, tiles: Index | None = None, *, candidates: int | None = None) -> None:
        check_is("pages", pages, Index, "an index of latelens.index")
        if candidates is not None:
            check_count("candidates", candidates)
        page_encoder(pages.encoder)  # refuses a model for texts
        self.pages, self.candidates = pages, candidates
        self.tiles = ExactIndex(TilePooling(pages.encoder)) if tiles is None else tiles
        self._pooling = _pooling_of(self.tiles, pages)
        if tiles is None:
            self.catch_up()

    def __repr__(self) -> str:
        return f"TiledIndex({self.pages!r}, {self._pooling.side} x {self._pooling.side}, candidates={self.candidates})"

    def __len__(self) -> int:
        return self.count()

    @property
    def encoder(self) -> Encoder:
        """That of the pages."""
        return self.pages.encoder

    def catch_up(self) -> int:
        """Make tiles for pages that have none, drop those that have no page, and return how many were made."""
        tiles = {chunk.id: digest(chunk) for chunk in self.tiles.chunks()}
        known = dict.fromkeys(self.pages.ids())
        self.tiles.delete([id for id in tiles if id not in known])
        behind = (chunk.id for chunk in self.pages.chunks() if tiles.get(chunk.id) != digest(chunk))
        return sum(self._follow(ids) for ids in batches(behind, _AT_ONCE))

    def search(self, query: str, k: int = 10, *, filter: Filter | None = None) -> list[Hit]:
        """The best `k` pages of the candidates by MaxSim, best first; equal scores in the order of their ids."""
        check_is("query", query, str, "a str")
        return self.search_many([query], k, filter=filter)[0]

    def search_many(self, queries: Sequence[str], k: int = 10, *, filter: Filter | None = None) -> list[list[Hit]]:
        """`search` for each query, encoding all of them at once."""
        check_count("k", k)
        condition = None if filter is None else parse_filter(filter)
        usual = max(_CANDIDATES, self.tiles.count() // _SHARE) if self.candidates is None else self.candidates
        found = self.tiles.search_many(queries, max(usual, k), filter=filter)
        return [self._best(hits, k, condition) for hits in found]

    def add(self, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> int:
        """Add pages with new ids, as `EncodedChunk`s; those that are stored already, unchanged, are skipped."""
        return self._load(chunks, batch_size, show_progress, replace=False)

    def upsert(self, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> int:
        """Add pages, as `EncodedChunk`s, replacing those with the same ids."""
        return self._load(chunks, batch_size, show_progress, replace=True)

    def replace_document(self, document_id: str, chunks: Iterable[Chunk]) -> int:
        """Put pages in the place of all that a document had."""
        written = self.pages.replace_document(document_id, chunks)
        own: Filter = {"$document_id": document_id}
        ids = list(self.pages.ids(own))
        self.tiles.delete(sorted({*self.tiles.ids(own)} - {*ids}))
        for some in batches(ids, _AT_ONCE):
            self._follow(some)
        return written

    def delete_document(self, document_id: str) -> int:
        """Delete all pages of a document and return how many there were."""
        gone = self.pages.delete_document(document_id)
        self.tiles.delete_document(document_id)
        return gone

    def delete(self, ids: Sequence[str]) -> int:
        """Delete pages and return how many there were; unknown ids are skipped."""
        gone = self.pages.delete(ids)
        self.tiles.delete(ids)
        return gone

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The pages with these ids, None where there is none."""
        return self.pages.get(ids)

    def ids(self, filter: Filter | None = None) -> Iterator[str]:
        """The ids of all pages, or of those that fulfil a filter, in no particular order."""
        return self.pages.ids(filter)

    def chunks(self, filter: Filter | None = None) -> Iterator[Chunk]:
        """All pages, or those that fulfil a filter, in no particular order; streamed."""
        return self.pages.chunks(filter)

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The whole rows of the pages with these ids, None where there are none."""
        return self.pages.rows(ids)

    def count(self) -> int:
        """How many pages there are."""
        return self.pages.count()

    def persist(self) -> None:
        """Put everything acknowledged on disk; does nothing where every write already is."""
        for index in (self.pages, self.tiles):
            index.persist()

    def _best(self, found: Sequence[Hit], k: int, condition: Condition | None) -> list[Hit]:
        """The best of the candidates by whole rows, of those that are still there and fulfil the condition."""
        ids, scored = [hit.chunk.id for hit in found], []
        for hit, chunk, rows in zip(found, self.pages.get(ids), self.pages.rows(ids), strict=True):
            if chunk is not None and rows is not None and (condition is None or matches(condition, chunk.fields())):
                scored.append((-exact_score(hit.explanation.query.vectors, rows.vectors), chunk.id, hit, chunk, rows))
        best = sorted(scored, key=lambda each: each[:2])[:k]
        return [Hit(chunk, explain(hit.explanation.query, rows), {TILES: hit.score}) for _, _, hit, chunk, rows in best]

    def _load(self, chunks: Iterable[Chunk], batch_size: int, show_progress: bool, *, replace: bool) -> int:
        check_several("chunks", chunks, "Chunks")
        check_count("batch_size", batch_size)
        check_is("show_progress", show_progress, bool, "True or False")
        written, put = 0, self.pages.upsert if replace else self.pages.add
        total = len(chunks) if isinstance(chunks, Sequence) else None
        with tqdm(total=total, desc="Indexing", unit="page", disable=not show_progress) as progress:
            for batch in batches(chunks, min(batch_size, _AT_ONCE)):
                written += put(batch)
                self._follow([chunk.id for chunk in batch])
                progress.update(len(batch))
        return written

    def _follow(self, ids: Sequence[str]) -> int:
        """Bring the tiles of some pages in step, and return how many were made."""
        stored = zip(self.pages.get(ids), self.tiles.get(ids), strict=True)
        behind = [page for page, tiles in stored if page and (tiles is None or digest(page) != digest(tiles))]
        rows = self.pages.rows([page.id for page in behind])
        return self.tiles.upsert(
            EncodedChunk(
                page.id,
                page.text,
                page.metadata,
                page.document_id,
                rows=pool_tiles(own, side=self._pooling.side),
                fingerprint=self._pooling.fingerprint,
            )
            for page, own in zip(behind, rows, strict=True)
            if own is not None
        )


def _pooling_of(tiles: Index, pages: Index) -> TilePooling:
    check_is("tiles", tiles, Index, "an index of latelens.index")
    pooling = tiles.encoder
    same = isinstance(pooling, TilePooling) and pooling.encoder.fingerprint == pages.encoder.fingerprint
    if not isinstance(pooling, TilePooling) or not same:
        raise ValueError(
            f"tiles must be an index with the encoder TilePooling(pages.encoder), got that of {pooling.name!r}"
        )
    return pooling
