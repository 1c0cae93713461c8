"""The folder of an `ExactIndex`: segment files, and a manifest that is replaced whole and says which of them count."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from latelens.index.exact.live_segments import LiveSegment
from latelens.index.exact.segment_file import SegmentFile, damaged, open_segment, write_segment
from latelens.index.exact.segments import Draft

_OUR_FILE = re.compile(r"(segment-[0-9a-f]{16}\.safetensors|manifest-[0-9a-f]{16}\.tmp)")
# Seconds to wait for another writer: a batch takes milliseconds, tidying up at most some seconds.
_PATIENCE = 60.0


class Folder:
    """Where an index lies. Any number of processes read it, and one at a time writes.

    A write is a new segment file, then a new manifest under the old one's name, each put on disk before the next: so
    whoever is killed, and whenever, the manifest names whole files only. What else lies about is swept later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.Lock()

    def manifest(self) -> bytes | None:
        """The manifest as it is written; None where there is none yet.

        Reading it takes 20 microseconds, and compares better than the time of its last change: on a folder in memory
        a file can change twice within one tick of the clock, and get its old inode back.

        Raises
        ------
        ValueError
            If it is missing although segments are there.
        """
        file = self.path / "manifest.json"
        try:
            return file.read_bytes()
        except FileNotFoundError:
            if any(self.path.glob("segment-*.safetensors")) and not file.exists():
                raise damaged(file, "it is missing, although segments are there") from None
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other writers out; the system gives the lock back when a process dies.

        Raises
        ------
        TimeoutError
            If another writer does not finish.
        """
        with self._mutex:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
            try:
                deadline = time.monotonic() + _PATIENCE
                while not try_lock(descriptor):
                    if time.monotonic() > deadline:
                        raise TimeoutError(
                            f"another process has been writing to {str(self.path)!r} for {_PATIENCE:.0f} s; one "
                            "writes at a time: wait for it, or stop it"
                        )
                    time.sleep(0.01)
                yield
            finally:
                os.close(descriptor)

    def read(self, manifest: bytes) -> dict[str, Any]:
        """What a manifest says.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        file = self.path / "manifest.json"
        try:
            found = json.loads(manifest)
        except ValueError as error:
            raise damaged(file, f"it is no JSON ({error})") from error
        if not isinstance(found, dict) or found.pop("digest", None) != _digest(found):
            raise damaged(file, "its content is not what was written")
        return found

    def parts(self, manifest: Mapping[str, Any], known: Sequence[LiveSegment]) -> tuple[LiveSegment, ...]:
        """What a manifest names; segments that are open already stay open.

        Raises
        ------
        FileNotFoundError
            If a file is not there: the manifest is outdated, or the folder is damaged.
        """
        open_already = {part.file.name: part.segment for part in known if part.file is not None}
        parts = []
        for entry in manifest["segments"]:
            file = SegmentFile(**{key: entry[key] for key in SegmentFile.__dataclass_fields__})
            segment = open_already.get(file.name) or open_segment(self.path, file)
            dead = np.frombuffer(base64.b64decode(entry["dead"]), dtype=np.uint8)
            bits = np.unpackbits(dead, count=len(segment)) if len(dead) else np.zeros(len(segment), dtype=np.uint8)
            parts.append(LiveSegment(segment, bits.astype(bool), file))
        return tuple(parts)

    def write(self, draft: Draft, row_type: str) -> LiveSegment:
        """Put a new segment on disk; it does not count until a manifest names it."""
        file = write_segment(draft, self.path / f"segment-{secrets.token_hex(8)}.safetensors", row_type)
        segment = open_segment(self.path, file, trusted=True)
        return LiveSegment(segment, np.zeros(len(segment), dtype=bool), file)

    def replace(self, head: Mapping[str, Any], parts: Sequence[LiveSegment]) -> bytes:
        """Put a new manifest on disk, and return it: with it, the parts count and no others."""
        sync(self.path)  # the names of the segment files
        entries = [
            {
                **asdict(part.file),
                "dead": base64.b64encode(np.packbits(part.dead).tobytes()).decode() if part.dead.any() else "",
            }
            for part in parts
            if part.file is not None
        ]
        content = {**head, "segments": entries}
        manifest = json.dumps({**content, "digest": _digest(content)}).encode()
        temporary = self.path / f"manifest-{secrets.token_hex(8)}.tmp"
        try:
            with temporary.open("xb") as out:
                out.write(manifest)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self.path / "manifest.json")
        finally:
            temporary.unlink(missing_ok=True)
        sync(self.path)
        return manifest

    def sweep(self, parts: Sequence[LiveSegment]) -> None:
        """Delete files of ours that no manifest names; whoever has them mapped keeps them until then."""
        kept = {part.file.name for part in parts if part.file is not None}
        for file in list(self.path.iterdir()):
            if _OUR_FILE.fullmatch(file.name) and file.name not in kept:
                with suppress(OSError):  # Windows keeps a file that is mapped: the next sweep takes it
                    file.unlink()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int) -> bool:
        """Whether an open file is now locked for whoever has it open."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def sync(folder: Path) -> None:
        """Windows has no such call for folders."""
else:
    import fcntl

    def try_lock(descriptor: int) -> bool:
        """Whether an open file is now locked for whoever has it open."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def sync(folder: Path) -> None:
        """Put the names of a folder's files on disk."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
