"""Arguments that several constructors of a retriever take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypedDict

from latelens.bridge.calibrations import CalibrationSetting
from latelens.encoders.options import BackendName, Dtype, Engine, Speed
from latelens.explanation.results import ExplainMode


class Options(TypedDict, total=False):
    """See `LateInteractionRetriever`."""

    k: int
    explain: ExplainMode
    min_score: float | None
    min_relevance: float | None
    filter: dict[str, Any] | None
    score_threshold: float | None
    tags: list[str] | None
    metadata: dict[str, Any] | None


class Making(Options, total=False):
    """See `LateInteractionRetriever.from_documents`."""

    ids: Sequence[str] | None
    path: str | os.PathLike[str] | None
    split: bool
    return_parents: bool
    batch_size: int | None
    device: str | None
    backend: BackendName
    speed: Speed
    engine: Engine
    dtype: Dtype | None
    calibration: CalibrationSetting
    show_progress: bool
