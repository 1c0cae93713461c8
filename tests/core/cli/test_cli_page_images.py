"""`latelens --pages`: pages as images, ranked, with their regions."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_encoder import FakeEncoder
from page_images import ColourEncoder, painted, painted_pdf
from pypdf import PdfReader

import latelens.cli.command
from latelens.cli import main
from latelens.patches import Grid

REPORT = painted_pdf(
    ({"green": (0, 0, 100, 100)}, [("Contents", 150, 60)]),
    ({"red": (0, 200, 400, 300)}, [("Net revenue 4,512", 50, 255), ("Notes", 50, 450)]),
)
ASK = ["red", "report.pdf", "--pages", "--model", "colours"]


@pytest.fixture(autouse=True)
def report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = {"colours": ColourEncoder(Grid(4, 5)), "texts": FakeEncoder("texts")}
    monkeypatch.setattr(latelens.cli.command, "load_encoder", lambda name, **_: models[name])
    Path("report.pdf").write_bytes(REPORT)


def test_pages_are_ranked_and_named(capsys):
    assert main(ASK) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1. report.pdf, page 2  score 1.00")
    assert "2. report.pdf, page 1  score 0.00" in printed
    assert printed.rstrip().endswith("best 2 of 2 pages of 1 file, by colours")


def test_why_names_the_cell_of_each_match(capsys):
    assert main([*ASK, "-n", "1", "--why"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "red 0 400 200 600 0 200 100 300 Net, revenue 1.000" in lines


def test_json_has_the_regions_with_their_words(capsys):
    assert main([*ASK, "--json", "-n", "1", "--why"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["files"], found["pages"], found["model"], found["question"]) == (1, 2, "colours", "red")
    (result,) = found["results"]
    assert (result["file"], result["page"], result["score"], result["off_page"]) == ("report.pdf", 2, 1.0, 0.0)
    (region,) = result["regions"]
    assert (region["box"], region["words"], region["query_words"]) == ([0, 0.4, 1, 0.6], "Net revenue 4,512", ["red"])
    assert [(line["contribution"], line["boxes"]) for line in result["ledger"]] == [(1.0, [[0, 0.4, 0.25, 0.6]])]


def test_a_report_a_picture_and_a_marked_copy_are_written(capsys):
    assert main([*ASK, "--html", "report.html", "--plot", "plot.png", "--pdf", "marked.pdf"]) == 0
    shown = Path("report.html").read_text(encoding="utf-8")
    assert shown.count("base64,") == 2  # two pages; the region cut out is a part of one
    assert shown.count('role="img" aria-label="') == 3
    assert "Net revenue 4,512" in shown
    assert Path("plot.png").read_bytes().startswith(b"\x89PNG")
    reader = PdfReader("marked.pdf")
    assert [len(page.annotations or []) for page in reader.pages] == [0, 1]
    assert reader.pages[1].annotations[0].get_object()["/Contents"] == "red\nanswers: red\nscore 1.00, result 1"
    assert "wrote marked.pdf, a marked copy of report.pdf" in capsys.readouterr().err


def test_folders_images_and_standard_input_are_read(capsys, monkeypatch):
    Path("scans").mkdir()
    painted((40, 50), {"red": (0, 0, 10, 10)}).save("scans/red.png")
    Path("scans/notes.txt").write_text("red")
    assert main(["red", "scans", "--pages", "--model", "colours", "--json"]) == 0
    said = capsys.readouterr()
    assert [result["file"] for result in json.loads(said.out)["results"]] == [str(Path("scans/red.png"))]
    assert "skipped 1 file of other types (.txt)" in said.err
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(REPORT), fileno=lambda: 0))
    assert main(["red", "-", "--pages", "--model", "colours", "-n", "1"]) == 0
    assert capsys.readouterr().out.startswith("1. (standard input), page 2  score 1.00")


def test_what_cannot_be_read_is_skipped_and_named(capsys):
    Path("damaged.pdf").write_bytes(b"%PDF-1.7 nothing")
    assert main(["red", "damaged.pdf", *ASK[1:]]) == 0
    assert "latelens: skipped damaged.pdf: " in capsys.readouterr().err
    assert main(["red", "damaged.pdf", "--pages", "--model", "colours"]) == 2
    assert "there is no page to search" in capsys.readouterr().err
    assert main([*ASK, "--min-score", "5"]) == 1
    assert capsys.readouterr().err == "latelens: nothing found in 2 pages of 1 file\n"


def test_a_model_that_does_not_fit_is_refused_with_what_to_do(capsys):
    assert main(["red", "report.pdf", "--pages", "--model", "texts"]) == 2
    assert "'texts' reads texts, and --pages asks for images of pages: name a model of" in capsys.readouterr().err
    assert main(["red", "report.pdf", "--model", "colours"]) == 2
    assert "'colours' reads images of pages, not texts: add --pages" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pages"], "--pages needs --model"),
        (["--pages", "--model", "colours", "--min-relevance", ".5"], "--min-score"),
    ],
)
def test_arguments_that_cannot_go_together_are_refused_at_once(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(["red", "report.pdf", *arguments])
    assert message in capsys.readouterr().err


def test_a_cache_spares_the_pages_that_were_encoded(monkeypatch, tmp_path):
    encoder = ColourEncoder(Grid(4, 5))
    monkeypatch.setattr(latelens.cli.command, "load_encoder", lambda name, **_: encoder)
    for _ in range(2):
        assert main([*ASK, "--cache", str(tmp_path / "cache")]) == 0
    assert encoder.encoded == 2
