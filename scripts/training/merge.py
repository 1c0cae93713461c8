"""Write a run as a folder that `load_encoder` takes: python scripts/training/merge.py RUN/delta.safetensors FOLDER."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from latelens.encoders.local.delta import write_merged
from latelens.encoders.offline import offline_model_path


def main(given: Sequence[str]) -> int:
    """Write the folder."""
    delta, folder = given
    write_merged(offline_model_path(), Path(folder), Path(delta).read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
