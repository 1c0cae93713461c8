"""A full disk and a folder that may not be written: an error that says so, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder
from index_kinds import KINDS, Kind, skip_without

HERE = Path(__file__).resolve().parents[1]

FULL = """
import resource, signal, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from fake_encoder import FakeEncoder
from index_kinds import kind_named
from latelens.index import Chunk

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
index = kind_named({kind!r}).open(FakeEncoder(dim=64), Path({folder!r}))
index.add([Chunk("c0", "herds eat", {{}})])
print(1, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))  # what a full disk says too: the write fails
added = 1
try:
    while added < 10_000:  # texts that differ: LanceDB keeps equal rows once
        new = range(added, added + added // 2 + 1)
        index.add([Chunk(f"c{{i}}", f"herd {{i}} eats grass " * 20, {{}}) for i in new])
        added += added // 2 + 1
        print(added, flush=True)
except Exception as error:  # the engines have errors of their own
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(3)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits on files are POSIX's")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.durable], ids=str)
def test_a_full_disk_is_said_and_loses_nothing_acknowledged(kind: Kind, tmp_path: Path, record_property) -> None:
    skip_without(kind)
    code = FULL.format(here=str(HERE), kind=kind.name, folder=str(tmp_path / "index"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stderr
    acknowledged = int(done.stdout.split()[-1])
    assert re.search("too large|disk", done.stderr)
    index = kind.open(FakeEncoder(dim=64), tmp_path / "index")
    assert None not in index.get([f"c{i}" for i in range(acknowledged)])
    assert len(index.search("herds", index.count() + 5)) == index.count() >= acknowledged  # of the last batch, a part
    kind.close(index)
    record_property("acknowledged", acknowledged)


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
    from latelens import EmbeddingCache, rerank
    from latelens.index import Chunk, ExactIndex

    with pytest.raises((OSError, ValueError), match="fixed"):
        ExactIndex(FakeEncoder(dim=32), read_only / "index").add([Chunk("a", "herds")])
    with pytest.warns(UserWarning, match="cannot write to the cache folder .*fixed"):
        (ranked,) = rerank("herds", ["herds eat"], FakeEncoder(dim=32), cache=EmbeddingCache(read_only / "cache"))
    assert ranked.score == 2.0  # the word, and what plays [CLS]
