"""A damaged file is refused in our words or read right; it never gives another result, and never another error."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder

from latelens import EmbeddingCache
from latelens.cli.files import UnreadableFile, read_file
from latelens.index import Chunk, ExactIndex

TEXTS = [f"word{i} herds eat grass number{i % 7}" for i in range(30)]


def encoder() -> FakeEncoder:
    return FakeEncoder(dim=32)


def damage(path: Path, chance: random.Random) -> None:
    """Flip, cut, zero or lengthen."""
    data = bytearray(path.read_bytes())
    place = chance.randrange(max(len(data), 1))
    kind = chance.randrange(4)
    if kind == 0 and data:
        data[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del data[place:]
    elif kind == 2:
        data[place : place + 64] = bytes(len(data[place : place + 64]))
    else:
        data += chance.randbytes(16)
    path.write_bytes(data)


def build_index(folder: Path) -> None:
    index = ExactIndex(encoder(), folder)
    for first in range(0, 30, 10):
        index.add([Chunk(f"c{i}", TEXTS[i], {"i": i}) for i in range(first, first + 10)])
    index.delete(["c3"])


def read_index(folder: Path) -> object:
    index = ExactIndex(encoder(), folder)
    hits = index.search("word5 eat grass", 40)
    return index.count(), [(hit.chunk.id, hit.chunk.text, dict(hit.chunk.metadata), hit.score) for hit in hits]


def build_cache(folder: Path) -> None:
    EmbeddingCache(folder).encode_documents(encoder(), TEXTS)


def read_cache(folder: Path) -> object:
    rows = EmbeddingCache(folder).encode_documents(encoder(), TEXTS)
    return [(one.text, one.tokens, one.vectors.tobytes(), one.spans.tobytes()) for one in rows]


@pytest.mark.parametrize(
    ("build", "read"), [(build_index, read_index), (build_cache, read_cache)], ids=["index", "cache"]
)
def test_damaged_files_are_refused_or_read_right(
    build: Callable[[Path], None], read: Callable[[Path], object], tmp_path: Path, campaign: int, record_property
) -> None:
    chance, whole, refused = random.Random(3), tmp_path / "whole", 0
    build(whole)
    expected = read(whole)
    for _ in range(20 * campaign):
        copy = tmp_path / "copy"
        shutil.copytree(whole, copy)
        damage(chance.choice(sorted(path for path in copy.rglob("*") if path.is_file())), chance)
        try:
            found = read(copy)
        except (ValueError, OSError):
            refused += 1
        else:
            assert found == expected
        shutil.rmtree(copy)
    record_property("damaged files", 20 * campaign)
    record_property("refused", refused)


def test_damaged_documents_are_read_or_skipped_with_a_reason(tmp_path: Path, campaign: int) -> None:
    pytest.importorskip("pypdfium2")
    pytest.importorskip("bs4")
    from tiny_pdf import tiny_pdf

    chance = random.Random(4)
    whole = {".pdf": tiny_pdf("Herds eat grass.", "Page two."), ".html": b"<h1>Herds</h1><p>eat <b>grass</b>." * 20}
    refused = 0
    for i in range(20 * campaign):
        suffix = chance.choice(sorted(whole))
        path = tmp_path / f"{i}{suffix}"
        path.write_bytes(whole[suffix])
        for _ in range(chance.randint(1, 5)):
            damage(path, chance)
        try:
            read_file(str(path)).text.encode("utf-8", "surrogatepass")
        except UnreadableFile:
            refused += 1
    assert refused < 20 * campaign
