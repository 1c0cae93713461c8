"""How good a model is on the validation documents: what every choice of the recipe rests on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from statistics import fmean

import torch
from batches import batch_of
from layers import States
from losses import Batch, mean_maxsim, sentence_scores, similarities
from passages import Examples

Encode = Callable[[Batch], tuple[torch.Tensor, torch.Tensor]]
_PASSAGES = 24


def frozen(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of questions and passages by the model as it was."""
    return batch.query_last, batch.passage_last


@torch.no_grad()
def validate(examples: Examples, queries: States, documents: States, encode: Encode) -> dict[str, float]:
    """Sentence Hit@1 by source and their mean (`sentence`), and how often the right passage is first (`passage`).

    Passages compete in groups of neighbours, which for SQuAD and SelQA are mostly of one article or of few.
    """
    hits: dict[str, list[float]] = defaultdict(list)
    firsts: list[float] = []
    for begin in range(0, len(examples.passages), _PASSAGES):
        passages = list(range(begin, min(begin + _PASSAGES, len(examples.passages))))
        questions = [q for i in passages for q in examples.asked[i]]
        batch = batch_of(examples, queries, documents, passages, questions)
        rows, others = encode(batch)
        similarity = similarities(rows, others)
        firsts += (mean_maxsim(similarity, batch).argmax(1) == batch.own).float().tolist()
        best = sentence_scores(rows, similarity, batch).argmax(1).tolist()
        for question, sentence in zip(questions, best, strict=True):
            asked = examples.questions[question]
            hits[examples.passages[asked.passage].source].append(float(sentence in asked.gold))
    by_source = {source: fmean(found) for source, found in sorted(hits.items())}
    return {"sentence": fmean(by_source.values()), "passage": fmean(firsts), **by_source}
