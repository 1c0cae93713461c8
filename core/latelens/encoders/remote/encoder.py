"""`RemoteEncoder`: rows from a server, with the tokens, spans, windows and kinds of the model's own tokenizer."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.encoders.batches import PlannedWindow
from latelens.encoders.fingerprint import file_digest, settings_digest
from latelens.encoders.labels import EncodedWindow
from latelens.encoders.onnx.settings import SETTINGS_FILE, TOKENIZER_FILE, ExportSettings, read_settings
from latelens.encoders.options import EncoderOptions
from latelens.encoders.reading import ROWS_VERSION
from latelens.encoders.remote.apis import APIS, Batch, WrongReply, align, read_reply
from latelens.encoders.remote.sending import Sender, ServerError, checked_address, find_key
from latelens.encoders.tokenized import TokenBatch, TokenizedEncoder
from latelens.refusals import warn_caller

# Texts and tokens of one request: large enough for a GPU, small enough to be asked again.
_BATCH, _BATCH_TOKENS = 32, 8192
_TIMEOUT, _CONCURRENCY = 60.0, 8


def load(model: Any, options: EncoderOptions) -> RemoteEncoder:
    """Make an encoder of a server's address; asks the server nothing yet.

    Raises
    ------
    ValueError
        If it is not said which API the server has or where the model's tokenizer is, or an option means nothing here.
    """
    for name in ("device", "dtype"):
        if options.get(name) is not None:
            raise ValueError(f"{name}={options.get(name)!r} is for models that run here; set it where the server runs")
    api, folder = options.get("api"), options.get("tokenizer")
    if api not in APIS:
        raise ValueError(f"say which API the server has: api must be one of {', '.join(map(repr, APIS))}, got {api!r}")
    if folder is None:
        raise ValueError(
            "tokenizer must name the folder that encoder.export(folder) wrote for the model that is served: its "
            "tokenizer.json and latelens_onnx.json say which vector belongs to which characters"
        )
    place = Path(folder).expanduser()
    settings = read_settings(place, weights=False)
    expansion = settings.query.expansion
    if api == "vllm" and expansion is not None and not expansion.attend:
        warn_caller(
            f"{settings.model!r} adds query rows that no other row attends to, which vLLM cannot do: they are left "
            "out, so scores are lower than elsewhere; all other rows are the same"
        )
        settings = replace(settings, query=replace(settings.query, expansion=None))
    return RemoteEncoder(str(model), place, settings, options)


class RemoteEncoder(TokenizedEncoder):
    """Encodes on a server; texts are cut into windows here, and each vector is matched with its token.

    Nothing is sent anywhere but to the address that the user gave. Batches are of bounded tokens; several are under way
    at once; results come in order. A pickled one leaves the key behind and finds it in the other process' environment.
    """

    def __init__(self, url: str, folder: Path, settings: ExportSettings, options: EncoderOptions) -> None:
        api = APIS[str(options.get("api"))]
        super().__init__(folder, settings, name=url, batch_size=options.get("batch_size") or _BATCH, even=False)
        self._api = api
        self._model = options.get("served_model") or settings.model
        self._concurrency = options.get("concurrency") or _CONCURRENCY
        key = find_key(options.get("api_key"), api.key_variable)
        self._sender = Sender(checked_address(url, api.path), key, timeout=options.get("timeout") or _TIMEOUT)

    def __repr__(self) -> str:
        return f"RemoteEncoder({self._sender.address!r}, model={self._model!r}, dim={self.dim})"

    @cached_property
    def _digests(self) -> list[str]:
        return [file_digest(self.folder / name) for name in (TOKENIZER_FILE, SETTINGS_FILE)]

    @property
    def fingerprint(self) -> str:
        """Digest of the address, the served model's name, the tokenizer and every setting that shapes the vectors."""
        return settings_digest(ROWS_VERSION, "remote", self._sender.address, self._model, self._digests)

    def _lanes(self) -> int:
        return sys.maxsize  # the server gathers by itself

    def _batches(self, plan: Sequence[PlannedWindow], task: str) -> Iterator[tuple[list[PlannedWindow], int | None]]:  # noqa: ARG002
        batch: list[PlannedWindow] = []
        tokens = 0
        for window in plan:
            if batch and (len(batch) == self.batch_size or tokens + window.tokens > _BATCH_TOKENS):
                yield batch, None
                batch, tokens = [], 0
            batch.append(window)
            tokens += window.tokens
        if batch:
            yield batch, None

    def _encode(
        self, texts: Sequence[str], plan: Sequence[PlannedWindow], task: str
    ) -> Iterator[tuple[PlannedWindow, EncodedWindow]]:
        """Several requests at once, their results in order; the first that fails stops the rest."""
        with ThreadPoolExecutor(self._concurrency, "latelens-remote") as pool:
            under_way: deque[tuple[list[PlannedWindow], Future[list[EncodedWindow]]]] = deque()
            try:
                for batch, width in self._batches(plan, task):
                    slices = [texts[planned.text][planned.start : planned.end] for planned in batch]
                    starts = [planned.start for planned in batch]
                    under_way.append((batch, pool.submit(self._forward, slices, starts, task, width)))
                    if len(under_way) > 2 * self._concurrency:
                        yield from _finished(under_way)
                while under_way:
                    yield from _finished(under_way)
            finally:
                for _, future in under_way:
                    future.cancel()

    def _vectors(self, batch: TokenBatch) -> NDArray[np.float32]:
        given = batch.tokens | batch.expanded  # (batch, width) bool
        ids = [row[mask].tolist() for row, mask in zip(batch.ids, given, strict=True)]
        reply = self._sender.post(self._api.body(Batch(self._model, batch.texts, ids, batch.task, self.dim)))
        try:
            found = read_reply(reply, self._api, len(ids), self.dim)
            return np.stack([align(*each) for each in zip(found, given, batch.scoring, strict=True)])
        except WrongReply as error:
            raise ServerError(f"{self._sender.address} cannot be used for {self._model!r}: {error}") from None


def _finished(
    under_way: deque[tuple[list[PlannedWindow], Future[list[EncodedWindow]]]],
) -> Iterator[tuple[PlannedWindow, EncodedWindow]]:
    batch, future = under_way.popleft()
    yield from zip(batch, future.result(), strict=True)
