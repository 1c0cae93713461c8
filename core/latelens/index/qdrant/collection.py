"""Calls on one collection of Qdrant: again after a failure that passes, one at a time where there is no server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from latelens.index.qdrant.filters import FACETS
from latelens.index.qdrant.journal import LOCAL_NOTE, NOTES, Journal
from latelens.index.qdrant.storage import QdrantStorage, vectors_config
from latelens.refusals import check_is, shown

T = TypeVar("T")

_WAITS = (0.5, 2.0, 8.0)  # seconds before the second, third and fourth try
_PASSING = {408, 500, 502, 503, 504}  # 500 is also what a cluster answers while a replica is down
_PASSING_GRPC = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"}
_TRIES = 25  # to read between two changes: 1.5 s and the readings
_PAGE = 1000  # points of one answer without vectors
_NOT_IN_NAMES, _LONGEST_NAME = '<>:"/\\|?*\0\x1f', 255  # as the server has it
_LOCKS: WeakKeyDictionary[QdrantClient, threading.RLock] = WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


def check_name(name: object) -> None:
    """Refuse what Qdrant takes for no collection's name."""
    check_is("collection", name, str, "a str")
    wrong = [character for character in str(name) if character in _NOT_IN_NAMES or not _is_whole(character)]
    if not name or wrong or len(str(name)) > _LONGEST_NAME:
        raise ValueError(
            f"collection must be a name of 1 to {_LONGEST_NAME} characters, none of them in {_NOT_IN_NAMES!r}, got "
            f"{shown(name)}"
        )


def _is_whole(character: str) -> bool:
    return not "\ud800" <= character <= "\udfff"


