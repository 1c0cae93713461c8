"""Fixtures that several test files use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

# No test may ask a model hub for anything: an unknown name must fail at once, on any machine.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Nothing is kept at home: a test that keeps exports names a folder.
os.environ["LATELENS_CACHE"] = ""

import pytest

from latelens import Encoder, load_encoder

# A shell's background job ignores SIGINT, and so would every test that sends one, with the processes that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=8, help="writers to kill while a document is replaced (long: 50)")
    parser.addoption(
        "--corpus", type=int, nargs=2, default=[60, 12], help="documents, and updates of them (long: 2000 200)"
    )
    parser.addoption("--campaign", type=int, default=1, help="how many times as much tests/campaigns try (long: 50)")
    parser.addoption(
        "--model", help="folder of a page encoder for tests/campaigns/test_visual.py; tiny ones without it"
    )


@pytest.fixture(scope="session")
def offline() -> Encoder:
    """The packaged model: for tests in which meaning counts."""
    return load_encoder("offline/all-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def campaign(pytestconfig: pytest.Config) -> int:
    """How many times as much as in its short form a campaign tries."""
    return int(pytestconfig.getoption("--campaign"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public data sets that are not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the evaluation data is not here: no folder {SHARED_DATA.name} beside the checkout")
    return SHARED_DATA
