"""`ShardedIndex`: what all indexes do is in test_index.py; here, processes that are killed, and folders."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder

pytest.importorskip("ray")

import ray
import slow_shards
from slow_shards import stopping

from latelens.index import Chunk, ExactIndex, ShardedIndex

ray.cloudpickle.register_pickle_by_value(slow_shards)  # a shard's process does not know this folder
DIM = 64
CHUNKS = [Chunk(f"c{i}", f"chunk number{i}", {"i": i}, f"doc{i // 4}" if i % 2 else None) for i in range(60)]
QUERY = "number7 chunk"


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder(dim=DIM)


@pytest.fixture
def whole(encoder: FakeEncoder) -> ExactIndex:
    index = ExactIndex(encoder)
    index.add(CHUNKS)
    return index


@pytest.fixture
def index(encoder: FakeEncoder, tmp_path: Path) -> Iterator[ShardedIndex]:
    index = ShardedIndex(encoder, tmp_path / "shards", 2, open=stopping, timeout=60)
    yield index
    index.close()


def found(index: ExactIndex | ShardedIndex, k: int = 60) -> list[tuple[str, float]]:
    return [(hit.chunk.id, hit.score) for hit in index.search(QUERY, k)]


class Stopped:
    """Stops a shard at a place for the time of a block; `kill` ends its process there."""

    def __init__(self, index: ShardedIndex, shard: int, place: str) -> None:
        self.stop = index.path / f"shard-{shard}" / f"stop-{place}"

    def __enter__(self) -> Stopped:
        self.stop.touch()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop.unlink(missing_ok=True)

    def kill(self) -> None:
        told = self.stop.with_suffix(".pid")
        until = time.monotonic() + 60
        while not told.exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        self.stop.unlink()
        os.kill(int(told.read_text()), signal.SIGKILL)


def beside(work, *arguments) -> tuple[threading.Thread, list]:
    """The work in a thread, and where its result will lie."""
    results: list = []
    thread = threading.Thread(target=lambda: results.append(work(*arguments)))
    thread.start()
    return thread, results


def test_a_shard_that_is_killed_in_a_search_or_an_add_loses_nothing(index: ShardedIndex, whole: ExactIndex) -> None:
    assert index.add(CHUNKS[:20]) == 20
    for place, some in (("before-write", CHUNKS[20:40]), ("after-write", CHUNKS[40:])):
        with Stopped(index, 0, place) as stopped:
            adding, added = beside(index.add, some)
            stopped.kill()
            adding.join(60)
        assert added == [20], place
    assert sorted(index.ids()) == sorted(chunk.id for chunk in CHUNKS)
    with Stopped(index, 1, "search") as stopped:
        searching, answers = beside(found, index)
        stopped.kill()
        searching.join(60)
    assert answers == [found(whole)]


def test_four_shards_find_what_one_index_finds_and_a_folder_keeps_them(
    encoder: FakeEncoder, whole: ExactIndex, tmp_path: Path
) -> None:
    index = ShardedIndex(encoder, tmp_path, 4)
    index.add(CHUNKS, batch_size=7)
    assert found(index) == found(whole)
    assert len({id(hit.explanation.query) for hit in index.search(QUERY)}) == 1
    held = [len(list(ExactIndex(encoder, tmp_path / f"shard-{i}" / "rows").ids())) for i in range(4)]
    assert sum(held) == len(CHUNKS)
    assert min(held) > 5
    assert index.replace_document("doc2", [Chunk("new", QUERY)]) == 1
    index.close()

    again = ShardedIndex(encoder, tmp_path)
    assert "new" in dict(found(again))
    assert sorted(again.ids({"$document_id": "doc2"})) == ["new"]
    again.close()
    with pytest.raises(ValueError, match="has 4 shards, got shards=2; leave `shards` out"):
        ShardedIndex(encoder, tmp_path, 2)
    with pytest.raises(ValueError, match="was filled by 'fake'"):
        ShardedIndex(FakeEncoder("other", DIM), tmp_path)


def test_an_answer_without_one_of_the_shards_is_never_given(index: ShardedIndex) -> None:
    index.add(CHUNKS)
    with Stopped(index, 1, "search") as stopped:
        errors: list[Exception] = []

        def search() -> None:
            try:
                index.search(QUERY)
            except Exception as error:
                errors.append(error)

        thread, _ = beside(search)
        while not stopped.stop.with_suffix(".pid").exists():
            time.sleep(0.01)
        # As on a machine that does not see the folder: the process starts again, and must not begin an empty index.
        shutil.move(index.path / "shard-1", index.path / "elsewhere")
        os.kill(int((index.path / "elsewhere" / "stop-search.pid").read_text()), signal.SIGKILL)
        thread.join(60)
    [error] = errors
    assert isinstance(error, FileNotFoundError)
    assert "there is no shard in" in str(error)
    assert not (index.path / "shard-1").exists()


def test_a_shard_that_takes_too_long_is_named(encoder: FakeEncoder, tmp_path: Path) -> None:
    index = ShardedIndex(encoder, tmp_path, 1, open=stopping, timeout=60)
    index.add(CHUNKS[:3])
    index._shards._timeout = 0.2  # from here on; a process takes longer to start
    with Stopped(index, 0, "search"), pytest.raises(TimeoutError, match=r"shard 0 of 1, .* no answer in 0\.2 seconds"):
        index.search(QUERY)
    index.close()


def test_wrong_arguments_are_refused(encoder: FakeEncoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there are no shards in .* say how many with shards="):
        ShardedIndex(encoder, tmp_path)
    with pytest.raises(ValueError, match="shards must be an int of at least 1, got 0"):
        ShardedIndex(encoder, tmp_path, 0)
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        ShardedIndex(encoder, tmp_path, 1, timeout="long")  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match="open must be a function of an encoder and a folder, such as ExactIndex, got str"
    ):
        ShardedIndex(encoder, tmp_path, 1, open="exact")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="options must be a dict of Ray's options for an actor, or None, got int: 3"):
        ShardedIndex(encoder, tmp_path, 1, options=3)  # type: ignore[arg-type]
