"""What `ExactIndex` does beyond `test_index.py`: its arithmetic, its folder, and what happens to it."""

from __future__ import annotations

import gc
import json
import os
import pickle
import random
import shutil
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import near_ties
import numpy as np
import pytest
from fake_encoder import FakeEncoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

import latelens.index.exact.folder
import latelens.index.exact.index
import latelens.index.exact.merging
import latelens.index.exact.scoring
import latelens.shortlist
from latelens import TokenEmbeddings, explain
from latelens.index import Chunk
from latelens.index.exact import ExactIndex
from latelens.index.exact.folder import Folder
from latelens.index.exact.stored_rows import StoredRows
from latelens.index.token_index import check_manifest, manifest_of

TALES = [Chunk(f"c{i}", f"tale number{i} of {'even' if i % 2 == 0 else 'odd'}", {"i": i}) for i in range(20)]


class RandomEncoder:
    """A text ``"seed"`` or ``"seed/order"`` is random unit rows; the same seed in another order scores the same."""

    name = fingerprint = "random"

    def __init__(self, dim: int = 48, rows: int = 9, scale: float = 1.0) -> None:
        self.dim, self.rows, self.scale = dim, rows, scale

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> TokenEmbeddings:
        seed, _, order = text.partition("/")
        vectors = np.random.default_rng(int(seed)).standard_normal((self.rows, self.dim)).astype(np.float32)
        vectors *= self.scale / np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors[np.random.default_rng(int(order or 0)).permutation(self.rows)]
        spans = np.zeros((self.rows, 2), dtype=np.int32)
        return TokenEmbeddings(text, vectors, ("t",) * self.rows, spans, np.zeros(self.rows, dtype=np.uint8))


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder(dim=64)


