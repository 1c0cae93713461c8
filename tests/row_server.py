"""A small real server over HTTP on loopback that answers as vLLM or Jina do, with rows of a model, and can fail."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np


def answers_of(encoder: Any) -> Callable[[dict[str, Any]], list[np.ndarray]]:
    """What a server of that model answers: a vector for each id, or, if it is sent texts, for each row that scores."""

    def rows(body: dict[str, Any]) -> list[np.ndarray]:
        if "input_type" not in body:
            return [_vectors_of(encoder, ids) for ids in body["input"]]
        encode = encoder.encode_queries if body["input_type"] == "query" else encoder.encode_documents
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [each.vectors for each in encode(body["input"])]

    return rows


def _vectors_of(encoder: Any, ids: list[int]) -> np.ndarray:
    import torch

    features: Any = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
    with torch.inference_mode():
        for module in list(encoder.model)[:-1]:
            features = module(features)
    found: np.ndarray = features["token_embeddings"][0].float().numpy()
    return found


class Rows:
    """What the server does: rows for ids or texts, and which faults come with what share of the requests."""

    def __init__(self, rows: Any, *, faults: dict[str, float] | None = None, seed: int = 0) -> None:
        self.rows, self.faults = rows, faults or {}
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.counts: dict[str, int] = {}
        self._random, self._lock = random.Random(seed), threading.Lock()

    def fault(self) -> str:
        with self._lock:
            drawn, total = self._random.random(), 0.0
            for name, share in self.faults.items():
                total += share
                if drawn < total:
                    self.counts[name] = self.counts.get(name, 0) + 1
                    return name
            return ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        state: Rows = self.server.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state.asked.append(body)
        state.headers.append(dict(self.headers))
        fault = state.fault()
        if fault in ("401", "429", "500", "503", "302"):
            said = f"no: {self.headers.get('Authorization')}".encode()
            self._answer(int(fault), said, {"Retry-After": "0", "Location": "http://127.0.0.1:1/"})
            return
        if fault == "slow":
            time.sleep(1.5)
        vectors = [np.array(each) for each in state.rows(body)]
        if fault == "count":
            vectors = [each[:-1] for each in vectors]
        if fault == "nan":
            vectors[0][0, 0] = np.nan
        if fault == "fewer":
            vectors = vectors[1:]
        reply = json.dumps(_reply(body, vectors)).encode()
        self._answer(200, reply, {}, sent=len(reply) // 2 if fault == "cut" else len(reply))

    def _answer(self, status: int, body: bytes, headers: dict[str, str], sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:sent])
        if sent is not None and sent < len(body):
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


def _reply(body: dict[str, Any], vectors: list[np.ndarray]) -> dict[str, Any]:
    if "input_type" in body:
        return {"model": body["model"], "data": [{"index": i, "embeddings": v.tolist()} for i, v in enumerate(vectors)]}
    written = [base64.b64encode(each.astype("<f4").tobytes()).decode() for each in vectors]
    items = [{"index": i, "object": "pooling", "data": data} for i, data in enumerate(written)]
    return {"object": "list", "data": items[::-1]}  # order is what the indexes say


@contextmanager
def serve(state: Rows) -> Iterator[str]:
    """The address of a server that lives as long as the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
