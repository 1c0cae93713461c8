"""Words of scans and photos, read by RapidOCR on this machine; its weights come with the package."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from latelens.pages.geometry import Box
from latelens.pages.words import SeenWord

if TYPE_CHECKING:
    from PIL.Image import Image

# Lines of which less of the height is shared stand below each other.
_SAME_ROW = 0.5


class RapidReader:
    """A `WordReader` that needs no network: RapidOCR (Apache-2.0) with the weights in its wheel (PP-OCR, Apache-2.0).

    It reads Latin and Chinese script. A page takes seconds, not milliseconds. The models are loaded at first use; one
    page is read at a time.

    Parameters
    ----------
    threads
        Of a page's reading; None lets the runtime choose, which is the number of cores.
    min_confidence
        Words of which it is less sure, 0..1, are left out.
    """

    name = "rapidocr"

    def __init__(self, *, threads: int | None = None, min_confidence: float = 0.5) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1 or None, got {threads}")
        if not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence must be between 0 and 1, got {min_confidence}")
        self._threads, self._min_confidence = threads, min_confidence
        self._engine: Any = None
        self._lock = threading.Lock()

    def read_words(self, image: Image) -> Sequence[Sequence[SeenWord]]:
        """The lines of an RGB picture from the top, each with its words from the left.

        Raises
        ------
        ImportError
            If rapidocr or onnxruntime is not installed.
        """
        with self._lock:
            if self._engine is None:
                self._engine = _engine(self._threads)
            pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]  # it expects blue, green, red
            found = self._engine(np.ascontiguousarray(pixels), return_word_box=True)
        # Of a picture without words it returns no texts, and results that are empty in their own way.
        lines = [self._line(line) for line in found.word_results] if found.txts else []
        return _in_rows([line for line in lines if line])

    def _line(self, line: Sequence[Any]) -> list[SeenWord]:
        sure = [(text, points) for text, confidence, points in line if confidence >= self._min_confidence and points]
        return [SeenWord(str(text), _around(points)) for text, points in sure]


def _engine(threads: int | None) -> Any:
    try:
        import onnxruntime  # noqa: F401
        from rapidocr import RapidOCR
    except ModuleNotFoundError as error:
        if error.name not in ("onnxruntime", "rapidocr"):
            raise
        raise ImportError("reading scans needs RapidOCR: run `pip install 'latelens[ocr]'`") from error
    options: dict[str, Any] = {"Global.log_level": "error"}
    if threads is not None:
        options |= {f"EngineConfig.onnxruntime.{kind}_op_num_threads": threads for kind in ("intra", "inter")}
    return RapidOCR(params=options)


def _around(points: Any) -> Box:
    """The upright box around four corners."""
    corners = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return left, top, right, bottom


def _in_rows(lines: list[list[SeenWord]]) -> list[list[SeenWord]]:
    """Lines from the top; those side by side from the left."""
    boxes = [_around([corner for word in line for corner in (word.box[:2], word.box[2:])]) for line in lines]
    order = sorted(range(len(lines)), key=lambda i: boxes[i][1])
    rows: list[list[int]] = []
    for i in order:
        last = boxes[rows[-1][0]] if rows else None
        shared = min(last[3], boxes[i][3]) - max(last[1], boxes[i][1]) if last else 0.0
        if last and shared > _SAME_ROW * min(last[3] - last[1], boxes[i][3] - boxes[i][1]):
            rows[-1].append(i)
        else:
            rows.append([i])
    return [lines[i] for row in rows for i in sorted(row, key=lambda i: boxes[i][0])]
