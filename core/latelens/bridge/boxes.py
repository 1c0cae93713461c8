"""Evidence and citations get the boxes of their text on the page: JSON for a viewer, or fields of a citation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from latelens.pages.files import FilePage, PageFiles
from latelens.pages.geometry import Box, area, around
from latelens.pages.locating import Place
from latelens.pages.skeleton import skeleton

if TYPE_CHECKING:  # the command shows boxes and attributes nothing
    from latelens.attribution.citations import Attribution, Citation

# Lines of one piece of evidence that are told apart on a page; of more, neighbours share a box, so that metadata
# stays small.
_MOST = 12
_DIGITS = 4
_KEYS = ("page", "boxes", "place_confidence", "continued")


def with_boxes(found: Mapping[str, Any], text: str, where: FilePage | None, files: PageFiles) -> dict[str, Any]:
    """A copy of a chunk's metadata under our key whose evidence says where on the page it stands.

    Each piece of evidence that was found gets ``page``, from 1, and ``boxes``: a line each, left, top, right and
    bottom as fractions of the page as it is shown, and ``place_confidence``, 0..1 (`Place.confidence`). What runs on
    to further pages is under ``continued``, a page and its boxes each. Evidence that was not found stays as it is.
    """
    if where is None or not found.get("evidence"):
        return dict(found)
    evidence = []
    for item in found["evidence"]:
        place = files.find(where, text, item["start"], item["end"])
        kept = {key: value for key, value in item.items() if key not in _KEYS}
        evidence.append(kept if place is None else {**kept, **place_json(place)})
    return {**found, "evidence": evidence}


def place_json(place: Place) -> dict[str, Any]:
    """A place as JSON of builtin types."""
    first, *rest = (
        {"page": spot.page, "boxes": [list(box) for box in rounded(fewer(spot.boxes))]} for spot in place.spots
    )
    described = {**first, "place_confidence": round(place.confidence, 3)}
    return {**described, "continued": rest} if rest else described


def place_citations(attribution: Attribution, files: PageFiles) -> Attribution:
    """The attribution with the page and the boxes of each citation whose source names a file and was found in it."""
    known: dict[tuple[int, int, int], Place | None] = {}

    def placed(citation: Citation) -> Citation:
        source = attribution.sources[citation.source_index]
        if source.file is None or citation.key is not None:  # metadata stands on no page
            return citation
        span = citation.source_index, citation.source_start, citation.source_end
        if span not in known:
            known[span] = files.find(source.file, source.text, *span[1:])
        place = known[span]
        return citation if place is None else replace(citation, page=place.page, boxes=rounded(fewer(place.boxes)))

    return _each_citation(attribution, placed)


def place_in_regions(attribution: Attribution) -> Attribution:
    """The attribution with the page and the box of the region that each citation stands in, where it has no place yet.

    It stands in a region that has its words, or whose words are some of it: a row of a table is often a part of what is
    taken for a sentence. The smallest of several counts.
    """

    def placed(citation: Citation) -> Citation:
        regions = attribution.sources[citation.source_index].regions
        if citation.boxes or citation.key is not None or not regions:
            return citation
        cited = skeleton(citation.cited_text).text
        known = [(region, skeleton(region.words).text) for region in regions]
        holding = [region for region, words in known if cited and (cited in words or words in cited)]
        found = min(holding, key=lambda region: area(region.box), default=None)
        return citation if found is None else replace(citation, page=found.page, boxes=rounded([found.box]))

    return _each_citation(attribution, placed)


def _each_citation(attribution: Attribution, placed: Callable[[Citation], Citation]) -> Attribution:
    claims = (replace(claim, citations=tuple(map(placed, claim.citations))) for claim in attribution.claims)
    return replace(attribution, claims=tuple(claims))


def fewer(boxes: Sequence[Box], most: int = _MOST) -> tuple[Box, ...]:
    """At most so many boxes: neighbours whose common box covers the least besides them are joined first."""
    left = list(boxes)
    while len(left) > most:
        joined = [around(pair) for pair in pairwise(left)]
        added = [area(box) - area(left[i]) - area(left[i + 1]) for i, box in enumerate(joined)]
        i = added.index(min(added))
        left[i : i + 2] = [joined[i]]
    return tuple(left)


def per_mille(boxes: Sequence[Box]) -> tuple[int, int, int, int]:
    """The box around boxes in thousandths of the page, as whole numbers, none of it left out."""
    left, top, right, bottom = around(boxes)
    # 0.29 is 290 thousandths, though not to a float.
    near_x, near_y = (int(edge * 1000 + 1e-6) for edge in (left, top))
    far_x, far_y = (min(1000, math.ceil(edge * 1000 - 1e-6)) for edge in (right, bottom))
    return near_x, near_y, far_x, far_y


def rounded(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """Boxes with four decimals: a tenth of a point of a page."""
    four = [tuple(round(edge, _DIGITS) for edge in box) for box in boxes]
    return tuple((left, top, right, bottom) for left, top, right, bottom in four)
