"""The files that chunks name: which they are, which are opened, and what is found in them."""

from __future__ import annotations

import pytest
from made_pdfs import column, made_pdf
from pypdf import PdfReader, PdfWriter
from tiny_pdf import tiny_pdf

from latelens.pages import FilePage, PageFiles, file_page

FIRST = "In spring the valve is checked by two people. It takes an hour."
SECOND = "In autumn the pump is checked by three people. It takes a whole day."
THIRD = "In winter the plant rests and nothing is checked at all. It takes months."


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"source": "a.pdf", "page": 6, "page_label": "7"}, FilePage("a.pdf", 6)),  # LangChain
        ({"source": "a.pdf", "file_path": "/x/a.pdf", "page": 0}, FilePage("/x/a.pdf", 0)),
        ({"source": "a.pdf", "page_number": 7, "filename": "a.pdf"}, FilePage("a.pdf", 6)),  # Unstructured
        ({"file_name": "a.pdf", "page_label": "iv"}, FilePage("a.pdf", None, "iv")),  # LlamaIndex
        # What loaders wrote of the third page of a PDF, which calls it 1: langchain-community 0.4.2, in whose PyMuPDF,
        # PDFPlumber and PyPDFium2 loaders the label is missing, and llama-index-readers-file 0.7.0.
        ({"source": "/x/a.pdf", "total_pages": 5, "page": 2, "page_label": "1"}, FilePage("/x/a.pdf", 2)),
        ({"source": "/x/a.pdf", "file_path": "/x/a.pdf", "total_pages": 5, "page": 2}, FilePage("/x/a.pdf", 2)),
        ({"page_label": "1", "file_name": "a.pdf"}, FilePage("a.pdf", None, "1")),  # PDFReader
        ({"total_pages": 5, "file_path": "/x/a.pdf", "source": "3"}, FilePage("/x/a.pdf", 2)),  # PyMuPDFReader
        ({"file_path": "/x/a.PDF", "source": "7", "total_pages": 9}, FilePage("/x/a.PDF", 6)),
        (
            {"source": "a.pdf", "dl_meta": {"doc_items": [{"prov": [{"page_no": 3}, {"page_no": 2}]}]}},
            FilePage("a.pdf", 1),
        ),
        ({"source": "a.pdf"}, FilePage("a.pdf")),
        ({"source": "a.pdf", "page": True, "page_label": ""}, FilePage("a.pdf")),
        ({"source": "scan.tiff", "page": -1}, FilePage("scan.tiff")),
        (
            {"source": "a.pdf", "dl_meta": {"doc_items": [None, {"prov": None}, {"prov": [{"page_no": "x"}]}]}},
            FilePage("a.pdf"),
        ),
        ({"source": "https://example.org/a.pdf", "page": 1}, None),
        ({"source": "notes.txt", "page": 1}, None),
        ({"source": "a\0.pdf"}, None),
        ({"page": 1}, None),
        ({}, None),
    ],
)
def test_metadata_of_loaders_is_read(metadata, expected):
    assert file_page(metadata) == expected


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "plant.pdf").write_bytes(made_pdf(*(column(text) for text in (FIRST, SECOND, THIRD))))
    return tmp_path / "docs"


def page_of(files, where, text, sentence):
    start = text.index(sentence)
    place = files.find(where, text, start, start + len(sentence))
    return None if place is None else place.page


def test_a_span_is_found_on_the_page_that_the_chunk_names(folder):
    files = PageFiles([folder])
    assert page_of(files, FilePage("plant.pdf", 1), SECOND, "It takes a whole day.") == 2
    assert page_of(files, FilePage(str(folder / "plant.pdf"), 0), FIRST, "It takes an hour.") == 1
    assert page_of(files, FilePage("plant.pdf"), THIRD, "It takes months.") == 3


def test_a_page_counted_from_one_is_found_beside_and_one_further_away_is_not(folder):
    files = PageFiles([folder])
    assert page_of(files, FilePage("plant.pdf", 2), SECOND, "It takes a whole day.") == 2
    assert page_of(files, FilePage("plant.pdf", 2), FIRST, "It takes an hour.") is None
    assert page_of(files, FilePage("plant.pdf", 99), FIRST, "It takes an hour.") is None


def test_a_label_names_a_page(folder):
    writer = PdfWriter(clone_from=PdfReader(folder / "plant.pdf"))
    writer.set_page_label(0, 1, style="/r")
    writer.set_page_label(2, 2, style="/D", start=1)
    writer.write(folder / "labels.pdf")
    files = PageFiles([folder])
    assert page_of(files, FilePage("labels.pdf", label="ii"), SECOND, "It takes a whole day.") == 2
    assert page_of(files, FilePage("labels.pdf", label="1"), THIRD, "It takes months.") == 3
    assert page_of(files, FilePage("labels.pdf", label="1"), FIRST, "It takes an hour.") is None
    assert page_of(files, FilePage("labels.pdf", label="12"), FIRST, "It takes an hour.") is None


def test_only_files_below_the_folders_are_opened(folder):
    outside = folder.parent / "secret.pdf"
    outside.write_bytes(tiny_pdf("the secret text of the plant"))
    (folder / "link.pdf").symlink_to(outside)
    files = PageFiles([folder])
    for path in ("../secret.pdf", str(outside), "link.pdf", str(folder / ".." / "secret.pdf"), "x" * 5000 + ".pdf"):
        assert files.pages(path) is None
    (folder.parent / "docs2").mkdir()
    (folder.parent / "docs2" / "other.pdf").write_bytes(tiny_pdf("other"))
    assert files.pages(str(folder.parent / "docs2" / "other.pdf")) is None
    assert files.pages(".") is None
    assert PageFiles([folder.parent]).pages("secret.pdf")[0].text == "the secret text of the plant"


def test_a_file_is_opened_once_until_it_changes(folder):
    files = PageFiles([folder])
    first = files.pages("plant.pdf")
    assert files.pages(str(folder / "plant.pdf")) is first
    (folder / "plant.pdf").write_bytes(tiny_pdf("quite another text"))
    assert files.pages("plant.pdf")[0].text == "quite another text"


def test_a_file_that_cannot_be_read_is_warned_of_once(folder):
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    files = PageFiles([folder])
    with pytest.warns(UserWarning, match=r"no boxes: .*broken\.pdf: is no readable PDF"):
        assert files.find(FilePage("broken.pdf", 0), "a text", 0, 6) is None
    assert files.find(FilePage("broken.pdf", 0), "a text", 0, 6) is None


def test_folders_are_checked(folder):
    with pytest.raises(ValueError, match="there is no folder"):
        PageFiles([folder / "nothing"])
    with pytest.raises(TypeError, match="put it in a list"):
        PageFiles(str(folder))
