"""Chunks of the loaders that people have: their evidence is found on its page, whatever they call the page.

None of these packages is ours to install (one is AGPL, two are being given up): the tests run where they are.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from made_pdfs import column, made_pdf
from pypdf import PdfReader, PdfWriter

from latelens.pages import PageFiles, file_page

SENTENCE = "The filter is changed after {} hours of operation."
TEXTS = [f"Machine {i} is checked in spring by two people. {SENTENCE.format(70 * i)}" for i in range(1, 6)]


@pytest.fixture
def labelled(tmp_path):
    """Five pages called i, ii, 1, 2 and 3."""
    path = tmp_path / "manual.pdf"
    path.write_bytes(made_pdf(*(column(text, width=50) for text in TEXTS)))
    writer = PdfWriter(clone_from=PdfReader(path))
    writer.set_page_label(0, 1, style="/r")
    writer.set_page_label(2, 4, style="/D", start=1)
    writer.write(path)
    return path


def langchain(name: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    module = pytest.importorskip("langchain_community.document_loaders")
    pytest.importorskip({"PyMuPDFLoader": "pymupdf", "PDFPlumberLoader": "pdfplumber"}.get(name, "pypdf"))
    loader = getattr(module, name)(str(path))
    return [(document.page_content, document.metadata) for document in loader.load()]


def llama_index(name: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    module = pytest.importorskip("llama_index.readers.file")
    if name == "PyMuPDFReader":
        pytest.importorskip("pymupdf")
    documents = getattr(module, name)().load_data(path)
    return [(document.text, document.metadata) for document in documents]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("load", "name"),
    [
        (langchain, "PyPDFLoader"),
        (langchain, "PyMuPDFLoader"),
        (langchain, "PDFPlumberLoader"),
        (langchain, "PyPDFium2Loader"),
        (llama_index, "PDFReader"),
        (llama_index, "PyMuPDFReader"),
    ],
)
def test_each_page_of_a_loader_is_found_where_it_stands(labelled, load, name):
    files = PageFiles([labelled.parent])
    found = []
    for i, (text, metadata) in enumerate(load(name, labelled), start=1):
        start = re.search(r"The\s+filter", text).start()
        place = files.find(file_page(metadata), text, start, len(text))
        found.append((place.page, f"after {70 * i} hours" in " ".join(text.split())))
    assert found == [(i, True) for i in range(1, 6)]
