"""An attribution as plain JSON: with nothing left out, or without the sources' texts where it is to travel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from numbers import Integral, Real
from typing import Any, TypeVar, get_args

from latelens.attribution.citations import Attribution, Citation, Claim, Label, Source, SourceRegion
from latelens.interchange.checking import as_list, as_mapping, check_attribution, checked, checked_sources
from latelens.interchange.stand_ins import blank, by_source, without_text
from latelens.pages.files import FilePage
from latelens.refusals import check_is, described, shown

VERSION = 1

# Written only where they say something.
_RARE_KEYS = ("file", "page", "boxes", "by_model", "regions")

T = TypeVar("T", Source, SourceRegion, Citation, Claim, FilePage)


def to_json(attribution: Attribution, *, source_texts: bool = True) -> dict[str, Any]:
    """Everything that an attribution says, as builtin types; `from_json` makes an equal one of it.

    The answer and the sources go in with their full texts. ``source_texts=False`` leaves the latter out, and shown
    metadata that nothing cites, for an attribution that travels with its answer.

    Raises
    ------
    ValueError
        If a number is infinite or not a number.
    """
    check_attribution(attribution)
    check_is("source_texts", source_texts, bool, "True or False")
    written = {"version": VERSION, **_builtin(asdict(attribution))}
    if not source_texts:
        cited = by_source(attribution)
        written["sources"] = _builtin(
            [without_text(source, cited.get(i, ())) for i, source in enumerate(attribution.sources)]
        )
    citations = [citation for claim in written["claims"] for citation in claim["citations"]]
    citations += [claim["nearest"] for claim in written["claims"] if claim["nearest"]]
    for item in (*written["sources"], *citations):
        for key in _RARE_KEYS:
            if not item.get(key, True):
                del item[key]  # such as a source that is no file, or a citation whose place nobody looked for
    return written


def from_json(written: Mapping[str, Any], sources: Sequence[Source] | None = None) -> Attribution:
    """The attribution that `to_json` wrote, each of its spans checked against its text.

    `sources` are those that were attributed to, in their order, for one that was written without their texts; if
    they are not given, each holds what was cited from it, at its place, and blanks elsewhere.

    Raises
    ------
    ValueError
        If a newer version of latelens wrote it, a field is missing, unknown or of the wrong kind, or a span does
        not hold the text that it quotes.
    """
    written = as_mapping(written, "an attribution")
    if "version" not in written:
        raise ValueError(f"an attribution that to_json wrote has a version, got {described(written)}")
    if written["version"] != VERSION:
        raise ValueError(
            f"this attribution has version {shown(written['version'])} and this latelens reads version {VERSION}: "
            "run `pip install --upgrade latelens`"
        )
    missing = {"answer", "sources", "claims", "model"} - written.keys()
    if missing:
        raise ValueError(f"this attribution has no {', '.join(sorted(missing))}")
    if not isinstance(written["answer"], str):
        raise ValueError(f"the answer must be a text, got {shown(written['answer'])}")
    claims = [_claim(item, f"claim {i}") for i, item in enumerate(as_list(written["claims"], "claims"))]
    if sources is None:
        items = as_list(written["sources"], "sources")
        cited = [citation for claim in claims for citation in (*claim.citations, claim.nearest) if citation]
        sources = [_source(item, i, cited) for i, item in enumerate(items)]
    return checked(
        Attribution(
            answer=written["answer"],
            sources=checked_sources(sources),
            claims=tuple(claims),
            model=written["model"],
            verifier=written.get("verifier"),
        )
    )


def _claim(item: Any, where: str) -> Claim:
    item = as_mapping(item, where)
    citations, nearest = as_list(item.get("citations", ()), f"citations of {where}"), item.get("nearest")
    claim = _read(
        Claim,
        {
            **item,
            "reasons": tuple(as_list(item.get("reasons", ()), f"reasons of {where}")),
            "citations": tuple(_citation(citation, f"a citation of {where}") for citation in citations),
            "nearest": None if nearest is None else _citation(nearest, f"the nearest sentence of {where}"),
        },
        where,
    )
    if claim.label not in get_args(Label):
        raise ValueError(f"{where} has the label {claim.label!r}, which is none of {', '.join(get_args(Label))}")
    return claim


def _citation(item: Any, where: str) -> Citation:
    boxes = as_list(as_mapping(item, where).get("boxes", ()), f"boxes of {where}")
    return _read(Citation, {**item, "boxes": tuple(tuple(as_list(box, f"a box of {where}")) for box in boxes)}, where)


def _source(item: Any, index: int, cited: Sequence[Citation]) -> Source:
    where = f"source {index}"
    if "text" in as_mapping(item, where):
        file = item.get("file")
        named = None if file is None else _read(FilePage, file, f"file of {where}")
        regions = [_region(each, where) for each in as_list(item.get("regions", ()), f"regions of {where}")]
        return _read(Source, {**item, "file": named, "regions": tuple(regions)}, where)
    length = item.get("length")
    if isinstance(length, bool) or not isinstance(length, int) or length < 0:
        raise ValueError(f"{where} has neither a text nor its length, got {length!r}")
    return blank(item, index, cited)


def _region(item: Any, where: str) -> SourceRegion:
    box = as_list(as_mapping(item, f"a region of {where}").get("box"), f"the box of a region of {where}")
    return _read(SourceRegion, {**item, "box": tuple(box)}, f"a region of {where}")


def _read(cls: type[T], item: Any, where: str) -> T:
    item = as_mapping(item, where)
    known = {field.name for field in fields(cls)}
    required = {field.name for field in fields(cls) if field.default is field.default_factory is MISSING}
    if missing := required - item.keys():
        raise ValueError(f"{where} has no {', '.join(sorted(missing))}")
    if unknown := item.keys() - known:
        raise ValueError(f"{where} has {', '.join(sorted(map(str, unknown)))}, which is no field of a {cls.__name__}")
    return cls(**item)


def _builtin(value: Any) -> Any:
    """The value in JSON's own types: numpy's numbers become Python's, tuples lists."""
    if isinstance(value, dict):
        return {key: _builtin(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_builtin(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    raise ValueError(f"JSON has no way to write {described(value)}")
