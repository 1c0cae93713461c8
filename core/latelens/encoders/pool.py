"""`EncoderPool`: one model in several processes, for a corpus that one process takes too long for."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import Any

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.calibration import Calibration
from latelens.encoders.loading import DEFAULT_MODEL, load_encoder
from latelens.encoders.protocol import Encoder
from latelens.encoders.routes import cores
from latelens.refusals import check_is, check_texts, described, shown
from latelens.serialize import from_bytes, to_bytes

# Fewer texts than this are encoded here: sending them costs more than it saves.
_FEW = 16
# Each process gets its share in so many turns, so that a slow turn of one leaves work to the others.
_TURNS = 4
_MOST_TEXTS = 256


class EncoderPool:
    """An encoder whose documents are encoded by worker processes, each of which loads the model itself.

    It pays where one process leaves the machine idle: several accelerators, or many cores, of which one process uses
    some only. Queries, and documents when they are few, are encoded in this process. The rows are those of the same
    model, in the order of the texts. Workers start with the first large call, and end with `close`, with the block,
    and with this process, even if it is killed.

    Python starts the workers with a fresh interpreter: a script needs ``if __name__ == "__main__":`` around its work.

    >>> with EncoderPool("lightonai/LateOn", devices=["cuda:0", "cuda:1"]) as encoder:  # doctest: +SKIP
    ...     index = ExactIndex(encoder, "index")
    ...     index.add(chunks, batch_size=4096, show_progress=True)

    Parameters
    ----------
    model
        A name or a folder that `load_encoder` takes, or an `Encoder` that can be pickled: what `load_encoder` made of
        a name is loaded again by each process.
    processes
        How many; None takes one for each device, or 2.
    devices
        Torch devices, given to the processes in turn; None leaves the choice to `load_encoder`. For a name or a
        folder only.
    options
        Further arguments of `load_encoder`, by name.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or of the wrong type. What `load_encoder` raises comes with the first use.
    """

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        processes: int | None = None,
        devices: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        _check_model(model)
        if devices is not None and (not isinstance(devices, list | tuple) or not devices):
            raise ValueError(f"devices must be a list such as ['cuda:0', 'cuda:1'] or None, got {described(devices)}")
        if devices is not None:
            check_texts("devices", devices)
        check_is("options", options, (Mapping, type(None)), "a dict of load_encoder's options, or None")
        if devices and not isinstance(model, str | os.PathLike):
            raise ValueError(
                f"devices={list(devices)} need a name or a folder, which each process loads on its own device, got a "
                f"{type(model).__name__}"
            )
        count = processes if processes is not None else len(devices or ("", ""))
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"processes must be an int of at least 1 or None, got {shown(processes)}")
        self.processes = count
        self._given = devices, options
        self._model = model
        self._options = dict(options or {})
        self._devices: list[str | None] = [*devices] if devices else [self._options.pop("device", None)]
        self._lock = threading.Lock()
        self._loaded: Encoder | None = None
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> EncoderPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        devices, options = self._given
        return partial(type(self), self._model, processes=self.processes, devices=devices, options=options), ()

    def __repr__(self) -> str:
        return f"EncoderPool({str(getattr(self._model, 'name', self._model))!r}, processes={self.processes})"

    @property
    def name(self) -> str:
        """What the user loaded."""
        return self._encoder.name

    @property
    def fingerprint(self) -> str:
        """The encoder's own: what a pool encoded goes with what one process encodes."""
        return self._encoder.fingerprint

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._encoder.dim

    @property
    def calibration(self) -> Calibration | None:
        """The encoder's calibration, if it has one."""
        return getattr(self._encoder, "calibration", None)

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries, in this process."""
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode documents of any length, one result each, in order.

        Raises
        ------
        RuntimeError
            If a worker process died; the next call starts new ones. What a worker raises is raised here.
        """
        if len(texts) < _FEW or isinstance(texts, str):
            return self._encoder.encode_documents(texts, show_progress=show_progress)
        longest = sorted(range(len(texts)), key=lambda i: -len(texts[i]))  # equal lengths together hardly pad
        size = max(_FEW // 2, min(_MOST_TEXTS, -(-len(texts) // (self.processes * _TURNS))))
        turns = [longest[first : first + size] for first in range(0, len(texts), size)]
        results: list[TokenEmbeddings | None] = [None] * len(texts)
        from tqdm.auto import tqdm  # slow to import

        with tqdm(total=len(texts), desc="Encoding", unit="text", disable=not show_progress) as progress:
            for turn, payloads in self._encoded(texts, turns):
                for i, payload in zip(turn, payloads, strict=True):
                    results[i] = from_bytes(payload, texts[i])
                progress.update(len(turn))
        return [result for result in results if result is not None]

    def close(self) -> None:
        """End the worker processes; a later call starts new ones."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def _encoded(self, texts: Sequence[str], turns: Sequence[list[int]]) -> Any:
        """Yield each turn with its results, as they come."""
        fingerprint = self.fingerprint
        futures: dict[Future[list[bytes]], list[int]] = {}
        try:
            executor = self._running()
            for turn in turns:
                futures[executor.submit(_encode, [texts[i] for i in turn], fingerprint)] = turn
            for future in as_completed(futures):
                yield futures[future], future.result()
        except (BrokenProcessPool, CancelledError) as error:
            self.close()
            raise RuntimeError(
                f"a worker process of {self!r} died: often memory ran out, so take fewer processes or a smaller "
                "batch_size; a script also needs its work under `if __name__ == '__main__':`"
            ) from error
        finally:
            for future in futures:
                future.cancel()

    def _running(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._executor is None:
                spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads, or CUDA, can hang
                devices = spawn.SimpleQueue()
                for i in range(self.processes):
                    devices.put(self._devices[i % len(self._devices)])
                self._executor = ProcessPoolExecutor(
                    self.processes,
                    mp_context=spawn,
                    initializer=_open,
                    initargs=(self._model, self._options, devices, max(1, cores() // self.processes)),
                )
            return self._executor

    @property
    def _encoder(self) -> Encoder:
        with self._lock:
            if self._loaded is None:
                self._loaded = load_encoder(self._model, device=self._devices[0], **self._options)
            return self._loaded


def _check_model(model: Any) -> None:
    if isinstance(model, (str, os.PathLike)):
        return
    reason = ""
    try:
        ForkingPickler.dumps(model)
    except Exception as error:
        reason = f" ({error})"
    if reason or not hasattr(model, "encode_documents"):
        raise TypeError(
            f"each process loads the model itself, so model must be a name or a folder, got {type(model).__name__}"
            f"{reason}; save a loaded model to a folder first"
        )


# In a worker process

_here: list[Encoder | Exception] = []


def _open(model: Any, options: Mapping[str, Any], devices: Any, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _share_cores(threads)
    try:
        _here.append(load_encoder(model, device=devices.get(), **options))
    except Exception as error:  # raised here, it would be printed, and the parent would learn of a broken pool only
        _here.append(error)


def _share_cores(threads: int) -> None:
    try:
        import torch
    except ModuleNotFoundError:  # an exported model needs none
        return
    torch.set_num_threads(min(threads, torch.get_num_threads()))


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever, with a model in memory."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _encode(texts: list[str], fingerprint: str) -> list[bytes]:
    encoder = _here[0]
    if isinstance(encoder, Exception):
        raise encoder
    if encoder.fingerprint != fingerprint:
        raise RuntimeError(
            f"a worker process loaded another {encoder.name!r} than its parent, by its fingerprint "
            f"({encoder.fingerprint[:12]}, not {fingerprint[:12]}): the files have changed, or the encoder depends on "
            "the process"
        )
    return [to_bytes(encoded) for encoded in encoder.encode_documents(texts)]
