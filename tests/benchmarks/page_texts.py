"""The text of each page of PDFs by programs that are no dependency of latelens, for `pages.py --texts`.

    python -m venv elsewhere
    elsewhere/bin/pip install pymupdf pypdfium2 docling-parse pdfminer.six
    elsewhere/bin/python tests/benchmarks/page_texts.py --data ../shared/data/pdfs --out texts.jsonl

It imports nothing of latelens and takes what is installed: run it in an environment of its own. PyMuPDF is AGPL:
it may be measured, and must not be installed with latelens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path


def by_pymupdf(path: Path) -> Iterator[tuple[int, str]]:
    """As LangChain's PyMuPDFLoader and LlamaIndex's PyMuPDFReader give it."""
    import pymupdf

    with pymupdf.open(path) as document:
        for number, page in enumerate(document, start=1):
            yield number, page.get_text()


def by_pypdfium2(path: Path) -> Iterator[tuple[int, str]]:
    """As LangChain's PyPDFium2Loader gives it."""
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    for i in range(len(document)):
        page = document[i]
        yield i + 1, page.get_textpage().get_text_range()
        page.close()


def by_docling_parse(path: Path) -> Iterator[tuple[int, str]]:
    """The lines from which docling puts its text together; its order of them needs a model from a hub."""
    from docling_core.types.doc.page import TextCellUnit
    from docling_parse.pdf_parser import DoclingPdfParser

    document = DoclingPdfParser(loglevel="fatal").load(path_or_stream=str(path))
    for number, page in document.iterate_pages():
        yield number, "\n".join(cell.text for cell in page.iterate_cells(unit_type=TextCellUnit.LINE))


def by_pdfminer(path: Path) -> Iterator[tuple[int, str]]:
    """As LangChain's PDFMinerLoader gives it; unstructured's fast strategy reads with it."""
    from pdfminer.high_level import extract_pages
    from pdfminer.layout import LTTextContainer

    for number, page in enumerate(extract_pages(path), start=1):
        yield number, "\n".join(part.get_text() for part in page if isinstance(part, LTTextContainer))


PROGRAMS: dict[str, Callable[[Path], Iterator[tuple[int, str]]]] = {
    "PyMuPDF": by_pymupdf,
    "pypdfium2": by_pypdfium2,
    "docling-parse": by_docling_parse,
    "pdfminer": by_pdfminer,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of PDFs")
    parser.add_argument("--out", type=Path, required=True, help="where to write a line of JSON for each page and text")
    parser.add_argument("--by", choices=PROGRAMS, nargs="+", default=list(PROGRAMS), help="programs (default: all)")
    parsed = parser.parse_args()
    with parsed.out.open("w", encoding="utf-8") as out:
        for name in parsed.by:
            for path in sorted(parsed.data.glob("*.pdf")):
                try:
                    found = list(PROGRAMS[name](path))
                except ModuleNotFoundError as error:
                    print(f"{name}: not measured, {error}")
                    break
                for number, text in found:
                    row = {"file": path.name, "page": number, "by": name, "text": text}
                    out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
