"""Pages of PDFs and images: their words and boxes, and where on them a text stands."""

from latelens.pages.files import FilePage, PageFiles, file_page
from latelens.pages.locating import Place, Spot, locate, locate_span
from latelens.pages.ocr import RapidReader
from latelens.pages.opening import Pages, open_pages
from latelens.pages.page import Page, Word
from latelens.pages.rows import TextOnPage, lay
from latelens.pages.words import SeenWord, WordReader

__all__ = [
    "FilePage",
    "Page",
    "PageFiles",
    "Pages",
    "Place",
    "RapidReader",
    "SeenWord",
    "Spot",
    "TextOnPage",
    "Word",
    "WordReader",
    "file_page",
    "lay",
    "locate",
    "locate_span",
    "open_pages",
]
