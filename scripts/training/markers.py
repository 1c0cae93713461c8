"""Do marker tokens and query expansion help a model that was trained without them? The validation measures with each.

python scripts/training/markers.py DELTA RECIPE --data FOLDER --states FOLDER

A marker is `[unused0]` behind the first token of a question and `[unused1]` behind that of a passage, as in ColBERT.
Expansion fills a question with `[MASK]` up to 32 tokens, which score like any other row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tomllib
import torch
from layers import frozen_states, load_base
from passages import CONTROL, Examples, Passage, Question
from safetensors.torch import load_file
from train import read_both
from transformers import AutoTokenizer
from validation import frozen, validate

from latelens.encoders.local.delta import add_delta
from latelens.encoders.offline import offline_model_path

_QUERY_TOKENS = 32


def marked(examples: Examples, tokenizer: Any) -> Examples:
    """With a marker in each text."""
    ask, tell = tokenizer.convert_tokens_to_ids(["[unused0]", "[unused1]"])

    def question(each: Question) -> Question:
        return replace(each, ids=np.insert(each.ids, 1, ask), words=np.insert(each.words, 1, -1))

    def passage(each: Passage) -> Passage:
        return replace(each, ids=np.insert(each.ids, 1, tell), owners=np.insert(each.owners, 1, CONTROL))

    return replace(
        examples,
        questions=tuple(map(question, examples.questions)),
        passages=tuple(map(passage, examples.passages)),
    )


def expanded(examples: Examples, tokenizer: Any) -> Examples:
    """With questions filled up by masks."""

    def question(each: Question) -> Question:
        more = (0, max(0, _QUERY_TOKENS - len(each.ids)))
        ids = np.pad(each.ids, more, constant_values=tokenizer.mask_token_id)
        return replace(each, ids=ids, words=np.pad(each.words, more, constant_values=-1))

    return replace(examples, questions=tuple(map(question, examples.questions)))


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("delta", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--states", type=Path, required=True, help="an empty folder: states are of this delta")
    asked = parser.parse_args(given)
    chosen = tomllib.loads(asked.recipe.read_text(encoding="utf-8"))["model"]
    tokenizer = AutoTokenizer.from_pretrained(offline_model_path())
    model = load_base(offline_model_path())
    add_delta(dict(model.named_parameters()), load_file(asked.delta))
    _, plain = read_both(asked.data, tokenizer, chosen)
    kinds = {
        "as it is": plain,
        "markers": marked(plain, tokenizer),
        "expansion": expanded(plain, tokenizer),
        "both": expanded(marked(plain, tokenizer), tokenizer),
    }
    for name, examples in kinds.items():
        texts = [[each.ids for each in examples.questions], [each.ids for each in examples.passages]]
        queries, documents = (frozen_states(model, ids, chosen["first_layer"], asked.states) for ids in texts)
        measured = validate(examples, queries, documents, frozen)
        print(name, " ".join(f"{key} {value:.4f}" for key, value in measured.items()), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