class QdrantCollection:
    """A collection that may not exist yet. Every call does no harm when it is made twice, so it can be repeated.

    Raises
    ------
    ConnectionError
        From any call, if the server cannot be reached or keeps failing.
    """

    def __init__(self, client: QdrantClient, name: str) -> None:
        options = client.init_options
        self.name = name
        self.local = options.get("path") is not None or options.get("location") == ":memory:"
        self._client = client
        self._where = _address(options)
        self.turn: AbstractContextManager[Any] = _lock_of(client) if self.local else nullcontext()

    def exists(self) -> bool:
        """Whether it does; the first call, so a server that is not there is said at once."""
        return self._call(lambda client: client.collection_exists(self.name), waits=())

    def create(self, storage: QdrantStorage, dim: int, metadata: Mapping[str, Any]) -> bool:
        """Make it, and return False where another process was faster."""
        try:
            return self._call(
                lambda client: client.create_collection(
                    self.name,
                    vectors_config=vectors_config(storage, dim),
                    shard_number=storage.shards,
                    replication_factor=storage.replicas,
                    write_consistency_factor=storage.write_replicas,
                    metadata=dict(metadata),
                )
            )
        except (UnexpectedResponse, ValueError, RuntimeError):
            if self.exists():
                return False
            raise

    def drop(self) -> None:
        """Delete it with all that it holds."""
        self._call(lambda client: client.delete_collection(self.name))

    def info(self) -> models.CollectionInfo:
        """What it was made with."""
        return self._call(lambda client: client.get_collection(self.name))

    def index_payload(self, field: str) -> None:
        """Index the facets, or the numbers of a key, on disk."""
        numbers = models.FloatIndexParams(type=models.FloatIndexType.FLOAT, on_disk=True)
        words = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=True)
        schema = words if field == FACETS else numbers
        self._call(lambda client: client.create_payload_index(self.name, field, schema))

    def upsert(self, points: list[models.PointStruct]) -> None:
        """Write points; when this returns, they can be searched."""
        _check_applied(self._call(lambda client: client.upsert(self.name, points, wait=True)))

    def delete(self, points: list[Any]) -> None:
        """Delete points by id."""
        selector = models.PointIdsList(points=points)
        _check_applied(self._call(lambda client: client.delete(self.name, selector, wait=True)))

    def delete_matching(self, doomed: models.Filter) -> None:
        """Delete points that a filter lets through."""
        selector = models.FilterSelector(filter=doomed)
        _check_applied(self._call(lambda client: client.delete(self.name, selector, wait=True)))

    def count(self, allowed: models.Filter | None = None) -> int:
        """How many points there are, notes included."""
        return self._call(lambda client: client.count(self.name, count_filter=allowed, exact=True)).count

    def journal(self) -> Journal:
        """The notes of documents that are being replaced."""
        return Journal.of(self.fetch([LOCAL_NOTE], ["note"]) if self.local else self.scroll(NOTES, ["note"]))

    def steady(self, read: Callable[[Journal], T]) -> T:
        """What is read while no replacement of a document begins or ends.

        Raises
        ------
        TimeoutError
            If documents are replaced without a pause.
        """
        with self.turn:
            for attempt in range(_TRIES):
                journal = self.journal()
                found = read(journal)
                if self.local or self.journal() == journal:
                    return found
                time.sleep(0.005 * attempt)
        raise TimeoutError(
            f"documents of collection {self.name!r} are being replaced without a pause; search again, or let the "
            "writer pause between documents"
        )

    def fetch(self, points: Sequence[Any], fields: list[str], vectors: list[str] | bool = False) -> list[models.Record]:
        """The points that are there, with some fields of their payload."""
        return self._call(
            lambda client: client.retrieve(self.name, points, with_payload=fields or False, with_vectors=vectors)
        )

    def scroll(self, allowed: models.Filter | None, fields: list[str]) -> Iterator[models.Record]:
        """All points that a filter lets through."""
        place: Any = None
        while True:
            records, place = self._page(allowed, fields, place)
            yield from records
            if place is None:
                return

    def query(self, **asked: Any) -> list[models.ScoredPoint]:
        """The best points, best first."""
        return self._call(lambda client: client.query_points(self.name, **asked)).points

    def _page(self, allowed: models.Filter | None, fields: list[str], place: Any) -> tuple[list[models.Record], Any]:
        return self._call(
            lambda client: client.scroll(
                self.name, scroll_filter=allowed, limit=_PAGE, offset=place, with_payload=fields
            )
        )

    def _call(self, ask: Callable[[QdrantClient], T], *, waits: Sequence[float] | None = None) -> T:
        left = iter(_WAITS if waits is None else waits)
        while True:
            try:
                with self.turn:
                    return ask(self._client)
            except Exception as error:
                if not _passes(error):
                    raise
                wait = next(left, None)
                if wait is None:
                    raise ConnectionError(
                        f"Qdrant at {self._where} did not answer ({error}); check that it runs and that the client's "
                        "url and api_key are right, and for large collections give the client a longer timeout, as in "
                        "QdrantClient(url=..., timeout=60)"
                    ) from error
                time.sleep(max(wait, getattr(error, "retry_after_s", 0)))


def _passes(error: Exception) -> bool:
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.TransportError)
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _PASSING
    code = getattr(error, "code", None)  # of a grpc.RpcError
    return isinstance(error, ResourceExhaustedResponse) or (
        callable(code) and getattr(code(), "name", None) in _PASSING_GRPC
    )


def _check_applied(result: models.UpdateResult) -> None:
    if result.status != models.UpdateStatus.COMPLETED:
        raise ConnectionError(
            f"Qdrant took a write but has not applied it ({result.status}); run the same call again, and give the "
            "client a longer timeout"
        )


def _lock_of(client: QdrantClient) -> threading.RLock:
    # Local mode appends to a dozen lists in turn: a search in between meets them at different lengths.
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(client, threading.RLock())


def _address(options: Mapping[str, Any]) -> str:
    for name in ("path", "url", "location", "host"):
        if options.get(name) is not None:
            return str(options[name])
    return "localhost"
