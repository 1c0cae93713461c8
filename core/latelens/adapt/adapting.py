"""A LoRA on the user's own model, from their own marked questions, measured on documents that it has not seen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from latelens.adapt.examples import MarkedQuestion
from latelens.adapt.lora import Lora, linear_layers
from latelens.adapt.report import Change, compare, measure
from latelens.adapt.sampling import Sampler, Share
from latelens.adapt.texts import Texts, encode_batch, read_texts
from latelens.adapt.training import Losses, Schedule, Trainer
from latelens.encoders import load_encoder
from latelens.encoders.local.delta import add_delta
from latelens.encoders.local.sentence_transformers import SentenceTransformersEncoder

_LEAST = 20  # documents of each part: below that no interval can be trusted
_PASSAGES, _QUESTIONS = 16, 3  # passages of a batch, and questions of each, at most
REPORT_FILE = "latelens_adapt.json"


@dataclass(frozen=True)
class Adapted:
    """What training did.

    Attributes
    ----------
    trained, held_out
        Questions of each part.
    changes
        Sentence Hit@1 and the right passage's reciprocal rank, before and after, on the held-out part.
    """

    trained: int
    held_out: int
    changes: tuple[Change, ...]

    @property
    def is_gain(self) -> bool:
        """Whether it points better beyond noise, and ranks no worse beyond noise."""
        hit, *others = self.changes
        return hit.low > 0 and all(each.high >= 0 for each in others)


def adapt_model(
    model: str | os.PathLike[str],
    examples: Sequence[MarkedQuestion],
    output: str | os.PathLike[str],
    *,
    schedule: Schedule | None = None,
    rank: int = 16,
    seed: int = 0,
    say: Callable[[str], object] | None = None,
) -> Adapted:
    """Train a LoRA on a model's upper layers, write the model with it into a new folder, and measure both.

    A quarter of the documents, by the sha1 of their names, is held out: nothing is trained on it, and it is measured
    once before and once after. The folder loads with `load_encoder`; ``latelens_adapt.json`` in it holds the report.
    It is written whatever comes out: ask `Adapted.is_gain`. A calibration of the model before does not fit it.

    Raises
    ------
    ImportError
        If peft is missing.
    TypeError, ValueError
        If the model cannot be trained, the folder is there already, or either part has fewer than 20 documents.
    """
    target = Path(output).expanduser()
    if target.exists():
        raise ValueError(f"{str(output)!r} is there already; choose another folder, or delete it")
    trained, held = ([each for each in examples if each.held_out is wanted] for wanted in (False, True))
    for name, part in (("training", trained), ("the held-out quarter", held)):
        if (count := len({each.document for each in part})) < _LEAST:
            raise ValueError(f"{name} needs marked questions of at least {_LEAST} documents, got {count}")
    encoder = load_encoder(model)
    if not isinstance(encoder, SentenceTransformersEncoder) or encoder.route.engine != "torch":
        raise TypeError(f"only text models of sentence-transformers 6 on torch can be adapted, not {encoder!r}")
    before = measure(encoder, held)
    texts = read_texts(encoder, trained)
    asked = schedule or Schedule()
    tell = say or (lambda _: None)
    tell(f"training on {len(texts.examples)} questions about {len(texts.documents)} passages, {asked.steps} steps")
    train(encoder, texts, asked, rank=rank, seed=seed, say=tell)
    encoder.model.save(str(target))
    changes = compare(before, measure(load_encoder(target), held), held)
    found = Adapted(len(texts.examples), len(held), changes)
    report = {"model": encoder.name, "schedule": asdict(asked), "rank": rank, "seed": seed, **asdict(found)}
    written = json.dumps({**report, "is_gain": found.is_gain}, indent=1)
    (target / REPORT_FILE).write_text(written + "\n", encoding="utf-8")
    return found


def train(
    encoder: SentenceTransformersEncoder,
    texts: Texts,
    schedule: Schedule,
    *,
    rank: int,
    seed: int,
    say: Callable[[str], object],
) -> None:
    """Train, and add what was learned to the encoder's own weights."""
    torch.manual_seed(seed)
    transformer: Any = next(module.auto_model for module in encoder.model if hasattr(module, "auto_model"))
    lora = Lora(transformer, linear_layers(transformer), rank=rank, alpha=2 * rank)
    trainer = Trainer(partial(encode_batch, encoder), lora.parameters, Losses(), schedule)
    sampler = Sampler([Share(range(len(texts.documents)), _PASSAGES)], texts.asked, questions=_QUESTIONS, seed=seed)
    for step in range(1, schedule.steps + 1):
        parts = trainer.step(texts.batch(*sampler.draw(), encoder.model.device))
        if step % 25 == 0:
            say(f"step {step}: " + ", ".join(f"{name} {value:.4f}" for name, value in parts.items()))
    with trainer.averaged():
        factors = lora.factors()
    lora.remove()
    add_delta(dict(transformer.named_parameters()), factors)
