"""Train the packaged delta: python scripts/training/train.py RECIPE --data FOLDER --output FOLDER [--seed 0].

Writes `delta.safetensors` (the LoRA's factors, float16) and `run.json` (recipe, versions, losses, validation) into the
output folder. Frozen states are kept in `--states` and serve all runs. `--set loss.rows=40` changes a number.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomllib
import torch
from batches import Sampler, batch_of
from layers import States, UpperLayers, frozen_states, load_base
from losses import (
    Batch,
    mean_maxsim,
    passage_loss,
    ranking_loss,
    rows_loss,
    sentence_loss,
    sentence_scores,
    similarities,
)
from passages import Examples, read_examples
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from validation import frozen, validate

from latelens.encoders.offline import offline_model_path

Recipe = dict[str, dict[str, Any]]


def main(given: Sequence[str] | None = None) -> int:
    """Train one seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.jsonl.gz and valid.jsonl.gz")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--states", type=Path, required=True, help="folder for the frozen layers' output, 2 GB")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="such as loss.rows=40")
    asked = parser.parse_args(given)
    recipe = changed(tomllib.loads(asked.recipe.read_text(encoding="utf-8")), asked.set)
    torch.manual_seed(asked.seed)
    begin = time.process_time()
    factors, log = run(recipe, asked.data, asked.states, asked.seed)
    asked.output.mkdir(parents=True, exist_ok=True)
    save_file({name: each.half().contiguous() for name, each in factors.items()}, asked.output / "delta.safetensors")
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    about = {"recipe": recipe, "seed": asked.seed, "versions": versions, "cpu_seconds": time.process_time() - begin}
    (asked.output / "run.json").write_text(json.dumps({**about, **log}, indent=1) + "\n", encoding="utf-8")
    return 0


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with some numbers replaced, as `--set` names them."""
    for change in changes:
        name, _, value = change.partition("=")
        section, _, key = name.partition(".")
        if key not in recipe.get(section, {}):
            raise ValueError(f"the recipe has no {name!r}; it has {', '.join(recipe)} with {recipe.get(section)}")
        recipe[section][key] = tomllib.loads(f"value = {value}")["value"]
    return recipe


def run(recipe: Recipe, data: Path, kept: Path, seed: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Train, and return the factors with what was logged."""
    from transformers import AutoTokenizer

    chosen = recipe["model"]
    path = offline_model_path()
    tokenizer, model = AutoTokenizer.from_pretrained(path), load_base(path)
    limits = {name: chosen[name] for name in ("longest_query", "longest_passage")}
    train, valid = (read_examples(data / f"{name}.jsonl.gz", tokenizer, **limits) for name in ("train", "valid"))
    states = [_states(model, examples, chosen["first_layer"], kept) for examples in (train, valid)]
    log: dict[str, Any] = {"before": validate(valid, *states[1], frozen), "steps": [], "valid": []}
    _say("before", log["before"])
    layers = UpperLayers(model, **{name: chosen[name] for name in ("first_layer", "rank", "alpha")})
    trainer = Trainer(layers, recipe)
    options = {name: recipe["batch"][name] for name in ("run", "questions")}
    sampler = Sampler(train, recipe["batch"]["passages"], **options, seed=seed)
    steps = recipe["training"]["steps"]
    for step in range(1, steps + 1):
        passages, questions = sampler.draw()
        log["steps"].append(trainer.step(batch_of(train, *states[0], passages, questions), step))
        if step % 25 == 0:
            recent = log["steps"][-25:]
            _say(f"step {step}", {name: float(np.mean([each[name] for each in recent])) for name in recent[0]})
        if step % 200 == 0 or step == steps:
            log["valid"].append({"step": step, **validate(valid, *states[1], trainer.encode_averaged)})
            _say(f"valid {step}", log["valid"][-1])
    log["steps"] = [{name: round(value, 4) for name, value in each.items()} for each in log["steps"]]
    return trainer.averaged.module.layers.factors(), log


class Trainer:
    """The layers in training, their moving average and the optimizer."""

    def __init__(self, layers: UpperLayers, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model = _Model(layers, recipe["loss"])
        self.averaged = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe["training"]["averaging"]))
        self._adapters = [each for each in layers.parameters() if each.requires_grad]
        asked = recipe["training"]
        groups = [
            {"params": self._adapters, "lr": asked["learning_rate"], "weight_decay": asked["weight_decay"]},
            {"params": [self.model.sentence_scale, self.model.passage_scale], "lr": 2e-3, "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups)
        self._rates = [group["lr"] for group in groups]

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Take one step, counted from 1, and return the parts of the loss."""
        asked = self.recipe["training"]
        share = min(1.0, step / asked["warm_up"]) * max(0.03, 0.5 * (1 + math.cos(math.pi * step / asked["steps"])))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        parts = self.model.losses(batch)
        loss = sum(self.recipe["loss"][name] * part for name, part in parts.items())
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._adapters, asked["clip"])
        self._optimizer.step()
        self.averaged.update_parameters(self.model)
        return {name: part.item() for name, part in parts.items()}

    def encode_averaged(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of questions and passages with the averaged weights."""
        return self.averaged.module.encode(batch)


class _Model(torch.nn.Module):
    def __init__(self, layers: UpperLayers, chosen: dict[str, float]) -> None:
        super().__init__()
        self.layers = layers
        self.sentence_scale = torch.nn.Parameter(torch.tensor(math.log(chosen["sentence_scale"])))
        self.passage_scale = torch.nn.Parameter(torch.tensor(math.log(chosen["passage_scale"])))
        self._teacher_scale = chosen["teacher_scale"]

    def encode(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        queries = self.layers(batch.query_states, batch.query_mask)
        return queries, self.layers(batch.passage_states, batch.passage_mask)

    def losses(self, batch: Batch) -> dict[str, torch.Tensor]:
        queries, passages = self.encode(batch)
        similarity = similarities(queries, passages)
        before = similarities(batch.query_last, batch.passage_last)
        maxsims, passage_scale = mean_maxsim(similarity, batch), self.passage_scale.exp()
        scores = sentence_scores(queries, similarity, batch)
        return {
            "sentence": sentence_loss(scores, batch.gold, self.sentence_scale.exp()),
            "passage": passage_loss(maxsims, batch.own, passage_scale),
            "ranking": ranking_loss(maxsims, mean_maxsim(before, batch), passage_scale, self._teacher_scale),
            "rows": rows_loss(similarity, before, batch),
        }


def _states(model: Any, examples: Examples, first_layer: int, kept: Path) -> tuple[States, States]:
    texts = [[each.ids for each in examples.questions], [each.ids for each in examples.passages]]
    queries, documents = (frozen_states(model, ids, first_layer, kept) for ids in texts)
    return queries, documents


def _say(what: str, numbers: dict[str, float]) -> None:
    print(what, " ".join(f"{name} {value:.4f}" for name, value in numbers.items()), file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
