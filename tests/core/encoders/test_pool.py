from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from pool_encoders import Changing, Troubled

from latelens import Encoder
from latelens.encoders import OFFLINE_MODEL
from latelens.encoders.pool import EncoderPool
from latelens.index import Chunk
from latelens.index.exact import ExactIndex

TEXTS = [f"text {i} " + "word " * (i * 7 % 13) for i in range(60)]


@pytest.fixture(scope="module")
def pool() -> Iterator[EncoderPool]:
    with EncoderPool(Troubled(), processes=2) as pool:
        yield pool


def test_a_pool_is_an_encoder_like_the_one_inside(pool: EncoderPool) -> None:
    assert isinstance(pool, Encoder)
    assert (pool.name, pool.dim, pool.fingerprint) == ("troubled", 64, "troubled-64")
    assert pool.calibration is None


def test_rows_come_back_in_order_and_as_one_process_makes_them(pool: EncoderPool) -> None:
    encoded = pool.encode_documents(TEXTS)
    for got, want in zip(encoded, Troubled().encode_documents(TEXTS), strict=True):
        assert (got.text, got.tokens, got.complete) == (want.text, want.tokens, want.complete)
        assert np.array_equal(got.vectors, want.vectors)
        assert np.array_equal(got.spans, want.spans)
        assert np.array_equal(got.kinds, want.kinds)


def test_two_processes_share_the_work_and_this_one_does_none(pool: EncoderPool) -> None:
    encoded = pool.encode_documents([f"where {i} " + "x " * 2000 for i in range(80)])
    homes = {document.tokens[-1] for document in encoded}
    assert str(os.getpid()) not in homes
    assert 1 <= len(homes) <= 2


def test_queries_and_a_few_documents_are_encoded_here(pool: EncoderPool) -> None:
    assert pool.encode_documents(["raise"] * 15)[0].text == "raise"
    assert pool.encode_queries(["raise"])[0].text == "raise"
    assert pool.encode_documents([]) == []


def test_what_a_worker_raises_is_raised_here_and_the_pool_goes_on(pool: EncoderPool) -> None:
    with pytest.raises(ValueError, match="cannot read 'please raise'"):
        pool.encode_documents([*TEXTS, "please raise"])
    assert len(pool.encode_documents(TEXTS)) == len(TEXTS)


def test_a_worker_that_dies_is_named_and_the_next_call_starts_new_ones(pool: EncoderPool) -> None:
    with pytest.raises(RuntimeError, match=r"a worker process of EncoderPool\('troubled', processes=2\) died"):
        pool.encode_documents([*TEXTS, "please die"])
    assert len(pool.encode_documents(TEXTS)) == len(TEXTS)


def test_an_index_filled_by_a_pool_is_opened_without_one(pool: EncoderPool, tmp_path: Path) -> None:
    chunks = [Chunk(f"c{i}", text) for i, text in enumerate(TEXTS)]
    assert ExactIndex(pool, tmp_path).add(chunks, batch_size=32) == len(TEXTS)
    index = ExactIndex.open(tmp_path, Troubled())
    alone = ExactIndex(Troubled())
    alone.add(chunks)
    assert [(hit.chunk, hit.score) for hit in index.search("text 7", 5)] == [
        (hit.chunk, hit.score) for hit in alone.search("text 7", 5)
    ]


def test_a_progress_bar_is_shown_on_request(pool: EncoderPool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.encode_documents(TEXTS, show_progress=True)
    assert "60/60" in capsys.readouterr().err
    pool.encode_documents(TEXTS)
    assert capsys.readouterr().err == ""


def test_the_offline_model_gives_the_rows_of_one_process(offline: Encoder) -> None:
    texts = [f"Elephants eat about {i} kilograms of grass, bark and roots a day." for i in range(24)]
    with EncoderPool(OFFLINE_MODEL, processes=1) as pool:
        encoded = pool.encode_documents(texts)
        assert pool.fingerprint == offline.fingerprint
        assert pool.calibration == offline.calibration is not None
    for got, want in zip(encoded, offline.encode_documents(texts), strict=True):
        assert got.tokens == want.tokens
        assert got.spans.tolist() == want.spans.tolist()
        assert abs(got.vectors - want.vectors).max() < 1e-5


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    pool = EncoderPool(str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="there is no model folder"):
        pool.encode_documents(TEXTS)
    pool.close()


def test_workers_that_load_another_model_are_refused() -> None:
    with EncoderPool(Changing(), processes=1) as pool, pytest.raises(RuntimeError, match="loaded another 'fake'"):
        pool.encode_documents(TEXTS)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"processes": 0}, ValueError, "processes must be an int of at least 1 or None, got 0"),
        ({"processes": True}, ValueError, "processes must be"),
        ({"devices": []}, ValueError, "devices must be a list"),
        ({"devices": "cpu"}, ValueError, "devices must be a list"),
        ({"devices": ["cpu"]}, ValueError, r"devices=\['cpu'\] need a name or a folder.* got a FakeEncoder"),
        ({"model": 3}, TypeError, "must be a name or a folder, got int; save a loaded model"),
    ],
)
def test_arguments_out_of_range_are_refused(options: dict, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        EncoderPool(**{"model": FakeEncoder(), **options})


def test_a_loaded_encoder_is_loaded_again_by_each_worker(offline: Encoder) -> None:
    with EncoderPool(offline, processes=1) as pool:
        for got, want in zip(pool.encode_documents(TEXTS), offline.encode_documents(TEXTS), strict=True):
            assert abs(got.vectors - want.vectors).max() < 1e-5


def test_an_encoder_that_cannot_be_pickled_is_refused() -> None:
    encoder = FakeEncoder()
    encoder.lock = threading.Lock()
    with pytest.raises(TypeError, match=r"must be a name or a folder, got FakeEncoder \(cannot pickle"):
        EncoderPool(encoder)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from pool_encoders import Troubled
from latelens.encoders.pool import EncoderPool

if __name__ == "__main__":
    with EncoderPool(Troubled(), processes=2) as pool:
        pool.encode_documents(["text"] * 20)
        print(*pool._executor._processes, flush=True)
        pool.encode_documents(["{text}"] * 20)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGINT"])
def test_no_worker_outlives_a_parent_that_is_stopped(tmp_path: Path, sent: str) -> None:
    text = "please sleep" if sent == "SIGKILL" else "wait"
    script = tmp_path / "script.py"
    script.write_text(
        SCRIPT.format(tests=str(Path(__file__).parents[2]), text=text) + ("" if sent == "SIGKILL" else LOOP)
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A shell's background job ignores SIGINT, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    time.sleep(0.3)
    os.killpg(parent.pid, signal.SIGINT) if sent == "SIGINT" else parent.kill()
    try:
        parent.communicate(timeout=30)
    finally:
        parent.kill()
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.05)


LOOP = """
        while True:
            pool.encode_documents(["text"] * 200)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
