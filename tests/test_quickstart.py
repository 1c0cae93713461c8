"""The first two minutes: quiet, one model, and a line on what to try next."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import sentence_transformers

QUICKSTART = Path(__file__).resolve().parents[1] / "cookbook" / "quickstart.py"


def test_the_quickstart_prints_nothing_but_its_result_and_ends_with_what_to_try_next() -> None:
    done = subprocess.run(
        [sys.executable, str(QUICKSTART)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("0.39  matches: often, replaced") == 2  # once in each framework
    assert "answers" not in done.stdout
    assert done.stdout.splitlines()[-1] == 'Next, your own files: latelens "your question" folder/ --html report.html'


def test_the_quickstart_loads_one_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = []
    for name in ("SentenceTransformer", "MultiVectorEncoder"):
        if (kind := getattr(sentence_transformers, name, None)) is not None:
            made = kind.__init__

            def init(self, *args, made=made, **options):
                loaded.extend(args)  # a place to load from; a model put together from another's parts has none
                made(self, *args, **options)

            monkeypatch.setattr(kind, "__init__", init)
    with pytest.raises(SystemExit):
        runpy.run_path(str(QUICKSTART), run_name="__main__")
    assert len(loaded) == 1
    capsys.readouterr()
