"""Replacing a document in Qdrant, which changes points one by one: what is to be seen of it meanwhile.

A replacement notes in a journal that it begins, writes the new points, notes that they count from now on and the old
ones no longer, and deletes those. Whoever reads leaves out what does not count; whoever writes finishes what a writer
that was killed has left. A note is one point without vectors, so it is written whole or not at all.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from qdrant_client import models

from latelens.index.qdrant.filters import FACETS

# In the facets of notes, and of points with their version; those of metadata have one part or two.
_NOTE = json.dumps(["$", "note", ""])
# Local mode is for one process, in which one replacement is under way at a time.
_NAMESPACE = uuid.UUID("d3a1d2f5-8a0e-5c1f-b6a4-94a7c1d8e2b3")
LOCAL_NOTE = str(uuid.uuid5(_NAMESPACE, "local"))
_EPOCH = str(uuid.uuid5(_NAMESPACE, "epoch"))
NOTES = models.Filter(must=[models.FieldCondition(key=FACETS, match=models.MatchValue(value=_NOTE))])
# Nobody writes one document for so long: the writer of a replacement that did not end before is taken for dead.
_DEAD_AFTER = 24 * 3600.0


@dataclass(frozen=True)
class Replacement:
    """New points in the place of old ones.

    Attributes
    ----------
    version
        Of the new points.
    committed
        Whether they count, and the old ones no longer.
    points, versions
        The old ones; a point that was written again since has another version.
    """

    note: str
    version: str
    since: float
    committed: bool = False
    points: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()

    @staticmethod
    def begun(*, local: bool) -> Replacement:
        """One that begins now."""
        return Replacement(LOCAL_NOTE if local else str(uuid.uuid4()), uuid.uuid4().hex, time.time())

    def commit(self, old: Iterable[models.Record]) -> Replacement:
        """The same, after the moment from which the new points count."""
        records = list(old)
        versions = sorted({version_of(record) for record in records})
        return replace(self, committed=True, points=tuple(str(each.id) for each in records), versions=tuple(versions))

    def is_over(self, *, local: bool) -> bool:
        """Whether its writer has finished, or died, and left something to delete."""
        return self.committed or local or time.time() - self.since > _DEAD_AFTER

    def notes(self) -> list[models.PointStruct]:
        """What to write before its points change; the second tells readers that anything did."""
        said = {"note": json.dumps(asdict(self)), FACETS: [_NOTE]}
        epoch = {"note": json.dumps({"epoch": self.version}), FACETS: [_NOTE]}
        notes = [models.PointStruct(id=self.note, vector={}, payload=said)]
        return notes if self.note == LOCAL_NOTE else [*notes, models.PointStruct(id=_EPOCH, vector={}, payload=epoch)]

    def dead(self) -> models.Filter:
        """The points that do not count."""
        if not self.committed:
            return _with_versions([self.version])
        found = _with_versions(self.versions)
        found.must = [models.HasIdCondition(has_id=list(self.points)), *(found.must or [])]
        return found

    def hides(self, record: models.Record) -> bool:
        """Whether a point, read with its version, does not count."""
        if not self.committed:
            return version_of(record) == self.version
        return record.id in self.points and version_of(record) in self.versions


@dataclass(frozen=True)
class Journal:
    """The notes at one moment; two that are equal, read before and after, say that nothing began or ended between."""

    epoch: str = ""
    replacements: tuple[Replacement, ...] = ()
    notes: int = field(default=0, compare=False)

    @staticmethod
    def of(records: Iterable[models.Record]) -> Journal:
        """What the points that `NOTES` finds say."""
        said = [json.loads((record.payload or {})["note"]) for record in records]
        epoch = next((note["epoch"] for note in said if "epoch" in note), "")
        found = [_replacement(note) for note in said if "epoch" not in note]
        return Journal(epoch, tuple(sorted(found, key=lambda each: each.version)), len(said))

    def visible(self, allowed: models.Filter | None) -> models.Filter | None:
        """What a filter lets through of what counts. Notes have no vectors, so no search finds them."""
        if not self.replacements:
            return allowed
        hidden: list[models.Condition] = [each.dead() for each in self.replacements]
        return models.Filter(must=None if allowed is None else [allowed], must_not=hidden)

    def hides(self, record: models.Record) -> bool:
        """Whether a point, read with its version, does not count."""
        return any(each.hides(record) for each in self.replacements)


def version_facet(version: str) -> str:
    """By which points of a version are found."""
    return json.dumps(["$", "version", version])


def version_of(record: models.Record) -> str:
    """Of a point that was read with it."""
    version: str = (record.payload or {})["version"]
    return version


def _replacement(note: dict[str, Any]) -> Replacement:
    return Replacement(**{**note, "points": tuple(note["points"]), "versions": tuple(note["versions"])})


def _with_versions(versions: Iterable[str]) -> models.Filter:
    wanted = models.MatchAny(any=[version_facet(version) for version in versions])
    return models.Filter(must=[models.FieldCondition(key=FACETS, match=wanted)])
