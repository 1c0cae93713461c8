"""A digest of settings: what was cached for one model must not answer for another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def settings_digest(*settings: Any) -> str:
    """Digest of settings that JSON can write; of others, their text."""
    written = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.blake2b(written.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def file_digest(file: Path) -> str:
    """Digest of a file's bytes, read in parts."""
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as opened:
        while part := opened.read(1 << 22):
            digest.update(part)
    return digest.hexdigest()
