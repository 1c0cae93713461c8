"""The `calibration` of an adapter, to JSON and back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from latelens.encoders.calibration import Calibration
from latelens.refusals import shown

CalibrationSetting = Calibration | str | os.PathLike[str] | None


def read_calibration(setting: Any) -> Any:
    """The setting, a `Calibration` for what `describe_calibration` made of one."""
    if not isinstance(setting, Mapping):
        return setting
    try:
        return Calibration(**setting)
    except TypeError as error:
        raise ValueError(f"calibration must be what a Calibration was written as, got {shown(setting)}") from error


def describe_calibration(setting: CalibrationSetting) -> str | dict[str, Any] | None:
    """Write the setting as JSON, from which `read_calibration` makes it again."""
    if isinstance(setting, Calibration):
        return asdict(setting)
    return None if setting is None else os.fspath(setting)
