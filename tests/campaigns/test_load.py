"""Many at once, many in a row, and very much: the same bits, no growth, no error."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from fake_encoder import FakeEncoder
from growth import cpu_time
from langchain_core.documents import Document

from langchain_latelens import LateInteractionRerank
from latelens import EmbeddingCache, Encoder, rerank
from latelens.index import Chunk, ExactIndex
from latelens.text import split_passages, split_sentences

TEXTS = [f"Herds of {animal} eat grass. It rains on day {i}." for i, animal in enumerate(["elephants", "cows"] * 4)]
QUESTION = "What do elephants eat?"


def said(encoder: Encoder, cache: EmbeddingCache | None = None) -> list[tuple[int, float, tuple[str, ...]]]:
    ranked = rerank(QUESTION, TEXTS, encoder, cache=cache)
    return [(one.index, one.score, tuple(span.text for span in one.evidence)) for one in ranked]


def test_threads_and_coroutines_give_the_bits_of_one(offline: Encoder, campaign: int) -> None:
    alone, cache = said(offline), EmbeddingCache()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: said(offline, cache if i % 2 else None), range(16 * min(campaign, 10))))
    assert all(one == alone for one in together)
    reranker = LateInteractionRerank(model=offline, top_n=len(TEXTS))
    documents = [Document(text) for text in TEXTS]

    async def many() -> list[list[float]]:
        tasks = (reranker.acompress_documents(documents, QUESTION) for _ in range(50))
        return [[one.metadata["relevance_score"] for one in found] for found in await asyncio.gather(*tasks)]

    assert all(scores == [score for _, score, _ in alone] for scores in asyncio.run(many()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")
def test_a_fork_reads_what_its_parent_cached_and_scores_alike() -> None:
    encoder, cache = FakeEncoder(dim=64), EmbeddingCache()
    alone = said(encoder, cache)
    for _ in range(5):
        if (pid := os.fork()) == 0:
            os._exit(0 if said(encoder, cache) == alone else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does")
def test_an_interrupt_at_any_moment_leaves_cache_and_index_right(tmp_path, campaign: int) -> None:
    encoder, cache, index = FakeEncoder(dim=64), EmbeddingCache(tmp_path / "cache"), None
    alone = said(encoder)
    index = ExactIndex(encoder, tmp_path / "index")
    interrupted = 0
    for i in range(10 * campaign):
        deadline = time.monotonic() + 20
        timer = threading.Timer(0.0005 * (i % 20), os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            while time.monotonic() < deadline:
                said(encoder, cache)
                index.upsert([Chunk(f"c{j}", text, {"i": i}) for j, text in enumerate(TEXTS)])
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            timer.join()
        assert said(encoder, cache) == alone
        again = ExactIndex(encoder, tmp_path / "index")
        assert again.count() in (0, len(TEXTS))
        assert index.count() == again.count()
    assert interrupted == 10 * campaign


def test_reranks_in_a_row_do_not_grow(campaign: int, record_property) -> None:
    encoder, cache = FakeEncoder(dim=64), EmbeddingCache(max_bytes=2**20)
    for i in range(100):  # what is kept on purpose fills up first
        rerank(f"{QUESTION} {i}", [f"{text} {i}" for text in TEXTS], encoder, cache=cache)
        encoder.encoded.clear()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    count = 100 * min(campaign, 20)
    for i in range(count):
        rerank(f"{QUESTION} {i % 100}", [f"{text} {i % 100}" for text in TEXTS], encoder, cache=cache)
        encoder.encoded.clear()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    record_property("reranks", count)
    record_property("grown bytes", grown)
    assert grown < 4 * 2**20  # the cache's own bound, and the words and sentences that are remembered


def test_very_many_tiny_documents_are_stored_and_found(tmp_path, campaign: int, record_property) -> None:
    count = 2_000 * min(campaign, 50)
    index = ExactIndex(FakeEncoder(dim=32), tmp_path)
    index.add((Chunk(f"c{i}", f"w{i}", {"i": i}) for i in range(count)), batch_size=5_000)
    assert index.count() == count
    (hit,) = index.search(f"w{count // 2}", 1, filter={"i": count // 2})
    assert hit.chunk.id == f"c{count // 2}"
    record_property("documents", count)


def test_one_very_long_text_is_cut_at_once(campaign: int, record_property) -> None:
    size = 200_000 * min(campaign, 50)
    text = ("The herd eats grass, and it rains.\n\nWhy? Nobody (yet) knows: 3.5 % of them sleep. " * (size // 80 + 1))[
        :size
    ]
    seconds = cpu_time(lambda: split_passages(text), times=1)
    passages = split_passages(text)
    assert len(split_sentences(text)) >= len(passages) > size // 2_000
    assert all(one[1] <= two[0] for one, two in pairwise(passages))
    record_property("characters", size)
    record_property("seconds", seconds)
    assert seconds < 20 * size / 1_000_000 + 5
