from __future__ import annotations

import ast
import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

import latelens.encoders.cache
import latelens.encoders.cache_folder
from latelens import Encoder, TokenEmbeddings
from latelens.encoders.cache import EmbeddingCache, describe_cache, open_cache

WRITER = Path(__file__).with_name("cache_writer.py")


class CountingEncoder(FakeEncoder):
    """Counts queries too."""

    def __init__(self, name: str = "fake", dim: int = 16) -> None:
        super().__init__(name, dim)
        self.asked: list[str] = []

    def encode_queries(self, texts):
        self.asked.extend(texts)
        return super().encode_queries(texts)


class TokenEncoder:
    """Encodes any text as the rows it was made with, and counts."""

    name = fingerprint = "tokens"

    def __init__(self, tokens: tuple[str, ...], *, dim: int = 3, complete: bool = True) -> None:
        self.tokens, self.dim, self.complete, self.encoded = tokens, dim, complete, 0
        rng = np.random.default_rng(0)
        n = len(tokens)
        self.vectors = rng.standard_normal((n, dim)).astype(np.float32)
        self.spans = rng.integers(-1, 2**31 - 1, (n, 2)).astype(np.int32)
        self.kinds = rng.integers(0, 5, n).astype(np.uint8)

    def encode_documents(self, texts, *, show_progress=False):
        self.encoded += len(texts)
        return [
            TokenEmbeddings(text, self.vectors.copy(), self.tokens, self.spans.copy(), self.kinds.copy(), self.complete)
            for text in texts
        ]


def assert_same(got: TokenEmbeddings, want: TokenEmbeddings) -> None:
    assert (got.text, got.tokens, got.complete) == (want.text, want.tokens, want.complete)
    for name in ("vectors", "spans", "kinds"):
        one, other = getattr(got, name), getattr(want, name)
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
        assert not one.flags.writeable


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def encoded_by_fresh_cache(folder: Path, text: str, want: TokenEmbeddings) -> int:
    """How many texts a new cache on the folder encodes to give the right answer."""
    encoder = CountingEncoder()
    assert_same(EmbeddingCache(folder).encode_documents(encoder, [text])[0], want)
    return len(encoder.encoded)


def test_a_text_is_encoded_once():
    cache, encoder = EmbeddingCache(), CountingEncoder()
    first = cache.encode_documents(encoder, ["red fox", "blue whale"])
    again = cache.encode_documents(encoder, ["red fox", "blue whale"])
    assert encoder.encoded == ["red fox", "blue whale"]
    assert [entry is other for entry, other in zip(first, again, strict=True)] == [True, True]
    cache.encode_queries(encoder, ["who?"])
    cache.encode_queries(encoder, ["who?"])
    assert encoder.asked == ["who?"]


def test_only_what_is_missing_is_encoded_and_results_keep_the_order():
    cache, encoder = EmbeddingCache(), CountingEncoder()
    cache.encode_documents(encoder, ["b", "d"])
    texts = ["d", "a", "b", "c", "a"]
    got = cache.encode_documents(encoder, texts)
    assert encoder.encoded == ["b", "d", "a", "c"]
    for entry, want in zip(got, FakeEncoder(dim=16).encode_documents(texts), strict=True):
        assert_same(entry, want)


def test_a_text_that_occurs_thrice_in_a_call_is_encoded_once(tmp_path):
    for cache in (EmbeddingCache(), EmbeddingCache(tmp_path), EmbeddingCache(max_bytes=0)):
        encoder = CountingEncoder()
        got = cache.encode_documents(encoder, ["x", "y", "x", "x"])
        assert encoder.encoded == ["x", "y"]
        assert [entry.text for entry in got] == ["x", "y", "x", "x"]


