"""Qdrant's REST interface in front of the client's local mode: what would go over the network does, and can fail."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import to_jsonable_python
from qdrant_client import QdrantClient, models

MAX_REQUEST = 32 * 2**20  # bytes, a server's default


class RestServer:
    """Answers on `url` until closed.

    Attributes
    ----------
    requests
        (method, path, body) of each, in order.
    failures
        Statuses to answer next, one a request whose path ends with `failing`, instead of doing what is asked; with
        `applied` it is done all the same, as when only the answer is lost.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.failures: list[int] = []
        self.failing = "/points"
        self.applied = False
        self._local = QdrantClient(":memory:")
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        with self._lock:
            self.requests.append((method, path, body))
            fails = self.failures.pop(0) if self.failures and path.endswith(self.failing) else None
            if fails is not None and not self.applied:
                return fails, {"status": {"error": "asked to fail"}}
            for wanted, pattern, do in ROUTES:
                if method == wanted and (match := re.fullmatch(pattern, path)):
                    try:
                        result = do(self._local, match[1], body or {})
                    except ValueError as error:
                        return 409 if "already exists" in str(error) else 404, {"status": {"error": str(error)}}
                    return fails or 200, {"result": to_jsonable_python(result), "status": "ok", "time": 0.0}
            return 404, {"status": {"error": f"no such request: {method} {path}"}}


def _create(client: QdrantClient, name: str, body: Any) -> Any:
    asked = models.CreateCollection(**body)
    return client.create_collection(
        name,
        vectors_config=asked.vectors,
        shard_number=asked.shard_number,
        replication_factor=asked.replication_factor,
        write_consistency_factor=asked.write_consistency_factor,
        metadata=asked.metadata,
    )


def _query(client: QdrantClient, name: str, body: Any) -> Any:
    asked = models.QueryRequest(**body)
    return client.query_points(
        name,
        query=asked.query,
        using=asked.using,
        prefetch=asked.prefetch,
        query_filter=asked.filter,
        limit=asked.limit,
        with_payload=asked.with_payload,
    )


def _scroll(client: QdrantClient, name: str, body: Any) -> Any:
    asked = models.ScrollRequest(**body)
    points, place = client.scroll(
        name, scroll_filter=asked.filter, limit=asked.limit, offset=asked.offset, with_payload=asked.with_payload
    )
    return models.ScrollResult(points=points, next_page_offset=place)


def _retrieve(client: QdrantClient, name: str, body: Any) -> Any:
    asked = models.PointRequest(**body)
    return client.retrieve(name, asked.ids, with_payload=asked.with_payload, with_vectors=asked.with_vector)


def _delete(client: QdrantClient, name: str, body: Any) -> Any:
    return client.delete(name, models.PointIdsList(**body) if "points" in body else models.FilterSelector(**body))


def _count(client: QdrantClient, name: str, body: Any) -> Any:
    return client.count(name, count_filter=models.CountRequest(**body).filter)


def _index(client: QdrantClient, name: str, body: Any) -> Any:
    models.CreateFieldIndex(**body)
    return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


Route = tuple[str, str, Callable[[QdrantClient, str, Any], Any]]
ROUTES: list[Route] = [
    ("GET", "/collections/([^/]+)/exists", lambda client, name, body: {"exists": client.collection_exists(name)}),
    ("PUT", "/collections/([^/]+)", _create),
    ("GET", "/collections/([^/]+)", lambda client, name, body: client.get_collection(name)),
    ("DELETE", "/collections/([^/]+)", lambda client, name, body: client.delete_collection(name)),
    ("PUT", "/collections/([^/]+)/index", _index),
    (
        "PUT",
        "/collections/([^/]+)/points",
        lambda client, name, body: client.upsert(name, models.PointsList(**body).points),
    ),
    ("POST", "/collections/([^/]+)/points", _retrieve),
    ("POST", "/collections/([^/]+)/points/query", _query),
    ("POST", "/collections/([^/]+)/points/scroll", _scroll),
    ("POST", "/collections/([^/]+)/points/delete", _delete),
    ("POST", "/collections/([^/]+)/points/count", _count),
]


def _handler(server: RestServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if length > MAX_REQUEST:
                status, said = 413, {"status": {"error": "JSON payload is larger than allowed"}}
            else:
                status, said = server.answer(self.command, urlsplit(self.path).path, json.loads(body) if body else None)
            sent = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_PUT = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
