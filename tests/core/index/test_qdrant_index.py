"""What only `QdrantIndex` does; `test_index.py` has what every index does."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from index_child import version

from latelens import Encoder, explain
from latelens.index import Chunk
from latelens.index.filters import matches, parse_filter

pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")

from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from qdrant_rest import RestServer

from latelens.index.qdrant import QdrantIndex, QdrantStorage, journal
from latelens.index.qdrant import collection as qdrant_collection
from latelens.index.qdrant import points as qdrant_points
from latelens.index.qdrant.filters import FACETS, NUMBERS, compile_filter, facets_of, numbers_of
from latelens.index.qdrant.storage import pooled, vectors_config

ANIMALS = [Chunk(f"a{i}", text) for i, text in enumerate(["red fox", "brown fox runs", "lazy dog", "cat", "red dog"])]


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder(dim=64)


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    monkeypatch.setattr(qdrant_collection, "_WAITS", (0.0, 0.0, 0.0))
    server = RestServer()
    yield server
    server.close()


def remote(server: RestServer) -> QdrantClient:
    return QdrantClient(url=server.url, check_compatibility=False)


# Filters

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**64, 10**400, -(10**400)]),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e300, float(2**53), 9.0e15]),
    st.sampled_from(["", "1", "true", "null", "a", "b", "A", "é", "e\u0301", "x" * 300, 'q"uote', "\0"]),
)
_KEYS = st.sampled_from(["k", "a.b", "a[0]", "a[]", 'q"k', "", "é", "0", "_x", "-k", "k k", "6b", "x" * 300])
_ORDERED = _VALUES | st.sampled_from([float("inf"), float("-inf"), float("nan"), "\ud800"])
_ONE = st.one_of(
    st.builds(lambda op, value: {op: value}, st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), _ORDERED),
    st.builds(lambda op, values: {op: values}, st.sampled_from(["$in", "$nin"]), st.lists(_ORDERED, max_size=3)),
    st.builds(lambda there: {"$exists": there}, st.booleans()),
)
_FILTERS = st.recursive(
    st.dictionaries(_KEYS, _ONE, max_size=2),
    lambda inner: (
        st.builds(
            lambda op, parts: {op: parts}, st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3)
        )
        | st.builds(lambda part: {"$not": part}, inner)
    ),
    max_leaves=4,
)
_METADATA = st.dictionaries(
    _KEYS, _VALUES | st.lists(_VALUES | st.lists(_VALUES, max_size=2), max_size=3) | st.just({"b": 1}), max_size=4
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filter=_FILTERS, many=st.lists(_METADATA, min_size=1, max_size=6))
@example(filter={"k": {"$gt": 2**53}}, many=[{"k": 2**53 + 1}])
@example(filter={"$not": {"k": {"$lt": "b"}}}, many=[{"k": "a"}, {"k": "c"}, {}])
def test_a_compiled_filter_lets_through_what_the_condition_does(filter: dict[str, Any], many: list[Any]) -> None:
    condition = parse_filter(filter)
    compiled = compile_filter(condition)
    client = QdrantClient(":memory:")
    client.create_collection("c", vectors_config={})
    client.upsert(
        "c",
        [
            models.PointStruct(id=i, vector={}, payload={FACETS: facets_of(each), NUMBERS: numbers_of(each)})
            for i, each in enumerate(many)
        ],
    )
    through = {point.id for point in client.scroll("c", scroll_filter=compiled.filter, limit=100)[0]}
    wanted = {i for i, each in enumerate(many) if matches(condition, each)}
    assert through == wanted if compiled.exact else through >= wanted


@pytest.mark.parametrize("filter", [{"k": {"$gt": "b"}}, {"k": {"$lte": 2**53}}, {"$not": {"k": {"$lt": "b"}}}])
def test_only_orders_of_strings_and_of_huge_numbers_are_left_to_the_client(filter: dict[str, Any]) -> None:
    assert not compile_filter(parse_filter(filter)).exact
    assert compile_filter(parse_filter({"k": {"$gt": 5, "$ne": None}, "other": "x"})).exact


def test_an_order_of_strings_is_found_page_by_page(
    client: QdrantClient, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant_collection, "_PAGE", 3)
    monkeypatch.setattr("latelens.index.qdrant.search._FILTER_IDS", 4)
    index = QdrantIndex(encoder, client, "c")
    index.add([Chunk(f"c{i:02}", f"word{i}", {"name": f"n{i:02}"}) for i in range(20)])
    hits = index.search("word15", 5, filter={"name": {"$gte": "n06", "$lt": "n17"}})
    assert [hit.chunk.id for hit in hits] == ["c15", "c06", "c07", "c08", "c09"]
    assert index.search("word1", 5, filter={"name": {"$gt": "z"}}) == []


# What finds the candidates, and what is lost


@pytest.mark.parametrize(
    ("storage", "loss"),
    [
        (QdrantStorage(), ""),
        (QdrantStorage(on_disk=True, shards=3, replicas=2, write_replicas=2), ""),
        (QdrantStorage(datatype="float16"), "stored as float16"),
        (QdrantStorage(quantization="scalar"), "8-bit integers"),
        (QdrantStorage(quantization="binary", pool=2), "one bit a dimension.*one mean row for about 2 similar"),
        (QdrantStorage(hnsw_m=16), "in a graph"),
    ],
    ids=str,
)
def test_storage_says_what_it_loses(encoder: FakeEncoder, storage: QdrantStorage, loss: str) -> None:
    index = QdrantIndex(encoder, QdrantClient(":memory:"), "c", storage=storage)
    assert re.search(loss, index.loss) if loss else index.loss == ""


def test_a_collection_is_made_as_asked(server: RestServer, encoder: FakeEncoder) -> None:
    storage = QdrantStorage(shards=6, replicas=2, write_replicas=2, datatype="float16", quantization="scalar", pool=3)
    QdrantIndex(encoder, remote(server), "c", storage=storage, range_indexes=["year", "a.b"])
    made = next(body for method, path, body in server.requests if method == "PUT" and path == "/collections/c")
    assert (made["shard_number"], made["replication_factor"], made["write_consistency_factor"]) == (6, 2, 2)
    whole, small = made["vectors"]["rows"], made["vectors"]["pooled"]
    assert whole["on_disk"]
    assert not small["on_disk"]
    for vectors in (whole, small):
        assert (vectors["size"], vectors["distance"], vectors["datatype"]) == (64, "Dot", "float16")
        assert vectors["hnsw_config"]["m"] == 0
        assert vectors["multivector_config"] == {"comparator": "max_sim"}
    assert small["quantization_config"]["scalar"]["type"] == "int8"
    assert whole.get("quantization_config") is None
    indexed = {
        body["field_name"]: body["field_schema"]["type"] for _, path, body in server.requests if "/index" in path
    }
    assert indexed == {"facets": "keyword", "numbers.year": "float", "numbers.-612e62": "float"}


def test_a_graph_is_built_over_what_is_searched_alone() -> None:
    config = vectors_config(QdrantStorage(pool=2, hnsw_m=16), 8)
    assert (config["rows"].hnsw_config.m, config["pooled"].hnsw_config.m) == (0, 16)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pool": 0}, "pool must be an int of at least 1, got 0"),
        ({"shards": True}, "shards must be an int of at least 1 or None, got True"),
        ({"hnsw_m": -1}, "hnsw_m must be an int of at least 0, got -1"),
        ({"datatype": "uint8"}, "datatype must be 'float32' or 'float16', got 'uint8'"),
        ({"quantization": "int4"}, "quantization must be 'scalar', 'binary' or None, got 'int4'"),
    ],
)
def test_a_storage_that_is_none_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        QdrantStorage(**wrong)


def test_pooling_joins_the_most_similar_rows() -> None:
    rows = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.6, 0.8]], dtype=np.float32)
    means = pooled(rows[[0, 0, 2, 2]], 2)
    assert sorted(means.tolist()) == [[0, 1], [1, 0]]
    assert pooled(rows, 3).shape == (2, 2)
    assert pooled(rows, 9).shape == (1, 2)
    assert pooled(rows, 1) is rows
    assert np.linalg.norm(pooled(rows, 3), axis=1) == pytest.approx(1)


@pytest.mark.parametrize("pool", [2, 4])
def test_pooled_rows_find_candidates_and_whole_rows_score_them(
    offline: Encoder, client: QdrantClient, pool: int
) -> None:
    texts = [
        "Elephants eat grass, leaves and bark for up to eighteen hours a day.",
        "The violin section tuned before the conductor walked on stage.",
        "Water boils at a lower temperature on a high mountain.",
        "A savings account pays interest on the money that it holds.",
    ]
    index = QdrantIndex(offline, client, "c", storage=QdrantStorage(pool=pool))
    index.add([Chunk(str(i), text) for i, text in enumerate(texts)])
    stored = client.scroll("c", with_vectors=True)[0][0].vector
    assert len(stored["pooled"]) == -(-len(stored["rows"]) // pool)
    query = offline.encode_queries(["What do elephants feed on?"])[0]
    hits = index.search("What do elephants feed on?", 2)
    assert hits[0].chunk.id == "0"
    for hit in hits:
        assert hit.score == pytest.approx(explain(query, offline.encode_documents([hit.chunk.text])[0]).score, abs=1e-4)
        assert hit.score == sum(match.similarity for match in hit.explanation.matches)


def test_quantized_rows_are_oversampled_and_scored_anew_by_the_server(server: RestServer, encoder: FakeEncoder) -> None:
    for name, storage in (
        ("q", QdrantStorage(quantization="binary")),
        ("p", QdrantStorage(quantization="scalar", pool=2)),
    ):
        index = QdrantIndex(encoder, remote(server), name, storage=storage)
        index.add(ANIMALS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # local mode behind the server compares all rows, and says so
            assert index.search("red fox", 1)[0].chunk.id == "a0"
        asked = next(body for _, path, body in reversed(server.requests) if path.endswith("/query"))
        first = asked["prefetch"][0] if storage.pool > 1 else asked
        assert first["params"]["quantization"] == {"rescore": True, "oversampling": 8.0}
        assert first["using"] == ("pooled" if storage.pool > 1 else "rows")
        assert asked["using"] == "rows"


def test_equal_scores_are_taken_in_the_order_of_ids(client: QdrantClient, encoder: FakeEncoder) -> None:
    index = QdrantIndex(encoder, client, "c")
    index.add([Chunk(f"c{i:03}", "the same text") for i in reversed(range(300))])
    assert [hit.chunk.id for hit in index.search("same", 20)] == [f"c{i:03}" for i in range(20)]


# Whose collection it is


def test_a_collection_of_somebody_else_is_refused_and_left_alone(client: QdrantClient, encoder: FakeEncoder) -> None:
    client.create_collection("theirs", vectors_config=models.VectorParams(size=64, distance=models.Distance.DOT))
    with pytest.raises(ValueError, match="'theirs' was not made by QdrantIndex; choose another name"):
        QdrantIndex(encoder, client, "theirs")
    assert client.collection_exists("theirs")


def test_another_model_dimension_or_storage_is_refused(client: QdrantClient, encoder: FakeEncoder) -> None:
    QdrantIndex(encoder, client, "c", storage=QdrantStorage(pool=2)).add(ANIMALS)
    with pytest.raises(ValueError, match=r"filled by 'fake'.*'other'"):
        QdrantIndex(FakeEncoder("other", 64), client, "c")
    with pytest.raises(ValueError, match=r"collection 'c' was made with QdrantStorage\(.*pool=2.* not .*pool=3"):
        QdrantIndex(encoder, client, "c", storage=QdrantStorage(pool=3))
    assert QdrantIndex(encoder, client, "c").storage == QdrantStorage(pool=2)


def test_a_collection_with_other_vectors_than_it_says_is_refused(client: QdrantClient, encoder: FakeEncoder) -> None:
    manifest = QdrantIndex(encoder, client, "c").client.get_collection("c").config.metadata
    client.create_collection("d", vectors_config=vectors_config(QdrantStorage(), 32), metadata=manifest)
    with pytest.raises(ValueError, match="'d' holds rows of dimension 32, and the encoder 'fake' gives 64"):
        QdrantIndex(encoder, client, "d")


def test_a_server_that_keeps_no_metadata_is_named_and_the_empty_collection_removed(
    server: RestServer, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = QdrantClient.create_collection
    monkeypatch.setattr(QdrantClient, "create_collection", lambda *at, **how: create(*at, **{**how, "metadata": None}))
    client = remote(server)
    with pytest.raises(RuntimeError, match=r"Qdrant 1\.16 or later"):
        QdrantIndex(encoder, client, "c")
    assert not client.collection_exists("c")


def test_two_who_make_the_same_collection_at_once_share_it(server: RestServer, encoder: FakeEncoder) -> None:
    first = QdrantIndex(encoder, remote(server), "c")
    second = qdrant_collection.QdrantCollection(remote(server), "c")
    assert second.create(QdrantStorage(), 64, {}) is False
    first.add(ANIMALS)
    assert QdrantIndex(encoder, remote(server), "c").count() == len(ANIMALS)


def test_an_alias_is_as_good_as_a_name(client: QdrantClient, encoder: FakeEncoder) -> None:
    QdrantIndex(encoder, client, "c").add(ANIMALS)
    alias = models.CreateAlias(collection_name="c", alias_name="current")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    assert QdrantIndex(encoder, client, "current").search("cat", 1)[0].chunk.id == "a3"


# Over the network


def test_over_the_network_everything_is_as_in_local_mode(
    server: RestServer, client: QdrantClient, encoder: FakeEncoder
) -> None:
    chunks = [Chunk(f"c{i} ü", f"word{i % 4} end", {"i": i, "name": f"n{i}", "big": 2**70}) for i in range(12)]
    there, here = QdrantIndex(encoder, remote(server), "c"), QdrantIndex(encoder, client, "c")
    for index in (there, here):
        assert index.add(chunks, batch_size=5) == 12
        assert index.upsert([Chunk("c0 ü", "word1 new", {"i": 0})]) == 1
        assert index.delete(["c1 ü", "none"]) == 1
    for filter in (None, {"i": {"$gt": 4}}, {"name": {"$lt": "n3"}}, {"big": 2**70}, {"$not": {"i": 8}}):
        one, other = (index.search("word1 new", 4, filter=filter) for index in (there, here))
        assert [(hit.chunk, hit.score) for hit in one] == [(hit.chunk, hit.score) for hit in other]
        for hit in one:
            assert (
                hit.explanation.document.vectors.tolist()
                == encoder.encode_documents([hit.chunk.text])[0].vectors.tolist()
            )
    assert there.get(["c2 ü", "c1 ü"]) == here.get(["c2 ü", "c1 ü"]) == [chunks[2], None]
    assert there.count() == here.count() == 11


@pytest.mark.parametrize("applied", [False, True], ids=["lost", "answer lost"])
def test_a_failure_that_passes_is_waited_out(server: RestServer, encoder: FakeEncoder, applied: bool) -> None:
    index = QdrantIndex(encoder, remote(server), "c")
    server.failures, server.applied = [503, 500, 504], applied
    assert index.add(ANIMALS) == len(ANIMALS)
    assert index.count() == len(ANIMALS)


def test_an_upload_that_fails_midway_is_run_again_without_encoding_twice(
    server: RestServer, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = [Chunk(f"c{i}", f"word{i}") for i in range(10)]
    index = QdrantIndex(encoder, remote(server), "c")

    def stream() -> Iterator[Chunk]:
        for i, chunk in enumerate(chunks):
            if i == 6:
                server.failures = [503] * 8
            yield chunk

    with pytest.raises(ConnectionError, match=rf"Qdrant at {server.url} did not answer (?s:.*)timeout=60"):
        index.add(stream(), batch_size=3)
    server.failures = []
    assert index.count() == 6
    encoder.encoded.clear()
    assert index.add(chunks, batch_size=3) == 4
    assert encoder.encoded == [f"word{i}" for i in range(6, 10)]
    assert index.count() == 10


def test_what_does_not_pass_is_not_tried_again(server: RestServer, encoder: FakeEncoder) -> None:
    index = QdrantIndex(encoder, remote(server), "c")
    server.failures, server.failing = [403, 200], "/count"
    with pytest.raises(Exception, match="403"):
        index.count()
    assert server.failures == [200]


def test_a_batch_is_sent_in_requests_that_a_server_takes(server: RestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = FakeEncoder(dim=64)
    monkeypatch.setattr(qdrant_points, "_REQUEST_BYTES", 20_000)
    index = QdrantIndex(encoder, remote(server), "c")
    index.add([Chunk(f"c{i}", " ".join(f"w{j}" for j in range(9))) for i in range(8)] + [Chunk("long", "text " * 5000)])
    sent = [
        len(body["points"])
        for method, path, body in server.requests
        if (method, path) == ("PUT", "/collections/c/points")
    ]
    assert sent == [1] * 9
    assert index.count() == 9


def test_a_chunk_that_no_server_takes_is_refused_before_anything_is_sent(
    server: RestServer, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant_points, "_POINT_FLOATS", 640)
    index = QdrantIndex(encoder, remote(server), "c")
    with pytest.raises(
        ValueError, match="'long' has 13 rows of dimension 64, and Qdrant takes at most 10 in one point"
    ):
        index.add([ANIMALS[0], Chunk("long", "w " * 12)])
    assert index.count() == 0


def test_a_server_that_is_not_there_is_said_at_once(encoder: FakeEncoder) -> None:
    began = time.perf_counter()
    with pytest.raises(ConnectionError, match=r"Qdrant at http://127\.0\.0\.1:9 did not answer.*check that it runs"):
        QdrantIndex(encoder, QdrantClient(url="http://127.0.0.1:9", check_compatibility=False), "c")
    assert time.perf_counter() - began < 3


def test_what_is_written_can_be_searched_when_the_call_returns(server: RestServer, encoder: FakeEncoder) -> None:
    index = QdrantIndex(encoder, remote(server), "c")
    unapplied = models.UpdateResult(operation_id=1, status=models.UpdateStatus.ACKNOWLEDGED)
    index.client.upsert = lambda *at, **how: unapplied
    with pytest.raises(ConnectionError, match="has not applied it"):
        index.add(ANIMALS)


# Its place in the package


class Interposed:
    """Does something after each request to a server, or fails all requests from one on."""

    def __init__(self, server: RestServer) -> None:
        self.after: Callable[[], None] | None = None
        self.left: int | None = None
        self.refused: str | None = None  # a text that no point may hold
        self._answer = server.answer
        server.answer = self.answer  # type: ignore[method-assign]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self.refused is not None and self.refused in str(body):
            return 400, {"status": {"error": f"{self.refused} is refused"}}
        if self.left is not None:
            if not self.left:
                return 403, {"status": {"error": "the writer is dead"}}
            self.left -= 1
        answered = self._answer(method, path, body)
        if (after := self.after) is not None:
            self.after = None  # requests of its own are left alone
            after()
            self.after = after
        return answered


def version_seen(index: QdrantIndex) -> int:
    """The one version of the document that an index finds, gets, lists and counts."""
    found = {hit.chunk.id: hit.chunk for hit in index.search("version part", 100)}
    (v,) = {chunk.metadata["v"] for chunk in found.values() if chunk.metadata}
    expected = {chunk.id: chunk for chunk in version(v)}
    ids = sorted({chunk.id for w in range(4) for chunk in version(w)})
    assert found == expected
    assert index.get(ids) == [expected.get(id) for id in ids]
    assert {chunk.id: chunk for chunk in index.chunks()} == expected
    assert index.count() == len(expected)
    assert sorted(index.ids({"v": {"$gt": -1}, "$id": {"$gt": "a"}})) == sorted(expected.keys() - {"doc"})
    return int(v)


def test_a_reader_sees_a_document_before_or_after_at_every_step_of_its_writer(
    server: RestServer, encoder: FakeEncoder
) -> None:
    writer, reader = (QdrantIndex(encoder, remote(server), "chunks") for _ in range(2))
    writer.replace_document("doc", version(1))
    seen: list[int] = []
    Interposed(server).after = lambda: seen.append(version_seen(reader))
    writer.replace_document("doc", version(2))
    assert seen == sorted(seen)
    assert seen.count(1) > 3
    assert seen.count(2) > 2


@pytest.mark.parametrize("step", range(1, 8))
def test_a_document_that_is_replaced_during_a_search_is_found_before_or_after(
    server: RestServer, encoder: FakeEncoder, step: int
) -> None:
    writer, reader = (QdrantIndex(encoder, remote(server), "chunks") for _ in range(2))
    writer.replace_document("doc", version(1))
    steps = Interposed(server)
    calls = iter(range(1, 100))

    def replace_once() -> None:
        if next(calls) == step:
            writer.replace_document("doc", version(2))

    steps.after = replace_once
    found = {hit.chunk.id: hit.chunk for hit in reader.search("version part", 100)}
    assert found in [{chunk.id: chunk for chunk in version(v)} for v in (1, 2)]
    assert next(calls) > min(step, 4)


def test_a_writer_that_dies_at_any_step_leaves_the_document_before_or_after(
    server: RestServer, encoder: FakeEncoder
) -> None:
    index = QdrantIndex(encoder, remote(server), "chunks")
    steps = Interposed(server)
    seen = []
    for left in range(30):
        index.replace_document("doc", version(1))
        steps.left = left
        with suppress(UnexpectedResponse):
            index.replace_document("doc", version(2))
        steps.left = None
        seen.append(version_seen(QdrantIndex(encoder, remote(server), "chunks")))
        if left % 2:  # another write finishes what was left
            index.upsert([version(seen[-1])[0]])
            index.add([Chunk("more", "text")])
            index.delete(["more"])
            assert version_seen(index) == seen[-1]
    assert seen == sorted(seen)
    assert set(seen) == {1, 2}


def test_a_replacement_that_fails_is_withdrawn(server: RestServer, encoder: FakeEncoder) -> None:
    index = QdrantIndex(encoder, remote(server), "chunks")
    index.replace_document("doc", version(1))
    points = index.client.count("chunks").count
    Interposed(server).refused = "version2 end"
    with pytest.raises(UnexpectedResponse, match="is refused"):
        index.replace_document("doc", version(2))
    assert version_seen(index) == 1
    assert index.client.count("chunks").count == points


def test_what_a_dead_writer_left_is_deleted_a_day_later(
    server: RestServer, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = QdrantIndex(encoder, remote(server), "chunks")
    index.replace_document("doc", version(1))
    points = index.client.count("chunks").count
    steps = Interposed(server)
    for left in range(20):
        steps.left = left
        with pytest.raises(UnexpectedResponse):
            index.replace_document("doc", version(2))
        steps.left = None
        if index.client.count("chunks").count > points + 1:  # more than a note
            break
    index.delete(["no such"])
    assert index.client.count("chunks").count > points
    monkeypatch.setattr(journal, "_DEAD_AFTER", -1.0)
    index.delete(["no such"])
    assert index.client.count("chunks").count == points
    assert version_seen(index) == 1


def test_a_reader_gives_up_where_documents_are_replaced_without_a_pause(
    server: RestServer, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qdrant_collection, "_TRIES", 3)
    writer, reader = (QdrantIndex(encoder, remote(server), "chunks") for _ in range(2))
    writer.replace_document("doc", version(1))
    versions = iter(range(2, 100))
    Interposed(server).after = lambda: writer.replace_document("doc", version(next(versions))) and None
    with pytest.raises(TimeoutError, match="'chunks' are being replaced without a pause"):
        reader.search("version")


def test_two_indexes_on_one_local_client_take_turns(client: QdrantClient) -> None:
    one, other = (qdrant_collection.QdrantCollection(client, name) for name in "ab")
    assert one.turn is other.turn
    assert qdrant_collection.QdrantCollection(QdrantClient(":memory:"), "a").turn is not one.turn


@pytest.mark.parametrize(
    ("module", "needed", "extra"), [("qdrant", "qdrant_client", "qdrant"), ("plaid", "fast_plaid", "pylate")]
)
def test_a_missing_engine_is_named_with_its_command(module: str, needed: str, extra: str) -> None:
    code = f"import sys; sys.modules[{needed!r}] = None; import latelens.index.{module}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stderr.strip().splitlines()[-1].startswith("ImportError: ")
    assert f"`pip install 'latelens[{extra}]'`" in ran.stderr


def test_range_indexes_are_a_list(client: QdrantClient, encoder: FakeEncoder) -> None:
    with pytest.raises(TypeError, match="range_indexes must be a sequence of str, got one str: 'year'"):
        QdrantIndex(encoder, client, "c", range_indexes="year")


@pytest.mark.parametrize("client", ["http://localhost:6333", AsyncQdrantClient(":memory:")], ids=["url", "async"])
def test_what_is_no_client_is_refused(client: Any, encoder: FakeEncoder) -> None:
    with pytest.raises(TypeError, match=r"client must be a qdrant_client\.QdrantClient, got .*make one, such as"):
        QdrantIndex(encoder, client, "c")


def test_one_id_is_not_a_list_of_ids(client: QdrantClient, encoder: FakeEncoder) -> None:
    index = QdrantIndex(encoder, client, "c")
    for ask in (index.get, index.delete):
        with pytest.raises(TypeError, match="got one str: 'fox'; put it in a list"):
            ask("fox")
