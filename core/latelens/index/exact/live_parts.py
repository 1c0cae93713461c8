"""The segments of an index that count now: what a search sees, and what a write changes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from latelens.encoders import Encoder
from latelens.index.exact.folder import Folder
from latelens.index.exact.live_segments import LiveSegment, Place, drafted, without
from latelens.index.exact.merging import grouped, next_merge
from latelens.index.exact.segment_file import damaged
from latelens.index.exact.segments import Draft, in_memory
from latelens.index.exact.stored_rows import RowType, kept_rows
from latelens.index.token_index import check_manifest, manifest_of

_KIND = "exact"


class LiveParts:
    """Segments in memory, or in a folder to which other processes also write.

    Readers get the segments of one moment. One thread writes at a time, and in a folder one process.
    """

    def __init__(self, encoder: Encoder, folder: Folder | None, rows: RowType | None) -> None:
        self.encoder, self.folder = encoder, folder
        self.asked_rows = rows
        self.row_type: str = rows or "float32"
        self._writer = threading.RLock()  # held through a whole write
        self._state = threading.RLock()  # held while the three below change
        self._parts: tuple[LiveSegment, ...] = ()
        self._places: dict[str, Place] | None = {}
        self._manifest: bytes | None = None  # that the parts are of
        self._refresh()

    @property
    def started(self) -> bool:
        """Whether the folder holds an index."""
        return self._manifest is not None

    def now(self) -> tuple[LiveSegment, ...]:
        """The segments that count."""
        self._refresh()
        return self._parts

    def places_of(self, ids: Sequence[str]) -> list[Place | None]:
        """Where the chunks with these ids lie, None where there is none."""
        self._refresh()
        with self._state:
            where = self._where()
            return [where.get(id_) for id_ in ids]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other writers out; what they wrote is taken in first."""
        with self._writer:
            if self.folder is None:
                yield
                return
            with self.folder.locked():
                if self._manifest is None:
                    self._start(self.folder)
                self._refresh()
                yield

    def put(self, doomed: set[str], draft: Draft | None) -> None:
        """In `writing`: take chunks out and put others in, which may replace some; for readers at one moment."""
        if not doomed and draft is None:
            return
        where, part = self._where(), None if draft is None else self._store(draft)
        gone = [where[id_] for id_ in {*doomed, *(draft.ids if draft else ())} if id_ in where]
        with self._state:
            self._commit((*without(self._parts, gone), *([part] if part else [])))
            for id_ in doomed:
                where.pop(id_)
            self._locate([part] if part else [])
        self._tidy()

    def copy_to(self, folder: Folder) -> None:
        """Write what counts to a folder, which then holds nothing else."""
        parts = self.now()
        with folder.locked():
            self._start(folder)
            written = [
                folder.write(drafted(group), self.row_type) for group in grouped([part for part in parts if part.count])
            ]
            folder.replace(self._head(), written)
            folder.sweep(written)

    def _refresh(self) -> None:
        """Take in what other processes wrote."""
        if self.folder is None or self.folder.manifest() == self._manifest:
            return
        with self._state:
            while (manifest := self.folder.manifest()) != self._manifest:
                if manifest is None:
                    raise damaged(self.folder.path / "manifest.json", "it has disappeared")
                found = self.folder.read(manifest)
                check_manifest(found, self.encoder, _KIND, repr(str(self.folder.path)))
                self.row_type = kept_rows(found, self.asked_rows, self.folder.path)
                try:
                    parts = self.folder.parts(found, self._parts)
                except FileNotFoundError as error:
                    if manifest == self.folder.manifest():
                        raise damaged(Path(error.filename), "it is missing") from error
                    continue  # a writer has merged and swept meanwhile
                self._manifest, self._parts, self._places = manifest, parts, None

    def _head(self) -> dict[str, Any]:
        """What the manifest says beside the segments."""
        head = manifest_of(self.encoder, _KIND)
        return head if self.row_type == "float32" else {**head, "rows": self.row_type}

    def _start(self, folder: Folder) -> None:
        """See to a manifest before there is any segment: segments without one are then known to be damaged."""
        manifest = folder.manifest()
        if manifest is None:
            folder.replace(self._head(), [])
        else:
            check_manifest(folder.read(manifest), self.encoder, _KIND, repr(str(folder.path)))

    def _store(self, draft: Draft) -> LiveSegment:
        if self.folder is not None:
            return self.folder.write(draft, self.row_type)
        segment = in_memory(draft, self.row_type)
        return LiveSegment(segment, np.zeros(len(segment), dtype=bool))

    def _commit(self, parts: Sequence[LiveSegment]) -> None:
        """Make these parts the ones that count; the ids of new ones are then to be located."""
        parts = tuple(part for part in parts if part.count)
        with self._state:
            if self.folder is not None:
                self._manifest = self.folder.replace(self._head(), parts)
            self._parts = parts

    def _tidy(self) -> None:
        """Merge what should be merged, one step after the other, and delete old files; nothing visible changes."""
        while group := next_merge(self._parts):
            part = self._store(drafted(group))
            self._commit((*(part for part in self._parts if part not in group), part))
            self._locate([part])
        if self.folder is not None:
            self.folder.sweep(self._parts)

    def _where(self) -> dict[str, Place]:
        """The place of each chunk that counts, by id."""
        with self._state:
            if self._places is None:
                self._places = {}
                self._locate(self._parts)
            return self._places

    def _locate(self, parts: Iterable[LiveSegment]) -> None:
        places = self._where()
        for part in parts:
            for i in part.live.tolist():
                places[part.segment.ids[i]] = part.segment, i
