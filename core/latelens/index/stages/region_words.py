"""`RegionWords`: what a cross-encoder reads of a page image."""

from __future__ import annotations

from latelens.explanation.regions import find_regions
from latelens.index.protocol import Hit
from latelens.pages.files import PageFiles, file_page
from latelens.pages.page import Page
from latelens.refusals import check_count, check_is


class RegionWords:
    """The words of the regions that answer on a page, the best region first; the page's whole text where none is known.

    For ``TwoStage(..., cross_encoder=..., reads=RegionWords(files))``: a cross-encoder reads some hundred words, and on
    a full page the table that answers may come after them. Of a text that is no page image, it is the text.

    Parameters
    ----------
    files
        Where the pages lie: ``PageFiles([folder])`` of `latelens.pages`.
    max_regions
        Of each page.
    """

    def __init__(self, files: PageFiles, *, max_regions: int = 3) -> None:
        check_is("files", files, PageFiles, "latelens.pages.PageFiles([folder])")
        check_count("max_regions", max_regions)
        self.files, self.max_regions = files, max_regions

    def __call__(self, hit: Hit) -> str:
        """What stands in a hit's regions."""
        page = page_of(hit, self.files)
        regions = () if page is None else find_regions(hit.explanation, page=page, max_regions=self.max_regions)
        return "\n".join(region.words for region in regions if region.words) or hit.chunk.text


def page_of(hit: Hit, files: PageFiles | None) -> Page | None:
    """The page that a page image was made of; None where its file is not found, or has another text now."""
    where = None if hit.explanation.document.page is None else file_page(hit.chunk.metadata)
    found = None if where is None or files is None else files.page(where)
    return found if found is not None and found.text == hit.chunk.text else None
