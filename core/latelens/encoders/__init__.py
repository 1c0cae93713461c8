"""Encoders: `load_encoder`, a registry of backends with a folder each, and what every encoder shares."""

from latelens.encoders.catalogue import ModelInfo, list_models
from latelens.encoders.loading import DEFAULT_MODEL, load_encoder
from latelens.encoders.offline import OFFLINE_MODEL, TRAINED_MODEL
from latelens.encoders.pool import EncoderPool
from latelens.encoders.protocol import Encoder, PageEncoder
from latelens.encoders.tile_pooling import TilePooling
from latelens.encoders.token_pooling import TokenPooling

__all__ = [
    "DEFAULT_MODEL",
    "OFFLINE_MODEL",
    "TRAINED_MODEL",
    "Encoder",
    "EncoderPool",
    "ModelInfo",
    "PageEncoder",
    "TilePooling",
    "TokenPooling",
    "list_models",
    "load_encoder",
]
