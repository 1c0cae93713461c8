"""The pages of a PDF or an image: as texts, which both frameworks' readers give, or as images in an index."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from latelens.bridge.arguments import listed
from latelens.encoders.lazy import LazyEncoder
from latelens.encoders.protocol import reads_pages
from latelens.encoders.tile_pooling import TilePooling
from latelens.index.exact import ExactIndex
from latelens.index.pages import add_pages
from latelens.index.protocol import Index
from latelens.index.tiled import TILES, TiledIndex
from latelens.pages.files import PageFiles
from latelens.pages.numbers import page_numbers
from latelens.pages.opening import open_pages
from latelens.pages.page import Page
from latelens.pages.words import WordReader
from latelens.refusals import warn_caller
from latelens.text.characters import is_visible


def pages_with_text(
    path: str | os.PathLike[str], *, password: str | None, word_reader: WordReader | None
) -> Iterator[tuple[Page, int]]:
    """The pages that have a text, in order, each with the number of pages in the file.

    Of those that have none it is said which, once, when the last page is read: nothing is dropped in silence.
    """
    pages = open_pages(path, password=password, word_reader=word_reader)
    empty = []
    for page in pages:
        if is_visible(page.text):
            yield page, len(pages)
        else:
            empty.append(page.number)
    if empty:
        with_ocr = "" if word_reader else "; word_reader=latelens.pages.RapidReader() reads scans"
        shown = f"no text layer on {page_numbers(empty)} of {len(pages)}: not read{with_ocr}"
        warn_caller(f"{pages.path}: {shown}")


def index_of_pages(
    paths: Sequence[str | os.PathLike[str]],
    encoder: LazyEncoder,
    *,
    path: str | os.PathLike[str] | None,
    tiles: int | None,
    password: str | None,
    word_reader: WordReader | None,
    show_progress: bool,
    for_texts: str,
) -> tuple[Index, PageFiles]:
    """Index the images of all pages of some files, and say where the files are found again.

    Every file is opened before the model is loaded, so that a wrong one is named at once. `tiles` is the side of the
    tiles that find candidates, see `TiledIndex`; `for_texts` says what to do with a model for texts.

    Raises
    ------
    ValueError, TypeError, OSError
        If a file cannot be read or has no pages, or the model reads text alone.
    """
    files: list[str | os.PathLike[str]] = listed("paths", paths, (str, os.PathLike))
    if not files:
        raise ValueError("paths names no file: give at least one PDF or image")
    opened = [open_pages(file, password=password, word_reader=word_reader) for file in files]
    for pages in opened:
        if not len(pages):
            raise ValueError(f"{pages.path}: has no pages; leave it out")
    if not reads_pages(encoder.loaded()):
        raise TypeError(
            f"{encoder.name!r} reads text, not images of pages: load a model of ColPali's family, or {for_texts}"
        )
    index: Index = ExactIndex(encoder, path)
    if tiles is not None:
        index = TiledIndex(index, ExactIndex(TilePooling(encoder, tiles), None if path is None else Path(path) / TILES))
        index.catch_up()
    for pages in opened:
        add_pages(index, pages, show_progress=show_progress)
    folders = dict.fromkeys(Path(pages.path).resolve().parent for pages in opened)
    return index, PageFiles(list(folders), word_reader=word_reader, password=password)
