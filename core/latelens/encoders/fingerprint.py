"""A digest of settings: what was cached for one model must not answer for another."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def settings_digest(*settings: Any) -> str:
    """Digest of settings that JSON can write; of others, their text."""
    written = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.blake2b(written.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
