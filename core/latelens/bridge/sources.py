"""What a chunk's source is called, where it leads, and where the chunk begins in it: the one place that decides.

Quotes, citations and rerankers of both frameworks ask here, so that a chunk has one name and one place everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from latelens.attribution.citations import Source
from latelens.bridge.metadata import KEY
from latelens.bridge.regions import source_regions
from latelens.pages.files import file_page
from latelens.text.characters import is_visible

# Under what keys loaders and users keep these, the most telling first.
_NAMES = ("title", "file_name", "source", "file_path", "url")
_LINKS = ("url", "source", "file_path")
# Numbers as a reader counts them. `page` is left out: some loaders count it from 0, some from 1.
_PAGES = ("page_label", "page_number")
# How a user says of a chunk that a model wrote it.
BY_MODEL_KEY = "by_model"


def source_of(
    text: str,
    id: object,
    metadata: Mapping[str, Any],
    start: object,
    shown: Iterable[str] = (),
    *,
    by_model: bool = False,
) -> Source:
    """A chunk as a source of citations.

    `start` is where it says that it begins in its document; `shown` are the keys of the metadata that the model saw.
    What a model wrote is no evidence: `by_model`, or ``"by_model": True`` in the metadata. A page image without a text
    is the words of its regions.
    """
    regions = source_regions(metadata, text)
    return Source(
        text if is_visible(text) else "\n".join(region.words for region in regions) or text,
        _said(id),
        name_of(metadata),
        link_of(metadata),
        start_of(start),
        shown_in(metadata, shown),
        file_page(metadata),
        by_model=by_model or metadata.get(BY_MODEL_KEY) is True,
        regions=regions,
    )


def shown_in(metadata: Mapping[str, Any], keys: Iterable[str]) -> dict[str, str]:
    """What a prompt shows of a chunk's metadata, as texts; without values that say nothing.

    >>> shown_in({"author": "Ada Lovelace", "year": 1843, "note": ""}, ["year", "author", "note", "title"])
    {'year': '1843', 'author': 'Ada Lovelace'}
    """
    values = {key: metadata[key] for key in keys if key != KEY and metadata.get(key) is not None}
    return {key: str(value) for key, value in values.items() if str(value).strip()}


def name_of(metadata: Mapping[str, Any]) -> str | None:
    """What to call a chunk's source: its title or file, with the page where that is known; None where nothing says.

    >>> name_of({"file_name": "zoo.pdf", "source": "s3://b/zoo.pdf", "page_label": "3"})
    'zoo.pdf, page 3'
    """
    name = _first(metadata, _NAMES)
    page = next((metadata[key] for key in _PAGES if isinstance(metadata.get(key), str | Integral)), "")
    return f"{name}, page {page}" if name and str(page).strip() else name


def link_of(metadata: Mapping[str, Any]) -> str | None:
    """Where a chunk's source is: the first address under `url`, `source` or `file_path`; None where there is none.

    >>> link_of({"file_name": "zoo.pdf", "source": "s3://b/zoo.pdf"})
    's3://b/zoo.pdf'
    """
    return next((said for key in _LINKS if (said := _said(metadata.get(key))) and "://" in said), None)


def start_of(value: object) -> int | None:
    """Where a chunk says that it begins in its document, in characters; None for what is no such place.

    Splitters write -1 where they do not know, and stores may give a number back as numpy's, or as a text.

    >>> [start_of(value) for value in (0, 12, -1, True, 2.0, "12", None)]
    [0, 12, None, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    return start if (start := int(value)) >= 0 else None


def _first(metadata: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((said for key in keys if (said := _said(metadata.get(key)))), None)


def _said(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
