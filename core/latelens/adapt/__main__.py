"""The command: ``python -m latelens.adapt MODEL DATA --output FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from latelens.adapt import examples
from latelens.adapt.adapting import Adapted, adapt_model
from latelens.adapt.training import Schedule


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, write and report; 0 where the gain is more than noise, 1 where it is not, 2 for what cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m latelens.adapt",
        description="Train a LoRA that makes a model point at the right sentence; measure it on documents held out.\n\n"
        + (examples.__doc__ or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="what load_encoder takes: a hub id, a folder, offline/latelens-mini")
    parser.add_argument("data", type=Path, nargs="+", help="JSON Lines of marked questions or thumbs")
    parser.add_argument("--output", type=Path, required=True, help="a new folder for the model with what it learned")
    parser.add_argument("--steps", type=int, default=Schedule.steps)
    parser.add_argument("--learning-rate", type=float, default=Schedule.learning_rate)
    parser.add_argument("--rank", type=int, default=16, help="of the LoRA")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    try:
        marked = [example for path in asked.data for example in examples.read_examples(path)]
        schedule = replace(Schedule(), steps=asked.steps, learning_rate=asked.learning_rate)
        options = {"rank": asked.rank, "seed": asked.seed}
        found = adapt_model(asked.model, marked, asked.output, schedule=schedule, say=_say, **options)
    except (ImportError, OSError, TypeError, ValueError) as error:
        _say(f"adapt: {error}")
        return 2
    print("\n".join(_lines(found, asked.output)))  # noqa: T201
    return 0 if found.is_gain else 1


def _lines(found: Adapted, output: Path) -> list[str]:
    said = [f"{found.held_out} held-out questions:", *map(str, found.changes)]
    if found.is_gain:
        return [*said, f"The model in {output} points better than before; calibrate it before you use thresholds."]
    return [*said, f"No gain beyond noise: keep the model that you have. What was tried is in {output}."]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
