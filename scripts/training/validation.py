"""How good a model is on the validation documents: what every choice of the recipe rests on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from statistics import fmean

import torch
from batches import batch_of
from layers import StateBatch, States
from passages import Examples

from latelens.adapt.losses import mean_maxsim, sentence_loss, sentence_scores, similarities

Encode = Callable[[StateBatch], tuple[torch.Tensor, torch.Tensor]]
_PASSAGES = 24
_SCALE = torch.tensor(40.0)


def frozen(batch: StateBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of questions and passages by the model as it was."""
    return batch.query_before, batch.passage_before


@torch.no_grad()
def validate(examples: Examples, queries: States, documents: States, encode: Encode) -> dict[str, float]:
    """Sentence Hit@1 by source and their mean (`sentence`), and how often the right passage is first (`passage`).

    Passages compete in groups of neighbours, which for SQuAD and SelQA are mostly of one article or of few. `surprise`
    is the mean of the sources' sentence losses at a fixed scale: two sources have under 200 questions, where one
    question is .003 of the mean Hit@1.
    """
    hits: dict[str, list[float]] = defaultdict(list)
    surprises: dict[str, list[float]] = defaultdict(list)
    firsts: list[float] = []
    for begin in range(0, len(examples.passages), _PASSAGES):
        passages = list(range(begin, min(begin + _PASSAGES, len(examples.passages))))
        questions = [q for i in passages for q in examples.asked[i]]
        batch = batch_of(examples, queries, documents, passages, questions)
        rows, others = encode(batch)
        similarity = similarities(rows, others)
        firsts += (mean_maxsim(similarity, batch).argmax(1) == batch.own).float().tolist()
        scores = sentence_scores(rows, similarity, batch)
        for question, found in zip(questions, scores, strict=True):
            asked = examples.questions[question]
            source = examples.passages[asked.passage].source
            hits[source].append(float(found.argmax().item() in asked.gold))
            surprises[source].append(sentence_loss(found[None], [asked.gold], _SCALE).item())
    by_source = {source: fmean(found) for source, found in sorted(hits.items())}
    surprise = fmean(fmean(found) for found in surprises.values())
    return {"sentence": fmean(by_source.values()), "passage": fmean(firsts), "surprise": surprise, **by_source}
