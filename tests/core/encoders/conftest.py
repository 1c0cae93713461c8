"""Exports that several test files read: each takes seconds to make."""

from functools import cache

import pytest

OFFLINE = "offline/all-MiniLM-L6-v2"


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The folder of an export, made once a session."""
    import tiny_models

    from latelens import load_encoder

    root = tmp_path_factory.mktemp("exports")

    @cache
    def make(name):
        encoder = load_encoder(OFFLINE, device="cpu") if name == OFFLINE else tiny_models.encoder(name)
        encoder.export(root / name.replace("/", "-"))
        return root / name.replace("/", "-")

    return make
