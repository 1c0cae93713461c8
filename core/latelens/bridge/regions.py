"""Regions of page images as quotes, citations and captions name them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latelens.attribution.citations import SourceRegion
from latelens.bridge.boxes import per_mille
from latelens.bridge.metadata import KEY, ours, read_regions
from latelens.explanation.regions import Region
from latelens.pages.files import file_page
from latelens.pages.skeleton import skeleton
from latelens.text.characters import is_visible

# What a quote says of a region whose words nobody has read.
NO_WORDS = "a picture, whose words are not known"


def is_page_image(metadata: Mapping[str, Any]) -> bool:
    """Whether a chunk was ranked as an image of a page."""
    return ours(metadata).get("kind") == "page"


def regions_of(metadata: Mapping[str, Any]) -> list[Region]:
    """The regions that a chunk carries; none where nothing of ours is there."""
    return read_regions({KEY: metadata[KEY]}) if ours(metadata) else []


def words_of(region: Region, text: str) -> str | None:
    """The words of a region, with an ellipsis where they go on; None where they are not known.

    Metadata may come from anywhere: where the chunk has a text, each line must stand in it, spaces and marks aside.
    """
    if region.words is None or not is_visible(region.words):
        return None
    lines = [skeleton(line).text for line in region.words.removesuffix("…").splitlines()]
    known = skeleton(text).text
    return region.words if not known or all(line in known for line in lines) else None


def source_regions(metadata: Mapping[str, Any], text: str) -> tuple[SourceRegion, ...]:
    """The regions of a page image whose words and whose page's number are known."""
    where, known = file_page(metadata), ours(metadata).get("page") or {}
    counted = where.index + 1 if where is not None and where.index is not None else None
    number: int | None = known.get("number") or counted
    if number is None:
        return ()
    each = [(region.box, words_of(region, text)) for region in regions_of(metadata)]
    return tuple(SourceRegion(number, box, words.removesuffix("…")) for box, words in each if words)


def page_name(metadata: Mapping[str, Any]) -> str | None:
    """What a reader calls the page that a chunk stands for, ``report.pdf, page 7``; None where nothing says.

    >>> page_name({"source": "reports/report.pdf", "page": 6})
    'report.pdf, page 7'
    """
    where, known = file_page(metadata), ours(metadata).get("page") or {}
    counted = where.index + 1 if where is not None and where.index is not None else None
    labels = (known.get("label"), metadata.get("page_label"), metadata.get("page_number"), counted)
    label = next((str(label) for label in labels if label), None)
    title = metadata.get("title")
    name = title if isinstance(title, str) and title.strip() else Path(where.path).name if where else None
    return f"{name}, page {label}" if name and label else name


def box_in_words(region: Region) -> str:
    """The box of a region in thousandths of the page's width and height: left, top, right, bottom."""
    return f"box {' '.join(map(str, per_mille([region.box])))} of 1000"
