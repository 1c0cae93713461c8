from __future__ import annotations

import importlib.util
import re
import shutil
import warnings
from pathlib import Path

import pytest
import tiny_models

import latelens
from latelens import list_models, load_encoder
from latelens.encoders import DEFAULT_MODEL, OFFLINE_MODEL
from latelens.encoders.catalogue import as_markdown, check_needs, pages_as_markdown, say_licence

NOT_COMMERCIAL = ("jinaai/jina-colbert-v2", "vidore/colqwen2.5-v0.2")
MODELS = Path(__file__).resolve().parents[3] / "docs" / "guides" / "models.md"


def test_names_are_unique_hub_ids() -> None:
    names = [model.name for model in list_models()]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(re.fullmatch(r"[\w-]+/[\w-][\w.-]*", name) for name in names)
    assert {DEFAULT_MODEL, OFFLINE_MODEL} <= set(names)
    assert all(isinstance(model, latelens.ModelInfo) for model in list_models())


def test_the_guide_to_models_holds_exactly_the_table_of_the_data() -> None:
    section = MODELS.read_text(encoding="utf-8").split("\n## Well-known models\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    assert table == as_markdown().splitlines(), "run `python -m latelens.encoders.catalogue` and paste what it prints"


def test_every_row_of_the_table_has_every_column() -> None:
    assert {row.count("|") for row in as_markdown().splitlines()} == {8}
    assert {row.count("|") for row in pages_as_markdown().splitlines()} == {7}
    assert "None" not in as_markdown() + pages_as_markdown()
    rows = len(as_markdown().splitlines()) + len(pages_as_markdown().splitlines())
    assert rows == len(list_models()) + 4


def test_the_guide_holds_the_table_of_models_for_pages() -> None:
    section = MODELS.read_text(encoding="utf-8").split("\n## Models that read page images\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    assert table == pages_as_markdown().splitlines()


def test_what_a_model_needs_is_said_before_the_model_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"colSmol-500M needs peft: run `pip install peft`$"):
        load_encoder("vidore/colSmol-500M")
    with (
        pytest.warns(UserWarning, match=r"colqwen2\.5-v0\.2 is published under LicenseRef-Qwen-Research"),
        pytest.raises(ImportError, match=r"needs peft and torchvision: .* fits your torch, from the same index"),
    ):
        load_encoder("vidore/colqwen2.5-v0.2")
    check_needs("lightonai/LateOn")
    check_needs("vidore/colpali-v1.3-hf")


def test_a_non_commercial_licence_is_said_before_the_model_is_looked_for() -> None:
    with (
        pytest.warns(UserWarning, match=r"jina-colbert-v2 is published under CC-BY-NC-4\.0.*commercially") as said,
        pytest.raises(ValueError, match="could not find the model 'jinaai/jina-colbert-v2'"),
    ):
        load_encoder("jinaai/jina-colbert-v2")
    licences = [warning for warning in said if "published under" in str(warning.message)]
    assert [warning.filename for warning in licences] == [__file__]


@pytest.mark.parametrize("name", [m.name for m in list_models() if m.name not in NOT_COMMERCIAL] + ["a/b", ""])
def test_other_models_load_without_a_word_about_licences(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        say_licence(name)


def test_the_packaged_model_is_as_the_table_says(offline: latelens.Encoder) -> None:
    (row,) = [model for model in list_models() if model.name == OFFLINE_MODEL]
    assert offline.dim == row.dim
    assert offline.encode_queries(["a query"])[0].vectors.shape[1] == row.dim


def test_a_checkpoint_named_like_a_known_model_keeps_its_own_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "colbert-ir/colbertv2.0"
    shutil.copytree(tiny_models.checkpoint("wordpiece-pylate"), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    encoder = load_encoder(name, device="cpu")
    (row,) = [model for model in list_models() if model.name == name]
    assert encoder.dim == tiny_models.DIM != row.dim
    text = "The ship counts the old lighthouse. " * 40
    same = tiny_models.encoder("wordpiece-pylate").encode_documents([text])[0]
    assert encoder.encode_documents([text])[0].vectors.shape == same.vectors.shape
