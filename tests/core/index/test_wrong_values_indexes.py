"""All arguments of the indexes on disk and in Qdrant x wrong types and values: a result, or an error that names it."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from page_images import ColourEncoder, painted
from wrong_values import Call, always, assert_done_or_refused, cases

from latelens import TilePooling
from latelens.index import Chunk, EncodedChunk, ExactIndex, RegionWords, TiledIndex, TwoStage
from latelens.pages import PageFiles

DIM = 16
STARTED = itertools.count()


def encoder() -> FakeEncoder:
    return FakeEncoder(dim=DIM)


def folder() -> Path:
    return Path(f"index{next(STARTED)}")


def client() -> Any:
    from qdrant_client import QdrantClient

    return QdrantClient(":memory:")


def lance(**given: Any) -> Any:
    from latelens.index import LanceIndex

    return LanceIndex(**{"encoder": encoder(), "path": folder(), **given})


def qdrant(**given: Any) -> Any:
    from latelens.index import QdrantIndex

    return QdrantIndex(**{"encoder": encoder(), "client": client(), "collection": "chunks", **given})


def plaid(**given: Any) -> Any:
    from latelens.index import PlaidIndex

    return PlaidIndex(**{"encoder": encoder(), "path": folder(), **given})


def exact(**given: Any) -> Any:
    return ExactIndex(**{"encoder": encoder(), **given})


def bm25(**given: Any) -> Any:
    from latelens.index import BM25

    return BM25(**given)


def storage(**given: Any) -> Any:
    from latelens.index import QdrantStorage

    return QdrantStorage(**given)


def stages(**given: Any) -> Any:
    first = exact()
    first.add([Chunk("a", "herds eat")])
    return TwoStage(**{"first_stage": first, "encoder": encoder(), **given})


COLOURS = ColourEncoder()


def tiled(**given: Any) -> Any:
    return TiledIndex(**{"pages": ExactIndex(COLOURS), **given})


def page() -> Chunk:
    rows = COLOURS.encode_pages([painted((40, 50), {"red": (0, 0, 10, 10)})])[0]
    return EncodedChunk("a", "", {"year": 2001}, "doc", rows=rows, fingerprint=COLOURS.fingerprint)


def text() -> Chunk:
    return Chunk("a", "herds eat", {"year": 2001}, "doc")


def filled(make: Callable[[], Any], chunk: Callable[[], Chunk]) -> Any:
    """One index for all calls that change nothing: opening one takes longer than asking it."""
    kept: list[Any] = []

    def there() -> Any:
        if not kept:
            kept.append(make())
            kept[0].add([chunk()])
        return kept[0]

    return there


def methods(name: str, make: Callable[[], Any], chunk: Callable[[], Chunk] = text) -> list[Call]:
    there = filled(make, chunk)

    def called(method: str) -> Callable[..., Any]:
        def call(**given: Any) -> Any:
            found = getattr(there(), method)(**given)
            return list(found) if method in ("ids", "chunks") else found

        return call

    def one() -> list[Chunk]:
        return [chunk()]

    arguments: dict[str, dict[str, Callable[[], Any]]] = {
        "add": {"chunks": one, "batch_size": always(3), "show_progress": always(False)},
        "upsert": {"chunks": one, "batch_size": always(3), "show_progress": always(False)},
        "replace_document": {"document_id": always("doc"), "chunks": one},
        "delete_document": {"document_id": always("other")},
        "search": {"query": always("eat"), "k": always(2), "filter": always(None)},
        "search_many": {"queries": always(["eat"]), "k": always(2), "filter": always(None)},
        "chunks": {"filter": always(None)},
        "ids": {"filter": always(None)},
        "delete": {"ids": always(["other"])},
        "get": {"ids": always(["a"])},
        "rows": {"ids": always(["a"])},
    }
    return [Call(f"{name}.{method}", called(method), right) for method, right in arguments.items()]


def made(name: str, call: Callable[..., Any], **right: Any) -> Call:
    return Call(
        name, call, {argument: value if callable(value) else always(value) for argument, value in right.items()}
    )


NEEDS = {"lance": "lancedb", "qdrant": "qdrant_client", "plaid": "pylate", "bm25": "bm25s"}
CALLS = [
    made("lance", lance, encoder=encoder, path=folder, mode="dense", index_from=10, candidates=5, probes=2),
    *methods("lance", lance),
    made("qdrant", qdrant, client=client, collection="c", storage=None, range_indexes=()),
    made("qdrant storage", storage, shards=None, replicas=None, write_replicas=None, on_disk=False, datatype="float32",
         quantization=None, pool=1, hnsw_m=0),
    *methods("qdrant", qdrant),
    made("plaid", plaid, path=folder, n_bits=4, build_from=10, oversampling=1.5, probes=2, cache=None,
         device="cpu"),
    *methods("plaid", plaid),
    *methods("exact", exact),
    made("tiled", tiled, pages=lambda: ExactIndex(COLOURS), tiles=lambda: ExactIndex(TilePooling(COLOURS)),
         candidates=5),
    made("tiles", TilePooling, encoder=lambda: COLOURS, side=2),
    *methods("tiled", tiled, page),
    made("stages", stages, first_stage=exact, encoder=encoder, candidates=5, cache=True, cross_encoder=None,
         read_again=2, rows=None, reads=None),
    made("region words", RegionWords, files=lambda: PageFiles([]), max_regions=2),
    made("stages.search", lambda **given: stages().search(**given), query="eat", k=1, filter=None),
    made("stages.search_many", lambda **given: stages().search_many(**given), queries=lambda: ["eat"], k=1,
         filter=None),
    made("bm25.add", lambda chunks: bm25().add(chunks), chunks=lambda: [Chunk("a", "b")]),
    made("bm25.delete", lambda ids: bm25().delete(ids), ids=lambda: ["a"]),
    made("bm25.candidates", lambda **given: bm25().candidates(**given), query="eat", k=1, filter=None),
]  # fmt: skip


@pytest.mark.parametrize(("call", "name"), cases(CALLS))
def test_a_wrong_value_gives_a_result_or_an_error_that_names_it(call: Call, name: str, tmp_path, monkeypatch) -> None:
    module = NEEDS.get(call.name.split(".")[0].split()[0])
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"no module {module}")
    monkeypatch.chdir(tmp_path)  # a text may be taken for a folder's name
    assert_done_or_refused(call, name)
