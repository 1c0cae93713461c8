"""What is trained: the product's own rule for sentences, the ranking, and two ties to the model as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax, softplus

from latelens.explanation.matches import PRIOR_ROWS


@dataclass(frozen=True)
class TrainingBatch:
    """Questions and passages, padded, with the rows that the model gave before training.

    Attributes
    ----------
    query_before
        (questions, longest, dim) float32 unit rows.
    query_mask, words
        (questions, longest) bool and int64: real rows; the word of each, -1 for none.
    passage_before, passage_mask
        The same of the passages, (passages, longest, ...).
    owners
        (passages, longest) int64: sentence of each row, -1 for none, -2 for rows that never score.
    own
        (questions,) int64: the passage that answers.
    gold
        Of each question the sentences that answer.
    """

    query_before: torch.Tensor
    query_mask: torch.Tensor
    words: torch.Tensor
    passage_before: torch.Tensor
    passage_mask: torch.Tensor
    owners: torch.Tensor
    own: torch.Tensor
    gold: Sequence[Sequence[int]]


def similarities(queries: torch.Tensor, passages: torch.Tensor) -> torch.Tensor:
    """Every row with every row, (questions, passages, query rows, passage rows)."""
    return torch.einsum("bid,njd->bnij", queries, passages)


def mean_maxsim(similarity: torch.Tensor, batch: TrainingBatch) -> torch.Tensor:
    """MaxSim over the number of query rows, (questions, passages): control rows score, punctuation does not."""
    best = _strongest(similarity, _scoring(batch))
    real = batch.query_mask[:, None, :]
    return (best * real).sum(2) / real.sum(2)


def sentence_scores(queries: torch.Tensor, similarity: torch.Tensor, batch: TrainingBatch) -> torch.Tensor:
    """What `find_evidence` gives each sentence of the right passage, (questions, sentences); far below for none."""
    own = similarity[torch.arange(len(queries)), batch.own]  # (questions, query rows, passage rows)
    owners = batch.owners[batch.own]
    count = int(batch.owners.max()) + 1
    inside = owners[:, :, None] == torch.arange(count, device=owners.device)  # (questions, passage rows, sentences)
    best = torch.stack([own.masked_fill(~inside[:, None, :, k], -2.0).amax(2) for k in range(count)], dim=2)
    scores = torch.einsum("bi,bis->bs", word_weights(queries, batch), best.clamp(min=-1.0))
    return scores.masked_fill(~inside.any(1), -1e4)  # -inf would make the gradient of a scale nan


def word_weights(queries: torch.Tensor, batch: TrainingBatch) -> torch.Tensor:
    """`query_words`' weights, shared out among the rows of a word: (questions, query rows), summing to 1."""
    real = batch.query_mask.float()
    similarity = torch.einsum("bid,bjd->bij", queries, queries)
    count = real.sum(1, keepdim=True)
    others = (torch.einsum("bij,bj->bi", similarity, real) - 1) / (count - 1).clamp(min=1)
    together = ((batch.words[:, :, None] == batch.words[:, None, :]) & (batch.words >= 0)[:, :, None]).float()
    pieces = together.sum(2).clamp(min=1)
    distance = 1 - torch.einsum("bij,bj->bi", together, others) / pieces
    weights = (distance.clamp(min=0) ** 2 + 1e-6) * (batch.words >= 0) / pieces
    return weights / weights.sum(1, keepdim=True)


def strengths(queries: torch.Tensor, similarity: torch.Tensor, batch: TrainingBatch) -> torch.Tensor:
    """`Explanation.strength` of each question and passage, (questions, passages): what a calibration looks at."""
    scoring = _scoring(batch)
    best = _strongest(similarity, scoring)
    floor = (similarity * scoring).sum(3) / (scoring.sum(3) + PRIOR_ROWS)
    return torch.einsum("bi,bni->bn", word_weights(queries, batch), (best - floor) / (1 - floor).clamp(min=1e-6))


def sentence_loss(scores: torch.Tensor, gold: Sequence[Sequence[int]], scale: torch.Tensor) -> torch.Tensor:
    """Minus the log of the probability that the first sentence is one that people marked."""
    logs = log_softmax(scale * scores, dim=1)
    return -torch.stack([logs[i, list(marked)].logsumexp(0) for i, marked in enumerate(gold)]).mean()


def passage_loss(maxsims: torch.Tensor, own: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """InfoNCE over the passages of the batch."""
    return cross_entropy(scale * maxsims, own)


def relevance_loss(found: torch.Tensor, own: torch.Tensor, scale: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Logistic loss of the right passage and of its best rival, with one scale and one centre for all questions.

    The passage loss compares within a question; this one asks that strengths of different questions mean the same.
    """
    mine = torch.nn.functional.one_hot(own, found.shape[1]).bool()
    rival = found.masked_fill(mine, -torch.inf).amax(1)
    return (softplus(scale * (centre - found[mine])) + softplus(scale * (rival - centre))).mean()


def ranking_loss(
    maxsims: torch.Tensor, before: torch.Tensor, scale: torch.Tensor, teacher_scale: float
) -> torch.Tensor:
    """KL divergence from the order that the model gave as it was."""
    return kl_div(log_softmax(scale * maxsims, 1), softmax(teacher_scale * before, 1), reduction="batchmean")


def rows_loss(similarity: torch.Tensor, before: torch.Tensor, batch: TrainingBatch) -> torch.Tensor:
    """Mean squared change of the similarities of each question and its passage; both are of all pairs."""
    rows = torch.arange(len(batch.own))
    changed = (similarity[rows, batch.own] - before[rows, batch.own]) ** 2
    real = batch.query_mask[:, :, None] & batch.passage_mask[batch.own][:, None, :]
    return (changed * real).sum() / real.sum()


def _scoring(batch: TrainingBatch) -> torch.Tensor:
    """Rows of passages that score, (1, passages, 1, passage rows) bool: punctuation does not."""
    return (batch.owners != -2)[None, :, None, :]


def _strongest(similarity: torch.Tensor, scoring: torch.Tensor) -> torch.Tensor:
    """What each query row finds best in each passage, (questions, passages, query rows)."""
    return similarity.masked_fill(~scoring, -torch.inf).amax(3)
