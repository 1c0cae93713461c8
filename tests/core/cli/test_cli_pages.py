"""`latelens` on PDFs: places on the page, a marked copy, pictures in the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder
from made_pdfs import column, made_pdf
from pypdf import PdfReader

import latelens.cli.command
from latelens.cli import main
from latelens.pages import open_pages

PAGES = ("It rains on the plains.", "Herds eat grass every day. Lions sleep for most of it.")


@pytest.fixture(autouse=True)
def manual(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(latelens.cli.command, "load_encoder", lambda name, **_: FakeEncoder())
    monkeypatch.setattr(latelens.cli.command, "_word_reader", lambda: None)
    first, second = (column(text, width=20, top=top) for text, top in zip(PAGES, (720, 200), strict=True))
    Path("manual.pdf").write_bytes(made_pdf(first, second))


def test_a_place_is_a_page_and_a_part_of_it(capsys):
    assert main(["eat grass", "manual.pdf", "-n", "1"]) == 0
    assert capsys.readouterr().out.startswith("1. manual.pdf, page 2, lower half, left  score")


def test_json_has_the_boxes_of_the_evidence(capsys):
    assert main(["eat grass", "manual.pdf", "-n", "1", "--json"]) == 0
    (evidence,) = json.loads(capsys.readouterr().out)["results"][0]["evidence"]
    page = open_pages("manual.pdf")[1]
    start = page.text.index(evidence["text"])
    boxes = page.boxes_of(start, start + len(evidence["text"]))
    assert evidence["page"] == 2
    assert evidence["boxes"] == [[pytest.approx(edge, abs=1e-4) for edge in box] for box in boxes]


def test_a_marked_copy_is_written(capsys):
    assert main(["eat grass", "manual.pdf", "-n", "1", "--pdf", "marked.pdf"]) == 0
    assert "wrote marked.pdf" in capsys.readouterr().err
    reader = PdfReader("marked.pdf")
    assert [len(page.annotations or []) for page in reader.pages] == [0, 1]
    assert reader.pages[1].annotations[0].get_object()["/Contents"].startswith("eat grass\nanswers: eat, grass")
    assert reader.outline[0].title == "Evidence: eat grass"


def test_of_several_pdfs_the_best_is_marked_and_the_others_are_named(capsys):
    Path("other.pdf").write_bytes(made_pdf(column("Sheep eat grass, too.")))
    Path("third.pdf").write_bytes(made_pdf(column("Goats eat the grass of others.")))
    Path("notes.txt").write_text("Cows eat grass as well.")
    assert (
        main(["herds eat grass every day", "manual.pdf", "other.pdf", "third.pdf", "notes.txt", "--pdf", "m.pdf"]) == 0
    )
    said = capsys.readouterr().err
    assert "wrote m.pdf, a marked copy of manual.pdf; not in it: what was found in " in said
    assert sorted(said.split("found in ")[1].strip().split(", ")) == ["other.pdf", "third.pdf"]
    assert "Herds" in PdfReader("m.pdf").pages[1].extract_text()


def test_the_report_has_pictures_of_the_pages():
    assert main(["eat grass", "manual.pdf", "-n", "1", "--html", "report.html"]) == 0
    report = Path("report.html").read_text(encoding="utf-8")
    assert report.count("base64,") == 1
    assert report.count('role="img" aria-label="') == 2  # the page, and the evidence cut out
    assert 'aria-label="Explained ranking"' in report


def test_what_no_pdf_is_found_in_cannot_be_marked(capsys):
    Path("notes.txt").write_text("Herds eat grass.")
    assert main(["eat grass", "notes.txt", "--pdf", "marked.pdf"]) == 2
    assert "none of those found is from one" in capsys.readouterr().err
    assert not Path("marked.pdf").exists()
    assert main(["eat grass", "manual.pdf", "--pdf", "manual.pdf"]) == 2
    assert "would be overwritten" in capsys.readouterr().err


def test_a_scan_is_read_where_there_is_a_reader(capsys, monkeypatch):
    class Reader:
        name = "reader"

        def read_words(self, image):
            from latelens.pages import SeenWord

            return [[SeenWord("Herds", (10, 10, 60, 30)), SeenWord("eat", (70, 10, 90, 30))]]

    monkeypatch.setattr(latelens.cli.command, "_word_reader", Reader)
    Path("scan.pdf").write_bytes(made_pdf([], [("It rains.", 72, 720)]))
    assert main(["eat", "scan.pdf", "-n", "1"]) == 0
    said = capsys.readouterr()
    assert said.err == "latelens: scan.pdf: no text layer on page 1 of 2: read by OCR\n"
    assert "page 1, upper half, left" in said.out
