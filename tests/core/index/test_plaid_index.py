"""What only `PlaidIndex` does; `test_index.py` has what every index does. Runs in PyLate's environment."""

from __future__ import annotations

import gc
import json
import math
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from latelens import EmbeddingCache, Encoder, TokenEmbeddings, explain
from latelens.index import Chunk

pytest.importorskip("fast_plaid", reason="PyLate is not installed; it needs an environment of its own")

from latelens.index.plaid import PlaidIndex
from latelens.index.plaid import builder as plaid_builder
from latelens.index.plaid import index as plaid
from latelens.index.plaid.folder import PlaidFolder

WORDS = [f"w{i}" for i in range(24)]


@pytest.fixture(autouse=True, scope="module")
def frozen() -> Iterator[None]:
    """fast-plaid collects garbage at each step, which takes .3 s in a process that has read torch, and .001 so."""
    gc.freeze()
    yield
    gc.unfreeze()


class NoisyEncoder(FakeEncoder):
    """Equal words nearly match, as in context: PLAID needs rows that differ to find its centroids."""

    def _encode(self, text: str) -> TokenEmbeddings:
        entry = super()._encode(text)
        chance = np.random.default_rng(list(text.encode()))
        vectors = entry.vectors + chance.normal(0, 0.05, entry.vectors.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return replace(entry, vectors=vectors.astype(np.float32))


@pytest.fixture
def encoder() -> FakeEncoder:
    return NoisyEncoder(dim=32)


def texts(count: int) -> list[Chunk]:
    """Chunks of five words, no two with the same ones, every other one even."""
    chance = np.random.default_rng(3)
    return [
        Chunk(f"c{i:02}", " ".join(chance.choice(WORDS, 5, replace=False)), {"even": i % 2 == 0}) for i in range(count)
    ]


@pytest.fixture
def built(encoder: FakeEncoder, tmp_path: Path) -> PlaidIndex:
    """An index of 40 chunks, all of which PLAID holds."""
    index = PlaidIndex(encoder, tmp_path / "index", build_from=40)
    index.add(texts(40))
    assert waiting(index) == 0
    return index


def waiting(index: PlaidIndex) -> int:
    with index._store.reading() as view:
        return view.count("position IS NULL")


def folders(index: PlaidIndex) -> list[str]:
    return [folder.name for folder in index.path.glob("plaid-*")]


def test_few_chunks_are_compared_one_by_one_with_stored_rows(encoder: FakeEncoder, tmp_path: Path) -> None:
    index = PlaidIndex(encoder, tmp_path, build_from=41)
    index.add(texts(40))
    encoder.encoded.clear()
    hits = index.search(texts(8)[7].text, 3)
    assert hits[0].chunk.id == "c07"
    assert hits[0].stages == {}
    assert (encoder.encoded, folders(index), index.loss) == ([], [], "")


def test_a_hit_is_scored_exactly_and_its_approximate_score_is_named(built: PlaidIndex, encoder: FakeEncoder) -> None:
    assert "rows of 4 bits" in built.loss
    wanted = texts(8)[7]
    hits = built.search(wanted.text, 5)
    assert hits[0].chunk == wanted
    query = encoder.encode_queries([wanted.text])[0]
    for hit in hits:
        exact = explain(query, encoder.encode_documents([hit.chunk.text])[0])
        assert hit.score == exact.score == math.fsum(match.similarity for match in hit.explanation.matches)
        assert list(hit.stages) == ["plaid"]
        assert hit.stages["plaid"] == pytest.approx(exact.score, abs=0.6)
    assert any(hit.stages["plaid"] != hit.score for hit in hits)


def test_the_vectors_that_plaid_holds_are_kept_nowhere_else(built: PlaidIndex) -> None:
    with built._store.reading() as view:
        assert view.db.execute("SELECT count(*) FROM chunks WHERE rows IS NOT NULL").fetchone() == (0,)


def test_new_chunks_are_found_exactly_beside_those_that_plaid_holds(built: PlaidIndex) -> None:
    built.add([Chunk("new", "w1 w2 novel", {"even": True})])
    assert waiting(built) == 1
    hits = built.search("w1 w2 novel", 3)
    assert hits[0].chunk.id == "new"
    assert hits[0].stages == {}
    assert all("plaid" in hit.stages for hit in hits[1:])
    before = folders(built)
    built.build()
    assert waiting(built) == 0
    assert len(folders(built)) == 1
    assert folders(built) != before
    assert "plaid" in built.search("w1 w2 novel", 1)[0].stages
    assert built.search("w1 w2 novel", 1)[0].chunk.id == "new"


def test_places_are_right_after_deletes_upserts_and_changes(
    built: PlaidIndex, encoder: FakeEncoder, tmp_path: Path
) -> None:
    assert built.delete(["c00", "c01", "c20", "none"]) == 3
    built.upsert([Chunk("c05", "replaced altogether")])
    built.add([Chunk(f"d{i}", f"{WORDS[i]} {WORDS[i + 1]} extra{i}") for i in range(4)])
    expected = {chunk.id: chunk for chunk in texts(40)}
    for again in (built, None):
        if again is None:
            built.build()
            again = PlaidIndex(encoder, built.path)
        for id in ("c02", "c19", "c21", "c39"):
            assert again.search(expected[id].text, 1)[0].chunk == expected[id]
        assert again.search("extra3", 1)[0].chunk.id == "d3"
        assert again.search("replaced altogether", 1)[0].chunk.id == "c05"
        found = [hit.chunk.id for hit in again.search("w1 w2 w3", 100)]
        assert len(set(found)) == len(found)
        assert not {"c00", "c01", "c20"} & set(found)
        assert again.count() == 41


def test_a_filter_is_told_to_plaid(built: PlaidIndex) -> None:
    hits = built.search("w1 w2 w3 w4", 5, filter={"even": False})
    assert len(hits) == 5
    assert not any(hit.chunk.metadata["even"] for hit in hits)
    assert all("plaid" in hit.stages for hit in hits)
    assert built.search("w1", 5, filter={"even": 3}) == []


def test_when_a_filter_leaves_few_all_of_them_are_scored(built: PlaidIndex) -> None:
    built.upsert([Chunk(f"c{i:02}", texts(40)[i].text, {"rare": True}) for i in (3, 9)])
    built.build()
    hits = built.search("w1", 5, filter={"rare": True})
    assert {hit.chunk.id for hit in hits} == {"c03", "c09"}
    assert [hit.stages for hit in hits] == [{}, {}]


def test_when_everything_is_deleted_nothing_is_found_and_the_folder_goes(built: PlaidIndex) -> None:
    built.delete([f"c{i:02}" for i in range(40)])
    assert built.search("w1 w2") == []
    built.add([Chunk("one", "w1 alone")])
    assert folders(built) == []
    assert [hit.chunk.id for hit in built.search("w1")] == ["one"]


def test_a_text_that_is_found_again_is_not_encoded_again(built: PlaidIndex, encoder: FakeEncoder) -> None:
    index = PlaidIndex(encoder, built.path, cache=EmbeddingCache())
    encoder.encoded.clear()
    index.search("w1 w2", 5)
    assert len(encoder.encoded) == 8  # one and a half candidates for a hit
    index.search("w1 w2", 5)
    assert len(encoder.encoded) == 8


def test_a_build_that_is_killed_leaves_what_was_there(
    built: PlaidIndex, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(hit.chunk, hit.score) for hit in built.search("w1 w2", 5)]

    def die(old: Path, path: Path, *rest: Any, **options: Any) -> None:
        path.mkdir()
        (path / "metadata.json").write_text("{half")
        raise KeyboardInterrupt

    monkeypatch.setattr(plaid_builder, "extend", die)
    built.upsert([Chunk("new", "novel")])
    with pytest.raises(KeyboardInterrupt):
        built.build()
    assert len(folders(built)) == 2
    again = PlaidIndex(encoder, built.path)
    assert [(hit.chunk, hit.score) for hit in again.search("w1 w2", 5)] == before
    assert again.search("novel", 1)[0].chunk.id == "new"
    monkeypatch.undo()
    again.build()
    assert len(folders(again)) == 1
    assert again.search("novel", 1)[0].chunk.id == "new"


def test_what_is_written_while_plaid_is_built_is_not_lost(built: PlaidIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    building, go_on, extend = threading.Event(), threading.Event(), plaid_builder.extend

    def slowly(*at: Any, **how: Any) -> None:
        building.set()
        assert go_on.wait(60)
        extend(*at, **how)

    monkeypatch.setattr(plaid_builder, "extend", slowly)
    built.upsert([Chunk("new", "novel first"), Chunk("gone", "novel gone")])
    builder = threading.Thread(target=built.build)
    builder.start()
    assert building.wait(60)
    built.upsert([Chunk("new", "novel second"), Chunk("later", "novel later")])
    built.delete(["gone", "c03"])
    go_on.set()
    builder.join(120)
    assert {hit.chunk.text for hit in built.search("novel", 3)} == {"novel second", "novel later"} | {
        hit.chunk.text for hit in built.search("novel", 3)[2:]
    }
    assert built.get(["gone", "c03", "new"]) == [None, None, Chunk("new", "novel second")]
    assert built.search(texts(4)[3].text, 1)[0].chunk.id != "c03"


def test_a_reader_follows_when_another_changes_the_folder(built: PlaidIndex, encoder: FakeEncoder) -> None:
    reader = PlaidIndex(encoder, built.path)
    reader.search("w1", 1)
    built.upsert([Chunk("new", "novel words")])
    built.build()
    assert reader.search("novel words", 1)[0].chunk.id == "new"
    assert reader._loaded[0] == folders(built)[0]


def test_a_damaged_folder_is_said_and_made_anew_from_the_texts(built: PlaidIndex, encoder: FakeEncoder) -> None:
    (built.path / folders(built)[0] / "metadata.json").unlink()
    index = PlaidIndex(encoder, built.path, build_from=40)
    with pytest.raises(ValueError, match=r"is damaged .*`rebuild\(\)` makes it anew"):
        index.search("w1")
    assert index.get(["c07"]) == [texts(8)[7]]
    index.rebuild()
    assert index.search(texts(8)[7].text, 1)[0].chunk.id == "c07"
    assert "plaid" in index.search("w1", 1)[0].stages


def test_memory_is_bounded_while_a_stream_is_added(
    encoder: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plaid, "_MOST_WAITING", 25)
    index = PlaidIndex(encoder, tmp_path, build_from=1000)
    index.add(iter(texts(40)), batch_size=10)
    assert waiting(index) == 10
    assert index.count() == 40


def test_the_number_of_bits_is_kept_and_another_refused(encoder: FakeEncoder, tmp_path: Path) -> None:
    index = PlaidIndex(encoder, tmp_path, n_bits=2, build_from=20)
    index.add(texts(20))
    assert '"nbits": 2' in (tmp_path / folders(index)[0] / "metadata.json").read_text()
    assert PlaidIndex(encoder, tmp_path).n_bits == 2
    with pytest.raises(ValueError, match="made with n_bits=2, not 4"):
        PlaidIndex(encoder, tmp_path, n_bits=4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_bits": 3}, "n_bits must be 1, 2, 4, 8 or None, got 3"),
        ({"build_from": 0}, "build_from must be an int of at least 1, got 0"),
        ({"oversampling": 0.5}, "oversampling must be a finite number of at least 1, got 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(encoder: FakeEncoder, tmp_path: Path, wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PlaidIndex(encoder, tmp_path, **wrong)


def test_another_kind_of_index_and_a_file_are_refused(encoder: FakeEncoder, tmp_path: Path) -> None:
    from latelens.index.exact import ExactIndex

    ExactIndex(encoder, tmp_path / "exact").add(texts(1))
    with pytest.raises(ValueError, match=r"holds an index of kind 'exact'.*this is 'plaid'"):
        PlaidIndex(encoder, tmp_path / "exact")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file; choose another place"):
        PlaidIndex(encoder, tmp_path / "file")


def test_a_file_of_an_earlier_format_is_refused_and_left_alone(encoder: FakeEncoder, tmp_path: Path) -> None:
    PlaidIndex(encoder, tmp_path)
    with sqlite3.connect(tmp_path / "chunks.sqlite") as db:
        db.execute("DROP INDEX documents")
        db.execute("ALTER TABLE chunks DROP COLUMN document_id")
        (manifest,) = db.execute("SELECT value FROM settings WHERE name = 'manifest'").fetchone()
        db.execute("UPDATE settings SET value = ?", [json.dumps({**json.loads(manifest), "format": 1})])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"filled by an earlier latelens.*fill a new index"):
            PlaidIndex(encoder, tmp_path)


def test_a_document_that_plaid_holds_is_replaced(built: PlaidIndex) -> None:
    built.upsert([replace(chunk, document_id="d") for chunk in texts(10)])
    built.build()
    assert waiting(built) == 0
    assert built.replace_document("d", [*texts(1), Chunk("new", "w1 w2 w3")]) == 1
    assert sorted(built.ids({"$document_id": "d"})) == ["c00", "new"]
    assert built.count() == 40 - 10 + 2
    found = {hit.chunk.id for hit in built.search(texts(2)[1].text, 32)}
    assert "new" in found
    assert not found & {f"c0{i}" for i in range(1, 10)}


def test_no_restriction_is_not_taken_for_an_empty_one(built: PlaidIndex, encoder: FakeEncoder) -> None:
    folder = PlaidFolder(built.path / folders(built)[0], None)
    rows = encoder.encode_queries(["w1"])[0].vectors
    assert folder.search(rows, 5, probes=8, alive=[]) == []
    assert len(folder.search(rows, 5, probes=8)) == 5
    with pytest.raises(FileNotFoundError, match="there is no PLAID in"):
        PlaidFolder(built.path / "nowhere", None)
    assert not (built.path / "nowhere").exists()


def test_a_real_model_finds_by_meaning_what_plaid_holds(offline: Encoder, tmp_path: Path) -> None:
    things = ["violin", "glacier", "savings account", "locomotive", "orchid", "helicopter", "cathedral", "volcano"]
    said = ["An expert repaired the {} last week.", "Children asked why a {} exists at all."]
    chunks = [Chunk(f"{thing}-{i}", text.format(thing)) for thing in things for i, text in enumerate(said)]
    chunks.append(Chunk("elephants", "Elephants eat grass, leaves and bark for up to eighteen hours a day."))
    index = PlaidIndex(offline, tmp_path, build_from=17)
    index.add(chunks)
    assert waiting(index) == 0
    hit = index.search("What do large grey animals with a trunk feed on?", 1)[0]
    assert hit.chunk.id == "elephants"
    assert hit.stages["plaid"] == pytest.approx(hit.score, rel=0.05)
    assert hit.score == math.fsum(match.similarity for match in hit.explanation.matches)
