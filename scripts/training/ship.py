"""Put a run's delta into the package: python scripts/training/ship.py RUN/delta.safetensors."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from latelens.encoders import offline


def main(given: Sequence[str]) -> int:
    """Copy the file and write its digest where loading checks it."""
    (delta,) = given
    content = Path(delta).read_bytes()
    source = Path(offline.__file__)
    (source.parent / "deltas" / "latelens-mini.safetensors").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    text = source.read_text(encoding="utf-8")
    changed = re.sub(r'^_DELTA_SHA256 = ".*"$', f'_DELTA_SHA256 = "{digest}"', text, flags=re.MULTILINE)
    source.write_text(changed, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