def test_no_texts_give_no_results_and_no_call():
    class Refusing(CountingEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            raise AssertionError("called")

    assert EmbeddingCache().encode_documents(Refusing(), []) == []


def test_another_fingerprint_role_or_text_misses(tmp_path):
    cache, one, other = EmbeddingCache(tmp_path), CountingEncoder("one"), CountingEncoder("other")
    cache.encode_documents(one, ["fox"])
    cache.encode_documents(other, ["fox"])
    cache.encode_queries(one, ["fox"])
    assert (one.encoded, other.encoded, one.asked) == (["fox"], ["fox"], ["fox"])
    near = [
        "fox ",
        " fox",
        "Fox",
        "caf\u00e9",
        "cafe\u0301",
        "\ud83d\ude00",
        "\U0001f600",
        "",
        "\0",
        "??",
        "\ud800",
        "\ud801",
    ]
    got = cache.encode_documents(one, near)
    assert one.encoded == ["fox", *near]
    assert [entry.text for entry in got] == near


def test_fingerprint_and_text_never_run_into_each_other():
    cache, encoder = EmbeddingCache(), CountingEncoder()
    for encoder.fingerprint, text in (("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")):
        cache.encode_documents(encoder, [text])
    assert encoder.encoded == ["bc", "c", "", "abc"]


def test_the_fingerprint_is_asked_for_once_a_call():
    class Slow(CountingEncoder):
        asked_fingerprint = 0

        @property
        def fingerprint(self):
            self.asked_fingerprint += 1
            return "slow"

        @fingerprint.setter
        def fingerprint(self, value):
            pass

    encoder = Slow()
    EmbeddingCache().encode_documents(encoder, ["a", "b", "c"])
    assert encoder.asked_fingerprint == 1


def test_show_progress_reaches_the_encoder():
    class Progress(CountingEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            self.shown = show_progress
            return super().encode_documents(texts)

    encoder = Progress()
    EmbeddingCache().encode_documents(encoder, ["a"], show_progress=True)
    assert encoder.shown is True


def test_what_was_used_longest_ago_goes_first():
    encoder = CountingEncoder()
    size = encoder._encode("a").nbytes
    cache = EmbeddingCache(max_bytes=2 * size)
    for text in ("a", "b", "a", "c"):  # the second "a" is a hit, so "b" is the oldest when "c" comes
        cache.encode_documents(encoder, [text])
    assert encoder.encoded == ["a", "b", "c"]
    assert (len(cache), cache.nbytes) == (2, 2 * size)
    cache.encode_documents(encoder, ["a"])
    assert encoder.encoded == ["a", "b", "c"]
    cache.encode_documents(encoder, ["b"])
    assert encoder.encoded == ["a", "b", "c", "b"]


def test_memory_never_passes_its_bound_and_counts_what_it_holds():
    encoder, rng = CountingEncoder(), random.Random(0)
    cache = EmbeddingCache(max_bytes=5000)
    for _ in range(300):
        cache.encode_documents(encoder, ["word " * rng.randrange(40) for _ in range(3)])
        assert cache.nbytes == sum(entry.nbytes for entry in cache._entries.values()) <= 5000
    assert len(cache) > 1


def test_an_entry_larger_than_the_bound_is_returned_and_not_kept():
    encoder = CountingEncoder()
    cache = EmbeddingCache(max_bytes=encoder._encode("small").nbytes)
    cache.encode_documents(encoder, ["small"])
    got = cache.encode_documents(encoder, ["very large text of seven words indeed"])
    assert_same(got[0], encoder._encode("very large text of seven words indeed"))
    cache.encode_documents(encoder, ["small"])  # and it pushed nothing out
    assert len(encoder.encoded) == 2
    assert len(cache) == 1


def test_zero_bytes_keep_nothing_in_memory(tmp_path):
    encoder, nothing = CountingEncoder(), TokenEncoder(())
    for cache in (EmbeddingCache(max_bytes=0), EmbeddingCache(tmp_path, max_bytes=0)):
        cache.encode_documents(encoder, ["a", "b"])
        cache.encode_documents(nothing, [""])  # an entry of no bytes at all
        cache.encode_queries(encoder, ["a"])
        assert (len(cache), cache.nbytes) == (0, 0)
    cache.encode_documents(encoder, ["a", "b"])
    assert len(encoder.encoded) == 4  # the folder still answers


def test_vectors_handed_out_cannot_be_written_to(tmp_path):
    encoder = CountingEncoder()
    entries = EmbeddingCache(tmp_path).encode_documents(encoder, ["fox"])
    entries += EmbeddingCache(tmp_path).encode_documents(encoder, ["fox"])
    entries += EmbeddingCache().encode_queries(encoder, ["fox"])
    for entry in entries:
        for array in (entry.vectors, entry.spans, entry.kinds):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_an_encoder_that_uses_its_buffers_again_does_not_change_what_is_kept():
    class Buffered(TokenEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            return [
                TokenEmbeddings(t, self.vectors[1:], self.tokens[1:], self.spans[1:], self.kinds[1:]) for t in texts
            ]

    cache, encoder = EmbeddingCache(), Buffered(("a", "b", "c"))
    want = encoder.vectors[1:].copy()
    cache.encode_documents(encoder, ["x"])
    encoder.vectors[:] = 0
    assert (cache.encode_documents(encoder, ["x"])[0].vectors == want).all()


def test_the_entry_holds_the_callers_text_whatever_the_encoder_makes_of_it(tmp_path):
    class Lowering(CountingEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            return super().encode_documents([text.lower() for text in texts])

    for _ in range(2):
        assert EmbeddingCache(tmp_path).encode_documents(Lowering(), ["FOX"])[0].text == "FOX"


def test_strided_vectors_survive_the_disk(tmp_path):
    class Strided(TokenEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            vectors = np.asfortranarray(self.vectors)
            spans, kinds = self.spans[::-1], np.repeat(self.kinds, 2)[::2]
            return [TokenEmbeddings(text, vectors, self.tokens, spans, kinds) for text in texts]

    encoder = Strided(("a", "b", "c", "d"), dim=5)
    EmbeddingCache(tmp_path).encode_documents(encoder, ["x"])
    assert_same(
        EmbeddingCache(tmp_path).encode_documents(TokenEncoder(()), ["x"])[0],
        *encoder.encode_documents(["x"]),
    )


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(
    "tokens",
    [
        (),
        ("",),
        ("[CLS]", "▁the", "##ing", "Ġcafé", "日本", "👩‍👩‍👧", "é", "\0", "\n", '"', "\\u0041", " "),
        ("\ud83d\ude00", "\ud83d", "\ude00", "\U0001f600", "", "x"),  # surrogates, alone and side by side
    ],
)
def test_every_bit_comes_back_from_the_disk(tmp_path, tokens, complete):
    encoder = TokenEncoder(tokens, complete=complete)
    texts = ["", "plain", "caf\u00e9 日本 👍", "lone \ud800 surrogate", "\ud83d\ude00", "a\0b", "x" * 10_000]
    EmbeddingCache(tmp_path).encode_documents(encoder, texts)
    got = EmbeddingCache(tmp_path).encode_documents(encoder, texts)
    assert encoder.encoded == len(texts)
    for entry, want in zip(got, encoder.encode_documents(texts), strict=True):
        assert_same(entry, want)


ANY_CHARACTER = st.characters(exclude_categories=())


@settings(max_examples=60, deadline=None)
@given(tokens=st.lists(st.text(ANY_CHARACTER), max_size=6), text=st.text(ANY_CHARACTER), dim=st.integers(1, 9))
def test_any_tokens_and_any_text_come_back_from_the_disk(tokens, text, dim):
    encoder = TokenEncoder(tuple(tokens), dim=dim)
    with tempfile.TemporaryDirectory() as folder:
        EmbeddingCache(folder).encode_documents(encoder, [text])
        got = EmbeddingCache(folder).encode_documents(encoder, [text])
    assert encoder.encoded == 1
    assert_same(got[0], *encoder.encode_documents([text]))


def test_extreme_floats_come_back_from_the_disk(tmp_path):
    encoder = TokenEncoder(("a", "b"), dim=3)
    tiny = np.finfo(np.float32).smallest_subnormal
    encoder.vectors[:] = [[-0.0, 0.0, tiny], [1e18, -1e18, np.nextafter(np.float32(1), np.float32(2))]]
    EmbeddingCache(tmp_path).encode_documents(encoder, ["x"])
    assert_same(EmbeddingCache(tmp_path).encode_documents(encoder, ["x"])[0], *encoder.encode_documents(["x"]))


def test_the_offline_model_is_asked_once_and_its_rows_come_back_bit_for_bit(tmp_path, offline: Encoder):
    texts = [
        "Elephants eat grass.",
        "Der Elefant trinkt Wasser.",
        "象は草を食べる。",
        "",
        "broken \ud800 text",
    ]
    want = EmbeddingCache(tmp_path).encode_documents(offline, texts)

    class Deaf:
        name, fingerprint, dim = offline.name, offline.fingerprint, offline.dim

        def encode_documents(self, texts, *, show_progress=False):
            raise AssertionError(f"encoded again: {texts}")

    for got, entry in zip(EmbeddingCache(tmp_path).encode_documents(Deaf(), texts), want, strict=True):
        assert_same(got, entry)
    assert [entry.complete for entry in want] == [entry.complete for entry in offline.encode_documents(texts)]


def test_a_second_cache_on_the_folder_encodes_nothing_and_reads_each_file_once(tmp_path):
    encoder = CountingEncoder()
    EmbeddingCache(tmp_path).encode_documents(encoder, ["a", "b"])
    second = EmbeddingCache(tmp_path)
    second.encode_documents(encoder, ["a", "b"])
    assert len(encoder.encoded) == 2
    assert len(second) == 2
    for file in files(tmp_path):
        file.unlink()
    second.encode_documents(encoder, ["a", "b"])  # from memory now
    assert len(encoder.encoded) == 2


def test_the_folder_appears_at_the_first_write_with_one_file_an_entry(tmp_path):
    folder = tmp_path / "new" / "cache"
    cache, encoder = EmbeddingCache(folder), CountingEncoder()
    cache.encode_queries(encoder, ["a question"])
    assert not folder.exists()
    cache.encode_documents(encoder, ["a", "b", "c", "a"])
    assert len(files(folder)) == 3
    for file in files(folder):
        assert file.parent.parent == folder
        assert file.parent.name == file.name[:2]


def test_the_text_itself_is_not_written(tmp_path):
    EmbeddingCache(tmp_path).encode_documents(CountingEncoder(), ["Agent  Smith"])
    (file,) = files(tmp_path)
    assert b"Agent" not in file.read_bytes()
    assert b"agentsmith" in file.read_bytes()  # but the tokens are, as the docstring says


def damaged(original: bytes, key: bytes) -> Iterator[tuple[str, bytes]]:
    """Ways in which a file can be wrong."""
    for length in [*range(0, 300), *range(300, len(original), 11)]:
        yield f"the first {length} bytes", original[:length]
    for position in [*range(0, 120), *range(120, len(original), 7)]:
        flipped = bytearray(original)
        flipped[position] ^= 1 << (position % 8)
        yield f"a bit of byte {position}", bytes(flipped)
    yield "an extra byte", original + b"\0"
    yield "garbage", random.Random(0).randbytes(len(original))
    yield "zeros", bytes(len(original))
    yield "twice", original + original
    magic, _ = original.split(b"\n", 1)
    yield "another version", original.replace(magic, magic[:-1] + b"2", 1)
    head, payload = magic + b"\n", original[len(magic) + 17 :]
    wrong = {name: np.zeros(1, np.float32) for name in ("vectors", "spans", "kinds", "letters", "lengths")}
    for name, content in {
        "no payload": b"",
        "short": b"\1\0\0",
        "a pickle": pickle.dumps([1, 2]),
        "json": b"\4\0\0\0\0\0\0\0null",
        "other arrays": save({"weights": np.zeros(3, np.float32)}),
        "wrong shapes": save(wrong),
        "an unknown dtype": payload.replace(b'"F32"', b'"F16"'),
        "nan": payload[:-64] + b"\xff" * 64,
    }.items():
        yield (
            f"{name}, with its right digest",
            head + hashlib.blake2b(content, key=key, digest_size=16).digest() + content,
        )


def test_a_damaged_file_is_encoded_again_and_put_right(tmp_path):
    text = "the quick brown fox"
    want = CountingEncoder()._encode(text)
    assert encoded_by_fresh_cache(tmp_path, text, want) == 1
    (file,) = files(tmp_path)
    original = file.read_bytes()
    kinds = list(damaged(original, bytes.fromhex(file.stem)))
    assert len(kinds) > 500
    for what, content in kinds:
        if what.startswith("nan"):
            continue
        file.write_bytes(content)
        assert encoded_by_fresh_cache(tmp_path, text, want) == 1, what
        assert file.read_bytes() == original, what
    assert encoded_by_fresh_cache(tmp_path, text, want) == 0
    assert files(tmp_path) == [file]


def test_a_file_under_another_entrys_name_is_not_believed(tmp_path):
    encoder = CountingEncoder()
    EmbeddingCache(tmp_path).encode_documents(encoder, ["fox"])
    (fox,) = files(tmp_path)
    EmbeddingCache(tmp_path).encode_documents(encoder, ["dog"])
    (dog,) = set(files(tmp_path)) - {fox}
    dog.write_bytes(fox.read_bytes())
    assert encoded_by_fresh_cache(tmp_path, "dog", encoder._encode("dog")) == 1
    assert encoded_by_fresh_cache(tmp_path, "fox", encoder._encode("fox")) == 0


def test_a_directory_in_place_of_a_file_is_left_alone_and_warned_about(tmp_path):
    want = CountingEncoder()._encode("fox")
    encoded_by_fresh_cache(tmp_path, "fox", want)
    (file,) = files(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.warns(UserWarning, match="cannot write to the cache folder"):
        assert encoded_by_fresh_cache(tmp_path, "fox", want) == 1
    assert file.is_dir()
    assert files(tmp_path) == []
    EmbeddingCache(tmp_path).clear()
    file.rmdir()
    assert encoded_by_fresh_cache(tmp_path, "fox", want) == 1
    assert encoded_by_fresh_cache(tmp_path, "fox", want) == 0


@pytest.mark.parametrize("module", [latelens.encoders.cache, latelens.encoders.cache_folder])
def test_nothing_is_ever_unpickled(module, tmp_path):
    tree = ast.parse(Path(module.__file__).read_text())
    imported = {
        name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    }
    assert not imported & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}
    assert "allow_pickle" not in Path(module.__file__).read_text()
    want = CountingEncoder()._encode("fox")
    encoded_by_fresh_cache(tmp_path, "fox", want)
    (file,) = files(tmp_path)
    trace = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (trace,)

    file.write_bytes(pickle.dumps(Bomb()))
    assert encoded_by_fresh_cache(tmp_path, "fox", want) == 1
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert trace.exists()  # the bomb was live


def test_clear_forgets_all_and_deletes_no_file_of_others(tmp_path):
    cache, encoder = EmbeddingCache(tmp_path), CountingEncoder()
    cache.encode_documents(encoder, ["a", "b"])
    name = files(tmp_path)[0].stem
    left_over = tmp_path / f"{name}.{'0' * 16}.tmp"
    left_over.write_bytes(b"half")
    inside = files(tmp_path)[0].parent
    foreign = [tmp_path / "notes.tmp", tmp_path / "README.emb", inside / "mine.emb", tmp_path / "aa.txt"]
    for file in foreign:
        file.write_text("mine")
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)
    assert files(tmp_path) == sorted(foreign)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [inside]
    cache.encode_documents(encoder, ["a"])
    assert encoder.encoded == ["a", "b", "a"]
    EmbeddingCache(tmp_path / "never made").clear()
    EmbeddingCache().clear()


def test_the_first_write_removes_old_left_overs_and_no_young_ones(tmp_path):
    old, young, foreign = (
        tmp_path / name for name in (f"{'a' * 64}.{'0' * 16}.tmp", f"{'b' * 64}.{'1' * 16}.tmp", "x.tmp")
    )
    for file in (old, young, foreign):
        file.write_bytes(b"half")
    for file in (old, foreign):
        os.utime(file, (time.time() - 3700, time.time() - 3700))
    cache = EmbeddingCache(tmp_path)
    assert old.exists()  # opening touches nothing
    cache.encode_documents(CountingEncoder(), ["a"])
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()


@pytest.mark.parametrize("broken", ["replace", "open", "mkdir"])
def test_a_folder_that_cannot_be_written_warns_once_and_ranking_goes_on(tmp_path, monkeypatch, broken):
    original = getattr(Path, broken)

    def fail(self, *arguments, **options):
        if broken == "open" and arguments[:1] != ("xb",):
            return original(self, *arguments, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, broken, fail)
    cache, encoder = EmbeddingCache(tmp_path, max_bytes=0), CountingEncoder()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            for text, got in zip("abc", cache.encode_documents(encoder, ["a", "b", "c"]), strict=True):
                assert_same(got, encoder._encode(text))
    assert len(caught) == 1
    assert str(tmp_path) in str(caught[0].message)
    assert "No space left" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert files(tmp_path) == []  # no half-written file stays
    monkeypatch.undo()
    cache.encode_documents(encoder, ["a"])
    assert len(files(tmp_path)) == 1  # space came back


def test_a_path_below_a_file_warns_and_ranking_goes_on(tmp_path):
    (tmp_path / "file").write_text("mine")
    cache, encoder = EmbeddingCache(tmp_path / "file" / "below"), CountingEncoder()
    with pytest.warns(UserWarning, match="cannot write to the cache folder"):
        cache.encode_documents(encoder, ["a"])
    cache.encode_documents(encoder, ["a"])
    assert encoder.encoded == ["a"]
    cache.clear()
    assert (tmp_path / "file").read_text() == "mine"


def test_a_path_that_is_a_file_is_refused(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(ValueError, match=r"notes\.txt' is a file; choose another"):
        EmbeddingCache(file)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_names_nothing_is_refused(path):
    with pytest.raises(ValueError, match="path must name a folder, got"):
        EmbeddingCache(path)


@pytest.mark.parametrize("path", [3, True, b"bytes", ["a"]])
def test_a_path_of_the_wrong_type_is_refused(path):
    with pytest.raises(TypeError, match="path must name a folder or be None, got"):
        EmbeddingCache(path)


def test_a_home_folder_is_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert EmbeddingCache("~/cache").path == tmp_path / "cache"


def test_a_negative_bound_is_refused():
    with pytest.raises(ValueError, match="max_bytes must be at least 0, got -1; 0 keeps nothing"):
        EmbeddingCache(max_bytes=-1)


@pytest.mark.parametrize("max_bytes", [1e9, "512MB", None, True])
def test_a_bound_that_is_no_int_is_refused(max_bytes):
    with pytest.raises(TypeError, match=f"max_bytes must be an int, got {type(max_bytes).__name__}"):
        EmbeddingCache(max_bytes=max_bytes)


def test_texts_of_the_wrong_type_are_refused():
    cache, encoder = EmbeddingCache(), CountingEncoder()
    with pytest.raises(TypeError, match="texts must be a sequence of str, got str; use a list"):
        cache.encode_documents(encoder, "fox")
    with pytest.raises(TypeError, match=r"texts\[1\] must be a str, got NoneType: None"):
        cache.encode_queries(encoder, ["fox", None])
    assert (encoder.encoded, encoder.asked, len(cache)) == ([], [], 0)


def test_an_encoder_that_returns_too_few_is_refused():
    class Short(CountingEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            return super().encode_documents(texts)[:-1]

    cache = EmbeddingCache()
    with pytest.raises(ValueError, match="one result a text, got 1 for 2"):
        cache.encode_documents(Short(), ["a", "b"])
    assert len(cache) == 0


def test_an_encoder_that_fails_leaves_the_cache_as_it_was(tmp_path):
    class Failing(CountingEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            raise RuntimeError("out of memory")

    cache = EmbeddingCache(tmp_path)
    with pytest.raises(RuntimeError, match="out of memory"):
        cache.encode_documents(Failing(), ["a"])
    assert (len(cache), files(tmp_path)) == (0, [])
    assert_same(cache.encode_documents(CountingEncoder(), ["a"])[0], CountingEncoder()._encode("a"))


def test_repr_says_what_is_inside(tmp_path):
    cache, encoder = EmbeddingCache(tmp_path), CountingEncoder()
    cache.encode_documents(encoder, ["a"])
    size = encoder._encode("a").nbytes
    assert repr(cache) == f"EmbeddingCache(path={str(tmp_path)!r}, entries=1, nbytes={size})"
    assert repr(EmbeddingCache()) == "EmbeddingCache(path=None, entries=0, nbytes=0)"


def test_a_rerankers_cache_argument_becomes_a_cache_and_json(tmp_path):
    memory, folder = EmbeddingCache(), EmbeddingCache(tmp_path)
    assert open_cache(False) is open_cache(None) is None
    assert open_cache(memory) is memory  # although it is empty
    assert open_cache(True).path is None
    assert open_cache(tmp_path).path == open_cache(str(tmp_path)).path == tmp_path
    settings = [True, False, None, memory, tmp_path, str(tmp_path), folder]
    there = str(tmp_path)
    assert [describe_cache(cache) for cache in settings] == [True, False, False, True, there, there, there]
    for wrong in (1, 0, 2.5, [tmp_path]):
        with pytest.raises(TypeError, match="cache must be True, False, a path or an EmbeddingCache, got"):
            open_cache(wrong)


def test_no_lock_is_held_while_an_encoder_works(tmp_path):
    cache = EmbeddingCache(tmp_path)

    class Nested(CountingEncoder):
        def encode_documents(self, texts, *, show_progress=False):
            cache.encode_documents(CountingEncoder("inner"), ["inner"])
            return super().encode_documents(texts)

    thread = threading.Thread(target=cache.encode_documents, args=(Nested(), ["outer"]), daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(cache) == 2


def test_the_book_keeping_is_touched_under_the_lock_only(tmp_path):
    class Guarded(OrderedDict):
        def __getitem__(self, key):
            assert cache._lock.locked()
            return super().__getitem__(key)

        def __setitem__(self, key, value):
            assert cache._lock.locked()
            super().__setitem__(key, value)

        def __contains__(self, key):
            assert cache._lock.locked()
            return super().__contains__(key)

    encoder = CountingEncoder()
    cache = EmbeddingCache(tmp_path, max_bytes=2 * encoder._encode("a").nbytes)
    cache._entries = Guarded()
    for text in "abacba":
        cache.encode_documents(encoder, [text])
        cache.encode_queries(encoder, [text])
    assert len(cache) == 2


@pytest.mark.parametrize("on_disk", [False, True])
def test_eight_threads_get_right_results(tmp_path, on_disk):
    texts = [f"text {i} " + "word " * (i % 7) for i in range(40)]
    want = FakeEncoder(dim=16).encode_documents(texts)
    cache = EmbeddingCache(tmp_path if on_disk else None, max_bytes=20 * want[3].nbytes)  # entries come and go
    encoder, barrier = CountingEncoder(), threading.Barrier(8)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        barrier.wait()
        for _ in range(25):
            picked = rng.choices(range(len(texts)), k=12)
            got = cache.encode_documents(encoder, [texts[i] for i in picked])
            for i, entry in zip(picked, got, strict=True):
                assert_same(entry, want[i])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert cache.nbytes == sum(entry.nbytes for entry in cache._entries.values()) <= cache.max_bytes
    assert not list(tmp_path.glob("*.tmp"))
    if on_disk:
        assert len(encoder.encoded) < 8 * len(texts)
        assert len(files(tmp_path)) == len(texts)


def start_writer(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(WRITER), str(folder)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)


def begin(writer: subprocess.Popen[str], texts: list[str]) -> None:
    assert writer.stdout.readline() == "ready\n"
    writer.stdin.write(json.dumps(texts) + "\n")
    writer.stdin.flush()


def numbered(name: str, count: int) -> list[str]:
    return [f"{name} {i} " + " ".join(f"word{i}x{j}" for j in range(20)) for i in range(count)]


@pytest.mark.filterwarnings("error::UserWarning")
def test_a_writer_killed_at_any_moment_leaves_only_right_entries(tmp_path):
    rng, kills, half_written, whole = random.Random(), 0, 0, 0
    waiting = deque(start_writer(tmp_path) for _ in range(3))
    while kills < 40 or (half_written < 2 and kills < 160):
        writer, texts = waiting.popleft(), numbered(f"round {kills}", 400)
        waiting.append(start_writer(tmp_path))
        before = len(list(tmp_path.glob("*/*.emb")))
        left_before = len(list(tmp_path.glob("*.tmp")))
        begin(writer, texts)
        time.sleep(rng.uniform(0, 0.04))
        writer.kill()
        writer.communicate()
        kills += 1
        written = len(list(tmp_path.glob("*/*.emb"))) - before
        half_written += len(list(tmp_path.glob("*.tmp"))) - left_before
        whole += written
        # It wrote in order, so exactly the first `written` texts are here, and all of them are right.
        encoder, asked = FakeEncoder(dim=1024), texts[: written + 2]
        got = EmbeddingCache(tmp_path, max_bytes=0).encode_documents(encoder, asked)
        assert encoder.encoded == asked[written:]
        for entry, want in zip(got, FakeEncoder(dim=1024).encode_documents(asked), strict=True):
            assert_same(entry, want)
        EmbeddingCache(tmp_path).encode_documents(encoder, asked)
        assert encoder.encoded == asked[written:]  # left-overs keep nobody from writing
        if kills % 5 == 0:
            EmbeddingCache(tmp_path).clear()
            assert files(tmp_path) == []
    for writer in waiting:
        writer.kill()
        writer.communicate()
    assert whole > 40
    assert half_written > 0  # some kills did strike in the middle of a write


def test_two_processes_may_write_one_folder_at_once(tmp_path):
    texts = numbered("shared", 150)
    first, second = start_writer(tmp_path), start_writer(tmp_path)
    begin(first, texts[:100])
    begin(second, texts[50:] + texts[:50][::-1])
    results = [writer.communicate(timeout=30) for writer in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert not [errors for _, errors in results if "cannot write" in errors]
    counts = [int(count) for count, _ in results]
    assert len(texts) <= sum(counts) <= 250
    encoder = FakeEncoder(dim=1024)
    got = EmbeddingCache(tmp_path).encode_documents(encoder, texts)
    assert encoder.encoded == []
    for entry, want in zip(got, FakeEncoder(dim=1024).encode_documents(texts), strict=True):
        assert_same(entry, want)
    assert len(files(tmp_path)) == len(texts)
