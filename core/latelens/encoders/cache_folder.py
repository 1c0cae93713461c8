"""The folder of an `EmbeddingCache`: one file an entry, written whole or not at all, believed only if it is right."""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path

from latelens.embeddings import TokenEmbeddings
from latelens.refusals import warn_caller
from latelens.serialize import from_bytes, to_bytes

_MAGIC = b"latelens embeddings 1\n"  # raise the number when the layout changes: older files are then misses
_OUR_FILE = re.compile(r"[0-9a-f]{64}(\.emb|\.[0-9a-f]{16}\.tmp)")
_ABANDONED = 3600  # seconds; a write takes milliseconds, so whoever began an older temporary file is dead


class CacheFolder:
    """Entries as files. There is no fsync: a file that a power cut left unfinished fails its digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._swept = False
        self._unwarned = threading.Lock()  # taken by the thread that warns, and never given back

    def read(self, key: bytes, text: str) -> TokenEmbeddings | None:
        """Return the entry of a text; None if its file is missing or not to be believed."""
        try:
            with self._file(key).open("rb", buffering=0) as file:
                head = file.read(len(_head(key, b"")))
                payload = file.read() if head.startswith(_MAGIC) else b""
            return from_bytes(payload, text) if head == _head(key, payload) else None
        except Exception:  # whatever is wrong with a file, encoding its text again puts it right
            return None

    def write(self, key: bytes, entry: TokenEmbeddings) -> None:
        """Write an entry over what is there; the first failure warns."""
        payload = to_bytes(entry)
        try:
            self._replace(self._file(key), _head(key, payload), payload)
        except OSError as error:
            if self._unwarned.acquire(blocking=False):
                warn_caller(
                    f"cannot write to the cache folder {str(self.path)!r} ({error}): results are right, but "
                    "their texts will be encoded again; free space, or choose another folder"
                )

    def clear(self) -> None:
        """Delete our files, and the sub-folders that this leaves empty."""
        _delete_ours(self.path)
        for folder in list(self.path.glob("[0-9a-f][0-9a-f]")):
            _delete_ours(folder)
            with suppress(OSError):  # a file of somebody else's is in it
                folder.rmdir()

    def _file(self, key: bytes) -> Path:
        return self.path / key.hex()[:2] / f"{key.hex()}.emb"

    def _replace(self, file: Path, head: bytes, payload: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            _delete_ours(self.path, before=time.time() - _ABANDONED)
        # Beside the sub-folders: one short listing finds what killed writers left, however large the cache.
        temporary = self.path / f"{file.stem}.{secrets.token_hex(8)}.tmp"
        try:
            with temporary.open("xb") as out:
                out.writelines([head, payload])
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)


def _delete_ours(folder: Path, *, before: float = math.inf) -> None:
    for file in list(folder.iterdir()) if folder.is_dir() else []:
        with suppress(FileNotFoundError):  # another process was quicker
            if _OUR_FILE.fullmatch(file.name) and file.is_file() and file.stat().st_mtime < before:
                file.unlink()


def _head(key: bytes, payload: bytes) -> bytes:
    # The key is in the digest: a file that stands under another entry's name is not believed.
    return _MAGIC + hashlib.blake2b(payload, key=key, digest_size=16).digest()
