"""Train the packaged delta: python scripts/training/train.py RECIPE --data FOLDER --states FOLDER --output FOLDER.

Trains every seed of the recipe, and writes their mean: `delta.safetensors` (factors, float16) and `run.json` (recipe,
versions, validation) in the output folder, each seed's in its folder `seed-N`. A seed that is there already, by the
same recipe, is not trained again. Frozen states are kept in `--states` and serve all runs. `--set loss.rows=40` changes
a number.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tomllib
import torch
from batches import batch_of, sampler
from layers import States, UpperLayers, frozen_states, load_base
from mean import mean_of
from passages import Examples, read_examples
from rivals import rivals
from safetensors.torch import load_file, save_file
from validation import frozen, validate

from latelens.adapt.training import Losses, Schedule, Trainer
from latelens.encoders.local.delta import add_delta
from latelens.encoders.offline import offline_model_path

Recipe = dict[str, dict[str, Any]]
Json = dict[str, Any]
_DELTA, _RUN = "delta.safetensors", "run.json"


def main(given: Sequence[str] | None = None) -> int:
    """Train all seeds and write their mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.jsonl.gz and valid.jsonl.gz")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--states", type=Path, required=True, help="folder for the frozen layers' output, 2 GB")
    parser.add_argument("--set", action="append", default=[], help="such as loss.rows=40")
    asked = parser.parse_args(given)
    recipe = changed(tomllib.loads(asked.recipe.read_text(encoding="utf-8")), asked.set)
    mean = recipe.pop("mean")
    folders = [asked.output / f"seed-{seed}" for seed in mean["seeds"]]
    material = Material(recipe, asked.data, asked.states)
    seeds = [trained(recipe, material, folder, seed) for folder, seed in zip(folders, mean["seeds"], strict=True)]
    factors = mean_of([load_file(each / _DELTA) for each in folders], mean["rank"])
    valid = validated(factors, recipe, material)
    _say("mean", valid)
    about = {"recipe": {**recipe, "mean": mean}, "before": seeds[0]["before"], "valid": valid, "seeds": seeds}
    _write(asked.output, factors, about)
    return 0


class Material:
    """What all seeds share: texts, frozen states, and what the model as it was makes of them."""

    def __init__(self, recipe: Recipe, data: Path, kept: Path) -> None:
        from transformers import AutoTokenizer

        path, chosen = offline_model_path(), recipe["model"]
        self.train, self.valid = read_both(data, AutoTokenizer.from_pretrained(path), chosen)
        model = load_base(path)
        self.states, self.held = (
            states_of(model, each, chosen["first_layer"], kept) for each in (self.train, self.valid)
        )

    @cached_property
    def before(self) -> dict[str, float]:
        """The validation measures of the model as it was."""
        return validate(self.valid, *self.held, frozen)

    @cached_property
    def rivals(self) -> tuple[tuple[int, ...], ...]:
        """The hardest rivals of each passage."""
        return rivals(self.train, *self.states)


def trained(recipe: Recipe, material: Material, folder: Path, seed: int) -> Json:
    """What is known of one seed; it is trained where its folder does not hold it.

    Raises
    ------
    ValueError
        If the folder holds a seed of another recipe.
    """
    if (folder / _RUN).exists():
        held: Json = json.loads((folder / _RUN).read_text(encoding="utf-8"))
        if held["recipe"] != recipe:
            raise ValueError(f"{folder} was trained by another recipe: give another --output, or delete it")
        return held
    torch.manual_seed(seed)
    begin = time.process_time()
    factors, log = run(recipe, material, seed)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    about = {"recipe": recipe, "seed": seed, "versions": versions, "cpu_seconds": time.process_time() - begin, **log}
    _write(folder, {name: each.half().contiguous() for name, each in factors.items()}, about)
    return about


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with some numbers replaced, as `--set` names them."""
    for change in changes:
        name, _, value = change.partition("=")
        section, _, key = name.partition(".")
        if key not in recipe.get(section, {}):
            raise ValueError(f"the recipe has no {name!r}; it has {', '.join(recipe)} with {recipe.get(section)}")
        recipe[section][key] = tomllib.loads(f"value = {value}")["value"]
    return recipe


def run(recipe: Recipe, material: Material, seed: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train, and return the factors with what was logged."""
    chosen = recipe["model"]
    log: dict[str, Any] = {"before": material.before, "steps": [], "valid": []}
    _say("before", log["before"])
    model = load_base(offline_model_path())
    layers = UpperLayers(model, **{name: chosen[name] for name in ("first_layer", "rank", "alpha")})
    schedule = Schedule(**recipe["training"])
    trainer = Trainer(layers.encode, layers.lora.parameters, Losses(**recipe["loss"]), schedule)
    options = {name: recipe["batch"][name] for name in ("run", "questions")}
    mined = material.rivals if recipe["batch"]["mined"] else None
    drawn = sampler(material.train, recipe["batch"]["passages"], mined, **options, seed=seed)
    for step in range(1, schedule.steps + 1):
        log["steps"].append(trainer.step(batch_of(material.train, *material.states, *drawn.draw())))
        if step % 25 == 0:
            recent = log["steps"][-25:]
            _say(f"step {step}", {name: float(np.mean([each[name] for each in recent])) for name in recent[0]})
        if step % 200 == 0 or step == schedule.steps:
            with trainer.averaged():
                log["valid"].append({"step": step, **validate(material.valid, *material.held, layers.encode)})
            _say(f"valid {step}", log["valid"][-1])
    log["steps"] = [{name: round(value, 4) for name, value in each.items()} for each in log["steps"]]
    with trainer.averaged():
        return layers.lora.factors(), log


def validated(factors: dict[str, torch.Tensor], recipe: Recipe, material: Material) -> dict[str, float]:
    """The validation measures of the base model with a delta."""
    model = load_base(offline_model_path())
    add_delta(dict(model.named_parameters()), factors)
    layers = UpperLayers(model, first_layer=recipe["model"]["first_layer"], rank=1, alpha=1)
    return validate(material.valid, *material.held, layers.encode)


def read_both(data: Path, tokenizer: Any, chosen: dict[str, Any]) -> tuple[Examples, Examples]:
    """The training and the validation documents."""
    limits = {name: chosen[name] for name in ("longest_query", "longest_passage")}
    train, valid = (read_examples(data / f"{name}.jsonl.gz", tokenizer, **limits) for name in ("train", "valid"))
    return train, valid


def states_of(model: Any, examples: Examples, first_layer: int, kept: Path) -> tuple[States, States]:
    """What the frozen model makes of questions and passages."""
    texts = [[each.ids for each in examples.questions], [each.ids for each in examples.passages]]
    queries, documents = (frozen_states(model, ids, first_layer, kept) for ids in texts)
    return queries, documents


def _write(folder: Path, factors: dict[str, torch.Tensor], about: Json) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(factors, folder / _DELTA)
    (folder / _RUN).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def _say(what: str, numbers: dict[str, float]) -> None:
    print(what, " ".join(f"{name} {value:.4f}" for name, value in numbers.items()), file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