@pytest.fixture(params=["memory", "disk"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "index" if request.param == "disk" else None


def ranking(index: ExactIndex, query: str, k: int, **options: object) -> list[tuple[float, str]]:
    return [(hit.score, hit.chunk.id) for hit in index.search(query, k, **options)]


def brute_force(encoder: RandomEncoder, chunks: Sequence[Chunk], query: str, k: int) -> list[tuple[float, str]]:
    asked = encoder.encode_queries([query])[0]
    scored = [(explain(asked, encoder.encode_documents([chunk.text])[0]).score, chunk.id) for chunk in chunks]
    return sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:k]


# Arithmetic


@pytest.mark.parametrize("scale", [1.0, 300.0, 1e-3])
def test_scores_that_differ_by_rounding_alone_are_ordered_as_their_explanations_say(
    path: Path | None, scale: float
) -> None:
    encoder = RandomEncoder(scale=scale)
    chunks = [Chunk(f"{i:03}", f"{i % 7}/{i}") for i in range(140)]  # twenty orders of seven documents
    index = ExactIndex(encoder, path)
    index.add(random.Random(1).sample(chunks, 140), batch_size=33)
    for query, k in [("0", 5), ("1/3", 25), ("99", 60), ("3", 139)]:
        assert ranking(index, query, k) == brute_force(encoder, chunks, query, k)


def test_more_queries_than_are_scored_at_a_time_find_the_same(
    path: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latelens.index.exact.index, "_TOGETHER", 3)
    encoder = RandomEncoder()
    chunks = [Chunk(f"{i:03}", str(i)) for i in range(50)]
    index = ExactIndex(encoder, path)
    index.add(chunks, batch_size=20)
    queries = [str(i) for i in range(1000, 1008)]
    for query, hits in zip(queries, index.search_many(queries, 4), strict=True):
        assert [(hit.score, hit.chunk.id) for hit in hits] == brute_force(encoder, chunks, query, 4)


def test_filters_that_leave_few_or_most_chunks_rank_the_same(path: Path | None) -> None:
    encoder = RandomEncoder()
    chunks = [Chunk(f"{i:03}", str(i), {"i": i, "tenth": i % 10}) for i in range(300)]
    index = ExactIndex(encoder, path)
    index.add(chunks, batch_size=100)
    index.delete([f"{i:03}" for i in range(0, 300, 7)])
    left = [chunk for i, chunk in enumerate(chunks) if i % 7]
    for keep in (lambda i: i % 10 == 3, lambda i: i >= 20, lambda i: i == 150, lambda i: 100 <= i < 200):
        filter = {"$or": [{"i": i} for i in range(300) if keep(i)]}
        expected = brute_force(encoder, [chunk for chunk in left if keep(chunk.metadata["i"])], "1000", 8)
        assert ranking(index, "1000", 8, filter=filter) == expected


def test_only_chunks_that_match_are_scored(encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = []
    original = latelens.index.exact.scoring.maxsim
    monkeypatch.setattr(
        latelens.index.exact.scoring,
        "maxsim",
        lambda query, packed: scored.append(len(packed)) or original(query, packed),
    )
    index = ExactIndex(encoder)
    index.add(Chunk(f"c{i}", f"text {i}", {"tenth": i % 10}) for i in range(200))
    index.search("text", filter={"tenth": 3})
    assert sum(scored) == 20


# Rounded rows


@pytest.fixture
def rounding_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are rounded at the first search, few as they are, whatever the processor."""
    monkeypatch.setattr(latelens.index.exact.scoring, "LEAST_ROWS", 1)
    monkeypatch.setattr(latelens.shortlist, "_ASKED", 1)
    monkeypatch.setattr(latelens.index.exact.scoring, "pays", lambda: True)


@pytest.mark.usefixtures("rounding_at_once")
@given(
    texts=st.lists(near_ties.DOCUMENTS, min_size=20, max_size=70),
    asked=near_ties.QUERIES,
    k=st.integers(1, 8),
)
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_hits_are_the_same_to_the_bit_with_and_without_rounded_rows_however_near_the_scores(
    texts: list[str], asked: str, k: int
) -> None:
    encoder = near_ties.NearTies(rows=[1, 3, 40, 1, 700])
    chunks = [Chunk(f"{i:02}", text) for i, text in enumerate(texts)]
    index = ExactIndex(encoder)
    index.add(chunks)
    found = ranking(index, asked, k)
    assert found == brute_force(encoder, chunks, asked, k)
    assert index._rounded.kept._kept or k > len(chunks) / 8
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latelens.index.exact.scoring, "pays", lambda: False)
        assert ranking(index, asked, k) == found


@pytest.mark.usefixtures("rounding_at_once")
def test_rounded_scores_rule_out_nearly_all_chunks(path: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    original = latelens.index.exact.scoring.exact_score
    monkeypatch.setattr(
        latelens.index.exact.scoring, "exact_score", lambda *rows: looked_at.append(1) or original(*rows)
    )
    encoder = RandomEncoder()
    chunks = [Chunk(f"{i:04}", str(i)) for i in range(2000)]
    index = ExactIndex(encoder, path)
    index.add(chunks, batch_size=500)
    index.delete(["0003", "0700"])
    left = [chunk for chunk in chunks if chunk.id not in ("0003", "0700")]
    assert ranking(index, "77", 5) == brute_force(encoder, left, "77", 5)
    assert all(rows is not None for rows in index._rounded.kept._kept.values())
    assert 5 <= len(looked_at) <= 100


def test_rows_are_rounded_once_they_were_asked_for_often_and_never_beyond_a_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latelens.index.exact.scoring, "LEAST_ROWS", 1)
    monkeypatch.setattr(latelens.index.exact.scoring, "pays", lambda: True)
    index = ExactIndex(RandomEncoder())
    index.add(Chunk(f"{i:03}", str(i)) for i in range(100))
    first = ranking(index, "1", 3)
    index.search_many(["2", "3"], 3)
    assert not index._rounded.kept._kept
    monkeypatch.setattr(latelens.shortlist, "_MOST_BYTES", 100 * 9 * 48 * 2 - 1)
    assert ranking(index, "1", 3) == first
    assert not index._rounded.kept._kept
    monkeypatch.setattr(latelens.shortlist, "_MOST_BYTES", 100 * 9 * 48 * 2)
    assert ranking(index, "1", 3) == first
    (rows,) = index._rounded.kept._kept.values()
    assert rows is not None
    assert rows.values.nbytes == 100 * 9 * 48 * 2
    index.delete([f"{i:03}" for i in range(60)])  # the rest is written anew, and the old rows go
    del rows
    gc.collect()
    assert not index._rounded.kept._kept


# Rows at half and a quarter of the size


def stored(rows: np.ndarray, row_type: str) -> np.ndarray:
    """What is left of rows, (n, dim): recomputed."""
    if row_type != "int8":
        return rows.astype(row_type).astype(np.float32)
    steps = np.abs(rows).max(axis=1, keepdims=True) / np.float32(127)
    mantissa, exponent = np.frexp(steps)
    steps = np.ldexp(np.ceil(mantissa * 2**16) / 2**16, exponent).astype(np.float32)  # 16 bits of it, upwards
    return np.rint(rows / steps).astype(np.float32) * steps


@pytest.mark.parametrize("row_type", ["float16", "int8"])
@pytest.mark.parametrize("is_rounded", [True, False])
def test_hits_are_those_of_the_kept_rows_before_and_after_merging_and_reopening(
    path: Path | None, row_type: str, is_rounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latelens.index.exact.scoring, "LEAST_ROWS", 1)
    monkeypatch.setattr(latelens.shortlist, "_ASKED", 1)
    monkeypatch.setattr(latelens.index.exact.scoring, "pays", lambda: is_rounded)
    encoder = RandomEncoder()
    chunks = [Chunk(f"{i:03}", f"{i % 60}/{i}") for i in range(200)]
    index = ExactIndex(encoder, path, rows=row_type)
    for first in range(0, 200, 10):  # twenty segments, merged again and again
        index.add(chunks[first : first + 10])
    index.upsert([Chunk("007", "7/1000")])
    chunks[7] = Chunk("007", "7/1000")
    kept = {}
    for chunk in chunks:
        encoded = encoder.encode_documents([chunk.text])[0]
        kept[chunk.id] = replace(encoded, vectors=stored(encoded.vectors, row_type))
    asked = encoder.encode_queries(["7"])[0]
    expected = sorted(((-explain(asked, rows).score, id_) for id_, rows in kept.items()))[:12]
    others = [pickle.loads(pickle.dumps(index))]
    if path is not None:
        others += [ExactIndex(encoder, path), ExactIndex(encoder, path, rows=row_type)]
    for one in (index, *others):
        assert [(-score, id_) for score, id_ in ranking(one, "7", 12)] == expected
        assert one.row_type == row_type
        for id_, found in zip(kept, one.rows(list(kept)), strict=True):
            assert found is not None
            assert np.array_equal(found.vectors, kept[id_].vectors)


@pytest.mark.parametrize(("row_type", "bytes_a_row"), [("float32", 4 * 48), ("float16", 2 * 48), ("int8", 48 + 4)])
def test_rows_take_the_bytes_that_their_type_says(path: Path | None, row_type: str, bytes_a_row: int) -> None:
    index = ExactIndex(RandomEncoder(), path, rows=row_type)
    index.add(Chunk(f"{i:03}", str(i)) for i in range(100))
    (part,) = index._live.now()
    assert part.segment.stored.nbytes == 100 * 9 * bytes_a_row
    if path is not None:
        (file,) = path.glob("segment-*.safetensors")
        arrays = load_file(file)
        assert arrays["vectors"].nbytes + (arrays["steps"].nbytes if row_type == "int8" else 0) == 900 * bytes_a_row
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        assert manifest.get("rows", "float32") == row_type
        assert ("rows" in manifest) == (row_type != "float32")  # folders of before say nothing, and are float32


@given(
    rows=st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=8).map(
        lambda rows: np.array(rows, dtype=np.float32)
    ),
    row_type=st.sampled_from(["float32", "float16", "int8"]),
)
@settings(max_examples=200, deadline=None, database=None)
def test_rows_change_once_and_by_half_a_step_at_most(rows: np.ndarray, row_type: str) -> None:
    once = StoredRows(rows).as_type(row_type).exact()
    again = StoredRows(once).as_type(row_type).exact()
    assert np.array_equal(once, again)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    half_a_step = {"float32": 0, "float16": 2.0**-11, "int8": 0.5 / 127 * (1 + 2.0**-15)}[row_type]
    assert (np.abs(once - rows) <= half_a_step * largest * (1 + 1e-6) + 2.0**-25).all()


def test_row_types_that_do_not_fit_are_refused(encoder: FakeEncoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rows must be 'float32', 'float16' or 'int8', got 'int4'"):
        ExactIndex(encoder, rows="int4")
    ExactIndex(encoder, tmp_path / "whole").add(TALES)
    with pytest.raises(ValueError, match=r"keeps its rows as float32, and rows='int8' was asked for: leave rows out"):
        ExactIndex(encoder, tmp_path / "whole", rows="int8")
    ExactIndex(encoder, tmp_path / "small", rows="int8").add(TALES)
    with pytest.raises(ValueError, match=r"keeps its rows as int8, and rows='float32' was asked for"):
        ExactIndex(encoder, tmp_path / "small", rows="float32")
    with pytest.raises(ValueError, match=r"a row holds 7e\+04, and float16 ends at 65504; take rows='float32'"):
        ExactIndex(RandomEncoder(dim=1, rows=1, scale=70_000.0), rows="float16").add([Chunk("a", "1")])


def test_a_flipped_bit_of_a_step_is_found_when_the_folder_is_opened(encoder: FakeEncoder, tmp_path: Path) -> None:
    ExactIndex(encoder, tmp_path / "index", rows="int8").add(TALES)
    (file,) = (tmp_path / "index").glob("segment-*.safetensors")
    content = bytearray(file.read_bytes())
    step = load_file(file)["steps"][:1].tobytes()
    content[content.index(step, content.index(b'"steps"') + 2000)] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: its content is not what was written"):
        ExactIndex(encoder, tmp_path / "index")


# Segments


def test_single_adds_leave_few_segments(encoder: FakeEncoder, path: Path | None) -> None:
    index = ExactIndex(encoder, path)
    for i in range(300):
        index.add([Chunk(f"c{i}", f"text number{i}")])
    assert len(index._live.now()) < 30
    assert [chunk.text for chunk in index.get(["c0", "c299"])] == ["text number0", "text number299"]
    assert len({hit.chunk.id for hit in index.search("text", 400)}) == index.count() == 300
    if path is not None:
        assert len(list(path.glob("segment-*"))) == len(index._live.now())


def test_replaced_and_deleted_rows_do_not_pile_up(encoder: FakeEncoder, path: Path | None) -> None:
    index = ExactIndex(encoder, path)
    index.add(TALES)
    for i in range(120):
        index.upsert([Chunk("c3", f"version {i}")])
    stored = sum(len(part.segment) for part in index._live.now())
    assert index.count() == 20
    assert stored <= 2 * index.count() + 8
    assert index.get(["c3"])[0].text == "version 119"
    index.delete([chunk.id for chunk in TALES])
    assert index._live.now() == ()
    assert path is None or not list(path.glob("segment-*"))


def test_segments_are_not_merged_beyond_a_size(
    encoder: FakeEncoder, path: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latelens.index.exact.merging, "_MOST_BYTES", 40_000)
    index = ExactIndex(encoder, path)
    index.add((Chunk(f"c{i}", f"one two three {i}") for i in range(400)), batch_size=5)
    assert max(part.segment.stored.nbytes for part in index._live.now()) <= 40_000
    assert index.count() == len(index.search("one", 1000)) == 400


def test_a_persisted_copy_has_segments_of_bounded_size(
    encoder: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latelens.index.exact.merging, "_MOST_BYTES", 40_000)
    index = ExactIndex(encoder)
    index.add((Chunk(f"c{i}", f"one two three {i}") for i in range(400)), batch_size=5)
    index.persist(tmp_path)
    copy = ExactIndex.open(tmp_path, encoder)
    assert max(part.segment.stored.nbytes for part in copy._live.now()) <= 40_000
    assert 400 * 5 * 64 * 4 / 40_000 < len(copy._live.now()) < 30
    assert copy.count() == 400


def test_a_long_stream_takes_the_memory_of_a_batch(tmp_path: Path) -> None:
    encoder = RandomEncoder(dim=128, rows=64)  # 32 KiB a chunk
    index = ExactIndex(encoder, tmp_path / "index")
    index.add([Chunk("warm", "0")])
    tracemalloc.start()
    written = index.add((Chunk(f"c{i}", str(i)) for i in range(3000)), batch_size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written == 3000
    assert sum(part.segment.stored.nbytes for part in index._live.now()) > 95_000_000
    assert peak < 20_000_000


def test_twenty_thousand_chunks_stream_in(tmp_path: Path) -> None:
    encoder = RandomEncoder(dim=4, rows=2)
    index = ExactIndex(encoder, tmp_path / "index")
    assert index.add((Chunk(f"c{i}", str(i % 50)) for i in range(20_000)), batch_size=1000) == 20_000
    assert index.add((Chunk(f"c{i}", str(i % 50)) for i in range(20_000)), batch_size=1000) == 0
    assert index.count() == 20_000
    equal = sorted(f"c{i}" for i in range(7, 20_000, 50))
    assert [hit.chunk.id for hit in index.search("7", 5)] == equal[:5]


# The folder


def test_the_folder_is_safetensors_and_json(encoder: FakeEncoder, tmp_path: Path) -> None:
    index = ExactIndex(encoder, tmp_path / "index")
    index.add(TALES)
    (segment,) = (tmp_path / "index").glob("segment-*")
    arrays = load_file(segment)
    assert np.array_equal(arrays["vectors"], np.concatenate([e.vectors for e in encoder.encode_documents(texts())]))
    assert json.loads(arrays["ids"].tobytes()) == [chunk.id for chunk in TALES]
    assert arrays["texts"].tobytes().decode() == "".join(texts())
    names = {file.name for file in (tmp_path / "index").iterdir()} - {segment.name}
    assert names == {"manifest.json", "lock"}
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_bytes())
    assert manifest.items() >= manifest_of(encoder, "exact").items()


def test_vectors_are_mapped_not_read(encoder: FakeEncoder, tmp_path: Path) -> None:
    ExactIndex(encoder, tmp_path / "index").add(TALES)
    index = ExactIndex.open(tmp_path / "index", encoder)
    assert not index._live.now()[0].segment.stored.values.flags.owndata
    assert not index._live.now()[0].segment.stored.values.flags.writeable
    assert index._live.now()[0].segment.stored.values.ctypes.data % 64 == 0


def test_nothing_is_made_before_the_first_write(encoder: FakeEncoder, tmp_path: Path) -> None:
    index = ExactIndex(encoder, tmp_path / "deep" / "index")
    assert index.search("text") == []
    assert not (tmp_path / "deep").exists()
    ExactIndex(encoder, tmp_path / "deep" / "index").add(TALES)
    assert index.count() == 20


def test_open_refuses_a_folder_without_an_index(encoder: FakeEncoder, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match="there is no index in"):
            ExactIndex.open(folder, encoder)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    ("path", "error", "match"),
    [
        ("", ValueError, "must name a folder"),
        ("a\0b", ValueError, "must name a folder"),
        (3, TypeError, "got int"),
        (__file__, ValueError, "is a file"),
    ],
)
def test_a_path_that_is_no_folder_is_refused(encoder: FakeEncoder, path: object, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        ExactIndex(encoder, path)


@pytest.mark.parametrize("change", [{"kind": "lance"}, {"format": 99}])
def test_an_index_of_another_kind_or_format_is_refused(encoder: FakeEncoder, tmp_path: Path, change: dict) -> None:
    Folder(tmp_path).replace({**manifest_of(encoder, "exact"), **change}, [])
    with pytest.raises(ValueError, match="open it with the class that made it"):
        ExactIndex(encoder, tmp_path)


def test_a_folder_of_an_earlier_format_is_refused_with_what_to_do(encoder: FakeEncoder, tmp_path: Path) -> None:
    Folder(tmp_path).replace({**manifest_of(encoder, "exact"), "format": 1}, [])
    with pytest.raises(ValueError, match=r"filled by an earlier latelens.*fill a new index from the same documents"):
        ExactIndex(encoder, tmp_path)


def test_a_manifest_is_refused_for_its_model_or_dimension() -> None:
    manifest = manifest_of(FakeEncoder(dim=64), "exact")
    check_manifest(manifest, FakeEncoder(dim=64), "exact", "here")
    for other in ({**manifest, "dim": 3}, {**manifest, "fingerprint": "x"}):
        with pytest.raises(ValueError, match=r"here was filled by 'fake'.*their vectors do not compare"):
            check_manifest(other, FakeEncoder(dim=64), "exact", "here")


# Damage


def damage(file: Path, at: float) -> None:
    """Flip a bit at a fraction of the file."""
    content = bytearray(file.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    file.unlink()  # a mapped file may not change under its readers
    file.write_bytes(content)


def test_any_flipped_bit_of_a_segment_is_found_before_it_answers(encoder: FakeEncoder, tmp_path: Path) -> None:
    ExactIndex(encoder, tmp_path / "index").add(TALES)
    for i in range(60):
        copy = tmp_path / f"copy{i}"
        shutil.copytree(tmp_path / "index", copy)
        (segment,) = copy.glob("segment-*")
        damage(segment, i / 59)
        with pytest.raises(ValueError, match=r"damaged|header cannot be read"):
            ExactIndex(encoder, copy).search("tale")


def test_any_flipped_bit_of_the_manifest_is_found(encoder: FakeEncoder, tmp_path: Path) -> None:
    ExactIndex(encoder, tmp_path / "index").add(TALES)
    for i in range(40):
        copy = tmp_path / f"copy{i}"
        shutil.copytree(tmp_path / "index", copy)
        damage(copy / "manifest.json", i / 39)
        with pytest.raises(ValueError, match=r"manifest.json' is damaged.*restore the folder"):
            ExactIndex(encoder, copy)


@pytest.mark.parametrize("size", [0, 7, 100, -1])
@pytest.mark.parametrize("name", ["manifest.json", "segment-*"])
def test_a_truncated_file_is_refused(encoder: FakeEncoder, tmp_path: Path, name: str, size: int) -> None:
    ExactIndex(encoder, tmp_path).add(TALES)
    (file,) = tmp_path.glob(name)
    content = file.read_bytes()[:size]
    file.unlink()
    file.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        ExactIndex(encoder, tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "segment-*"])
def test_a_missing_file_is_refused_and_nothing_is_swept(encoder: FakeEncoder, tmp_path: Path, name: str) -> None:
    index = ExactIndex(encoder, tmp_path)
    index.add(TALES)
    (file,) = tmp_path.glob(name)
    file.unlink()
    left = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match="is missing"):
        ExactIndex(encoder, tmp_path)
    if name == "manifest.json":
        with pytest.raises(ValueError, match=r"is missing|has disappeared"):
            index.add([Chunk("new", "text")])
    assert sorted(tmp_path.iterdir()) == left


@pytest.mark.parametrize("step", range(12))
def test_a_write_that_fails_at_any_step_is_done_wholly_or_not_at_all(
    encoder: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr(latelens.index.exact.merging, "_FANOUT", 2)  # every add merges too
    index = ExactIndex(encoder, tmp_path)
    index.add(TALES[:4], batch_size=2)
    calls: list[int] = []
    original = os.fsync

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == step + 1:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    failed = False
    try:
        index.upsert([Chunk("c0", "replaced"), TALES[5]])
    except OSError:
        failed = True
    monkeypatch.setattr(os, "fsync", original)
    states = []
    for one in (index, ExactIndex(encoder, tmp_path)):
        got = one.get(["c0", "c1", "c5"])
        assert got in ([TALES[0], TALES[1], None], [Chunk("c0", "replaced"), TALES[1], TALES[5]])
        assert len({hit.chunk.id for hit in one.search("tale", 10)}) == one.count() == 4 + (got[2] is not None)
        states.append(got)
    assert states[0] == states[1]
    assert failed == (len(calls) > step)
    index.upsert([Chunk("c0", "replaced"), TALES[5]])
    assert ExactIndex(encoder, tmp_path).get(["c0", "c5"]) == [Chunk("c0", "replaced"), TALES[5]]
    assert len(list(tmp_path.glob("segment-*"))) >= len(index._live.now())


def test_what_a_killed_writer_left_is_swept_and_nothing_else(encoder: FakeEncoder, tmp_path: Path) -> None:
    ExactIndex(encoder, tmp_path).add(TALES)
    ours = [tmp_path / f"segment-{'0' * 16}.safetensors", tmp_path / f"manifest-{'a' * 16}.tmp"]
    theirs = [tmp_path / "notes.txt", tmp_path / "segment-mine.safetensors", tmp_path / "manifest.json.bak"]
    for file in (*ours, *theirs):
        file.write_bytes(b"left over")
    index = ExactIndex(encoder, tmp_path)
    assert index.count() == 20
    assert all(file.exists() for file in ours)  # a reader deletes nothing
    index.add([Chunk("new", "text")])
    assert not any(file.exists() for file in ours)
    assert all(file.exists() for file in theirs)


# Several at once


def test_a_second_writer_waits_and_then_says_why(
    encoder: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latelens.index.exact.folder, "_PATIENCE", 0.1)
    index = ExactIndex(encoder, tmp_path)
    with Folder(tmp_path).locked(), pytest.raises(TimeoutError, match="one writes at a time"):
        index.add(TALES)
    assert index.add(TALES) == 20


def test_writers_take_turns_and_lose_nothing(encoder: FakeEncoder, tmp_path: Path) -> None:
    indexes = [ExactIndex(encoder, tmp_path) for _ in range(3)]

    def write(number: int) -> None:
        for i in range(15):
            indexes[number].add([Chunk(f"own{number}-{i}", f"text {i}"), Chunk(f"shared{i}", f"the same {i}")])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    for index in (*indexes, ExactIndex(encoder, tmp_path)):
        assert index.count() == len({hit.chunk.id for hit in index.search("text", 100)}) == 60


def test_of_two_writers_that_add_one_id_with_two_texts_the_second_is_refused(
    encoder: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, other = ExactIndex(encoder, tmp_path), ExactIndex(encoder, tmp_path)
    original = encoder.encode_documents

    def encode_documents(texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        monkeypatch.setattr(encoder, "encode_documents", original)
        other.add([Chunk("a", "theirs"), Chunk("b", "the same")])  # while the first is encoding
        return original(texts)

    monkeypatch.setattr(encoder, "encode_documents", encode_documents)
    with pytest.raises(ValueError, match="'a' is there already"):
        index.add([Chunk("a", "ours"), Chunk("b", "the same"), Chunk("c", "new")])
    assert index.get(["a", "b", "c"]) == [Chunk("a", "theirs"), Chunk("b", "the same"), None]


def test_a_reader_keeps_its_moment_and_sees_the_next(encoder: FakeEncoder, tmp_path: Path) -> None:
    writer = ExactIndex(encoder, tmp_path)
    writer.add(TALES)
    reader = ExactIndex.open(tmp_path, encoder)
    before = reader.search("tale", 1)[0]
    segment = reader._live.now()[0].segment
    writer.delete([chunk.id for chunk in TALES])
    writer.add([Chunk("new", "tale")])
    assert before.explanation.document.text == before.chunk.text
    assert segment.chunk(3) == TALES[3]  # its file is gone, its mapping is not
    assert [hit.chunk.id for hit in reader.search("tale")] == ["new"]
    assert reader.get(["c3", "new"]) == [None, Chunk("new", "tale")]


def test_a_search_looks_at_the_folder_only_when_it_changed(
    encoder: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = ExactIndex(encoder, tmp_path)
    writer.add(TALES)
    reader = ExactIndex(encoder, tmp_path)
    reads = []
    original = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, manifest: reads.append(manifest) or original(self, manifest))
    for _ in range(5):
        reader.search("tale")
        reader.get(["c1"])
    assert reads == []
    writer.add([Chunk("new", "text")])
    assert reads == []
    assert reader.count() == 21
    assert len(reads) == 1


def test_a_folder_that_is_deleted_under_its_index_is_no_empty_index(encoder: FakeEncoder, tmp_path: Path) -> None:
    index = ExactIndex(encoder, tmp_path / "index")
    index.add(TALES)
    shutil.rmtree(tmp_path / "index")
    with pytest.raises(ValueError, match="has disappeared"):
        index.search("tale")


# Persisting


def test_an_index_in_memory_is_written_to_a_folder_again_and_again(encoder: FakeEncoder, tmp_path: Path) -> None:
    index = ExactIndex(encoder)
    index.add(TALES, batch_size=3)
    index.delete(["c4"])
    for _ in range(2):
        index.persist(tmp_path / "copy")
        copy = ExactIndex.open(tmp_path / "copy", encoder)
        assert ranking(copy, "tale even", 50) == ranking(index, "tale even", 50)
        assert copy.get(["c3", "c4"]) == [TALES[3], None]
        assert len(list((tmp_path / "copy").glob("segment-*"))) == 1
        index.upsert([Chunk("c3", TALES[3].text, {"i": 3}), Chunk("more", "a tale")])
    with pytest.raises(ValueError, match=r"in memory; name a folder: index.persist\(path\)"):
        index.persist()


def test_an_index_in_a_folder_is_copied_and_its_own_path_changes_nothing(encoder: FakeEncoder, tmp_path: Path) -> None:
    index = ExactIndex(encoder, tmp_path / "index")
    index.add(TALES)
    before = {file.name: file.read_bytes() for file in (tmp_path / "index").iterdir()}
    index.persist()
    index.persist(tmp_path / "index" / ".." / "index")
    assert {file.name: file.read_bytes() for file in (tmp_path / "index").iterdir()} == before
    index.persist(tmp_path / "copy")
    assert ranking(ExactIndex.open(tmp_path / "copy", encoder), "tale", 50) == ranking(index, "tale", 50)


def test_an_empty_index_can_be_persisted(encoder: FakeEncoder, tmp_path: Path) -> None:
    ExactIndex(encoder).persist(tmp_path)
    assert ExactIndex.open(tmp_path, encoder).count() == 0


def test_another_encoders_folder_is_not_overwritten(encoder: FakeEncoder, tmp_path: Path) -> None:
    ExactIndex(FakeEncoder("other", 64), tmp_path).add(TALES)
    with pytest.raises(ValueError, match="was filled by 'other'"):
        ExactIndex(encoder).persist(tmp_path)
    assert ExactIndex.open(tmp_path, FakeEncoder("other", 64)).count() == 20


def test_an_index_says_what_it_is(encoder: FakeEncoder) -> None:
    index = ExactIndex(encoder)
    index.add(TALES)
    assert repr(index) == "ExactIndex('fake', path=None, count=20)"


@pytest.mark.parametrize("call", [ExactIndex.get, ExactIndex.delete])
def test_one_id_is_not_taken_for_many(encoder: FakeEncoder, call: object) -> None:
    with pytest.raises(TypeError, match="put it in a list"):
        call(ExactIndex(encoder), "c1")


def texts() -> list[str]:
    return [chunk.text for chunk in TALES]
