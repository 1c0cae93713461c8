"""Puts the texts of its first input line into a cache folder, one by one; test_cache.py kills it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fake_encoder import FakeEncoder

from latelens.encoders.cache import EmbeddingCache

if __name__ == "__main__":
    encoder = FakeEncoder(dim=1024)
    cache = EmbeddingCache(sys.argv[1], max_bytes=0)
    print("ready", flush=True)
    for text in json.loads(sys.stdin.readline()):
        cache.encode_documents(encoder, [text])
    print(len(encoder.encoded), flush=True)
