"""What a page shows against what its code prints now."""

from __future__ import annotations

import re

import pytest

# Another build of torch, or PyLate's libraries, move a similarity in its last digits: 0.005 is half of the last digit
# that pages print, so two numbers may differ by 0.01.
ROUNDING = 0.0101
_NUMBER = re.compile(r"(-?\d+\.\d+)")


def assert_same(printed: str, shown: str, where: str) -> None:
    """Equal texts, apart from the last digit of numbers with a decimal point."""
    now, before = _NUMBER.split(printed), _NUMBER.split(shown)
    assert now[::2] == before[::2], f"{where} prints another text than the page shows"
    for new, old in zip(now[1::2], before[1::2], strict=True):
        assert float(new) == pytest.approx(float(old), abs=ROUNDING), where
