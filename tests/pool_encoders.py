"""Encoders that a pool's worker processes can be given, and that fail there in every way."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from fake_encoder import FakeEncoder

from latelens import TokenEmbeddings


class Troubled(FakeEncoder):
    """Does what a text says, in a worker process only."""

    def __init__(self, dim: int = 64) -> None:
        super().__init__("troubled", dim)
        self.home = os.getpid()

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        if os.getpid() != self.home:
            for text in texts:
                if "raise" in text:
                    raise ValueError(f"cannot read {text!r}")
                if "die" in text:
                    os._exit(3)
                if "sleep" in text:
                    time.sleep(30)
        return super().encode_documents([f"{text} {os.getpid()}" if "where" in text else text for text in texts])


class Changing(FakeEncoder):
    """Another model in each process."""

    @property
    def fingerprint(self) -> str:
        return str(os.getpid())

    @fingerprint.setter
    def fingerprint(self, value: str) -> None:
        pass
