"""A small late-interaction model for the table of `single_vector.py`. Run by hand; minutes on one core.

python tests/benchmarks/single_vector_model.py --out FOLDER [--data FOLDER] [--pairs 600] [--steps 600]

The packaged model under a new projection to 96 dimensions, which is trained with MaxSim on pairs of SQuAD's training
questions and passages, every other passage of the batch counting as wrong: ColBERT's recipe, on a frozen transformer.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch.nn.utils.rnn import pad_sequence

from latelens import load_encoder

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BATCH, DIM = 32, 96


def main() -> None:
    options = _arguments()
    torch.manual_seed(0)
    pairs = read_pairs(options.data / "evidence_train" / "train.jsonl.gz", options.pairs)
    encoder = load_encoder("offline/all-MiniLM-L6-v2")
    queries, documents = ([torch.tensor(text.vectors) for text in encoder.encode_documents(side)] for side in pairs)
    projection = Dense(384, DIM, bias=False, activation_function=None, module_input_name="token_embeddings")
    train(projection.linear, queries, documents, options.steps)
    modules = [encoder.model[0], projection, MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    MultiVectorEncoder(modules=modules, device="cpu").save(str(options.out))


def read_pairs(path: Path, count: int) -> tuple[list[str], list[str]]:
    """Questions, and the passage of each."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        examples = [example for line in lines if (example := json.loads(line))["source"] == "squad_train"]
    some = random.Random(0).sample(examples, count)
    return [example["question"] for example in some], [" ".join(example["sentences"]) for example in some]


def train(projection: torch.nn.Linear, queries: Sequence[Any], documents: Sequence[Any], steps: int) -> None:
    """AdamW on the cross-entropy of MaxSim within a batch."""
    chance = random.Random(0)
    optimizer = torch.optim.AdamW(projection.parameters(), lr=1e-3)
    for step in range(steps):
        batch = chance.sample(range(len(queries)), BATCH)
        scores = maxsim(projection, [queries[i] for i in batch], [documents[i] for i in batch])
        loss = torch.nn.functional.cross_entropy(scores, torch.arange(BATCH))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(step, round(loss.item(), 3), flush=True)


def maxsim(projection: torch.nn.Linear, queries: Sequence[Any], documents: Sequence[Any]) -> torch.Tensor:
    """The score of each query with each document, (queries, documents)."""
    (asked, asked_rows), (read, read_rows) = _projected(projection, queries), _projected(projection, documents)
    similarity = torch.einsum("qid,pjd->qpij", asked, read)
    best = similarity.masked_fill(~read_rows[None, :, None, :], -torch.inf).amax(-1)
    return best.masked_fill(~asked_rows[:, None, :], 0).sum(-1)


def _projected(projection: torch.nn.Linear, texts: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """(texts, rows, DIM) unit rows, and which of them are no padding."""
    lengths = torch.tensor([len(text) for text in texts])
    padded = pad_sequence(list(texts), batch_first=True)
    return torch.nn.functional.normalize(projection(padded), dim=-1), torch.arange(padded.shape[1]) < lengths[:, None]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of evidence_train")
    parser.add_argument("--pairs", type=int, default=600)
    parser.add_argument("--steps", type=int, default=600)
    return parser.parse_args()


if __name__ == "__main__":
    main()
