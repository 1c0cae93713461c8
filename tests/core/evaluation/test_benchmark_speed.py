"""The benchmarks of speed run, in a short form: what they print and write is looked at, not their times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_one_command_measures_every_part_and_writes_a_table_and_json(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS), "--quick", "--json", str(tmp_path / "numbers.json")]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "numbers.json").read_text("utf-8"))
    assert found["quick"] is True
    assert list(found["seconds"]) == ["scoring", "warm", "exact", "startup"]
    for tables in found["seconds"].values():
        for title, times in tables.items():
            assert f"### {title}" in ran.stdout
            assert all(seconds > 0 and f"| {name} |" in ran.stdout for name, seconds in times.items())
    (times,) = found["seconds"]["warm"].values()
    assert next(iter(times)) == "explain='off'"
    assert "explain='evidence', all chunks" in times
    brute, types = found["seconds"]["exact"].values()
    assert list(brute) == ["bare product", "float32", "rounded rows"]
    assert list(types) == ["float32", "float16", "int8"]
