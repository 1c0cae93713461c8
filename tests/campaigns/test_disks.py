"""A full disk and a folder that may not be written: an error that says so, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[1]

FULL = """
import resource, signal, sys
sys.path.insert(0, {here!r})
from fake_encoder import FakeEncoder
from latelens import EmbeddingCache
from latelens.index import Chunk, ExactIndex

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
index = ExactIndex(FakeEncoder(dim=512), {folder!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # what a full disk says too: the write fails
added = 0
try:
    while added < 10_000:
        index.add([Chunk(f"c{{i}}", "herds eat grass " * 20, {{}}) for i in range(added, added + added // 2 + 1)])
        added += added // 2 + 1
        print(added, flush=True)
except (OSError, ValueError) as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are POSIX's")
def test_a_full_disk_is_said_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    from fake_encoder import FakeEncoder

    from latelens.index import ExactIndex

    code = FULL.format(here=str(HERE), folder=str(tmp_path / "index"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
    acknowledged = int(done.stdout.split()[-1])
    index = ExactIndex(FakeEncoder(dim=512), tmp_path / "index")
    assert index.count() == acknowledged
    assert len(index.search("herds", acknowledged + 5)) == acknowledged


@pytest.fixture
def read_only(tmp_path: Path):
    """A folder that nobody may write, the superuser neither."""
    folder = tmp_path / "fixed"
    folder.mkdir()
    if os.name != "posix":
        pytest.skip("permissions are POSIX's")
    if os.geteuid() == 0:
        done = subprocess.run(["chattr", "+i", str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("the superuser may write everywhere here: files cannot be made immutable")
    else:
        folder.chmod(0o500)
    yield folder
    if os.geteuid() == 0:
        subprocess.run(["chattr", "-i", str(folder)], check=True)
    folder.chmod(0o700)


def test_a_folder_that_may_not_be_written_is_said(read_only: Path) -> None:
    from fake_encoder import FakeEncoder

    from latelens import EmbeddingCache, rerank
    from latelens.index import Chunk, ExactIndex

    with pytest.raises((OSError, ValueError), match="fixed"):
        ExactIndex(FakeEncoder(dim=32), read_only / "index").add([Chunk("a", "herds")])
    with pytest.warns(UserWarning, match="cannot write to the cache folder .*fixed"):
        (ranked,) = rerank("herds", ["herds eat"], FakeEncoder(dim=32), cache=EmbeddingCache(read_only / "cache"))
    assert ranked.score == 2.0  # the word, and what plays [CLS]
