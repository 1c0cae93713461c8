"""The benchmarks of speed run, in a short form: what they print, write and draw is looked at, not their times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PARTS = ["scoring", "warm", "large", "encode", "retrieve", "attribution", "exact", "startup"]
RIVALS = {"sentence-transformers": 6, "PyLate": 0, "maxsim-cpu": 0}  # and the version that is measured


def run(folder: Path, *given: str) -> tuple[str, dict[str, Any]]:
    numbers = folder / "numbers.json"
    command = [sys.executable, str(BENCHMARKS), "--quick", "--json", str(numbers), *given]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, json.loads(numbers.read_text("utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("speed")
    printed, found = run(folder, "--plot", str(folder / "speed.svg"))
    return printed, found, folder / "speed.svg"


def test_one_command_measures_every_part_and_writes_a_table_and_json(whole: tuple[str, dict[str, Any], Path]) -> None:
    printed, found, _ = whole
    assert found["quick"] is True
    assert list(found["seconds"]) == PARTS
    for tables in found["seconds"].values():
        for title, times in tables.items():
            assert f"### {title}" in printed
            assert all(seconds > 0 and f"| {name} |" in printed for name, seconds in times.items())
    (times,) = found["seconds"]["warm"].values()
    assert next(iter(times)) == "explain='off'"
    assert "explain='evidence', all chunks" in times
    (large,) = found["seconds"]["large"].values()
    assert list(large) == ["in float32", "rounded rows first"]
    assert "of them scored exactly" in printed
    (encode,) = found["seconds"]["encode"].values()
    assert "latelens, encode_documents, with spans" in encode
    (search,) = found["seconds"]["retrieve"].values()
    assert next(iter(search)) == "ExactIndex"
    (answer,) = found["seconds"]["attribution"].values()
    assert list(answer) == [
        "attribute, sources kept",
        "attribute, nothing kept",
        "citations and marks of the result",
    ]
    brute, types = found["seconds"]["exact"].values()
    assert list(brute) == ["bare product", "float32", "rounded rows"]
    assert list(types) == ["float32", "float16", "int8"]


def test_a_rival_is_in_the_tables_or_named_with_how_to_install_it(whole: tuple[str, dict[str, Any], Path]) -> None:
    printed, found, _ = whole
    paths = " ".join(path for tables in found["seconds"].values() for times in tables.values() for path in times)
    for rival, least in RIVALS.items():
        try:
            there = int(metadata.version(rival).split(".")[0]) >= least
        except metadata.PackageNotFoundError:
            there = False
        assert (rival in paths) is there
        assert (f"{rival} is not in the tables: pip install " in printed) is not there
        assert any(line.startswith(rival) for line in found["missing"]) is not there


def test_the_picture_has_a_panel_for_each_table(whole: tuple[str, dict[str, Any], Path]) -> None:
    _, found, picture = whole
    groups = [group.get("id", "") for group in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}g")]
    panels = [name for name in groups if name.startswith("axes_")]
    assert len(panels) == sum(len(tables) for tables in found["seconds"].values())


def test_what_another_environment_measures_joins_the_tables(tmp_path: Path) -> None:
    printed, found = run(tmp_path, "--parts", "startup", "--also", sys.executable)
    assert list(found["seconds"]["startup"]) == ["Start of a process", f"Start of a process, with {sys.executable}"]
    assert printed.count("### Start of a process") == 2
