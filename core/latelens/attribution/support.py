"""How well the sentences of many sources together back a claim, and which of them do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.attribution.backing import SIMILARITY, SMALL, Floats, Places, Words, back, weigh
from latelens.attribution.sentence_pool import SentencePool, pool_sentences
from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import COVERED
from latelens.explanation.words import QueryWords, query_words
from latelens.maxsim import maxsim

__all__ = ["Support", "find_support", "pool_sentences"]

# Chosen as those of `backing`. Of MaxSim over a whole source, beside the words that a few sentences back: a fifth more
# or less is the same; without it the mean AUROC is .867, alone it is .858 (this .875).
_WHOLE = 0.5
# A further sentence must back more of the claim than this, one in a further source more than both: many sentences
# find something for every claim. Among 20 passages 97 % of the citations are right, 93 % with .02 and .05. With .1 for
# a further source, pieces of foreign ones corroborate 3 % of the claims of generated search that their own does not.
_FURTHER_SENTENCE, _FURTHER_SOURCE = 0.05, 0.2
_ENOUGH = 3  # more back hardly anything
_SPEAKS = 0.8  # as in `Explanation.uncovered`


@dataclass(frozen=True)
class Support:
    """What backs a claim.

    Attributes
    ----------
    score
        How well the sources back the claim, 0..1: half of it the share, by weight of its words, that up to `_ENOUGH`
        sentences back, half of it how much of the claim one source says at all (MaxSim).
    sentences
        Indices into the pool, best first.
    similarities
        For each of the sentences, MaxSim of the claim's words in it, at most 1, as `EvidenceSpan.score`.
    missing
        The words of the claim that none of the sentences backs, in its order, without function words and what the user
        said.
    absent
        Their share of the claim's words, 0..1 by weight, negators that no sentence has among them.
    displaced
        Places in the claim of numbers that stand only in sentences which say something else.
    """

    score: float
    sentences: tuple[int, ...]
    similarities: tuple[float, ...]
    missing: tuple[str, ...] = ()
    absent: float = 1.0
    displaced: Places = ()


def find_support(
    claims: Sequence[TokenEmbeddings], pool: SentencePool, floor: NDArray[np.float32], *, most: int, said: str = ""
) -> Iterator[Support]:
    """What backs each claim: one result a claim, with `most` sentences at most.

    A word of the claim is backed by a sentence as far as MaxSim finds it there, above `floor`, (dim,), what it finds
    anywhere (`background`), and as far as the very word stands there (`back`). The first sentence is the one in which
    the claim's words match best, rare words first: its MaxSim, each word weighed as in `query_words` and by its idf in
    the pool. Others are taken greedily while they back more words, as in `find_evidence`; a negator fetches no further
    sentence. The score does not depend on what else is in the pool: more sources can only add to it.
    """
    for claim in claims:
        if not len(pool):
            yield Support(0.0, (), ())
            continue
        # A claim at a time: in one product with others its numbers differ in the seventh digit, and so would those of
        # a stream, which has one claim after the other.
        best = maxsim(claim.vectors, pool.rows).similarities.T  # (rows of the claim, sentences) float32
        yield _support(claim, best, (claim.vectors @ floor)[:, None], pool, most, said)


def _support(claim: TokenEmbeddings, best: Floats, floors: Floats, pool: SentencePool, most: int, said: str) -> Support:
    asked = query_words(claim)
    if not len(asked.rows):
        return Support(0.0, (), ())
    clear = (best - floors) / np.maximum(1 - floors, 1e-6)
    words = weigh(claim.text, asked, said)
    backed, displaced = back(words, asked.mean_of_rows(clear[asked.rows]), pool)
    matched = asked.mean_of_rows(best[asked.rows])  # (words, sentences)
    gained, _ = _choose(backed, words, pool.sources, int((words.weights @ backed).argmax()), _ENOUGH)
    found = np.where(words.figures[:, None], backed, matched)
    first = int(((asked.weights * _rarity(asked, pool) * np.where(words.small, SMALL, 1)) @ found).argmax())
    _, chosen = _choose(backed, words, pool.sources, first, most)
    best_of = backed[:, chosen].max(axis=1)
    unbacked = best_of < SIMILARITY * COVERED
    lost = unbacked & (asked.weights * len(asked.words) >= _SPEAKS) & ~words.small & ~words.said
    score = (1 - _WHOLE) * gained[-1] + _WHOLE * _whole(clear, pool)
    return Support(
        score=min(max(score, 0.0), 1.0),
        sentences=tuple(chosen),
        similarities=tuple((asked.weights @ matched[:, chosen]).tolist()),
        missing=tuple(asked.words[i] for i in np.flatnonzero(lost).tolist()),
        absent=float(words.weights @ (lost | (unbacked & words.negators))),
        displaced=displaced,
    )


def _whole(clear: Floats, pool: SentencePool) -> float:
    """How much of the claim the source that says most of it says, be it in many sentences: MaxSim over all its rows."""
    begins = np.flatnonzero(np.append(True, pool.sources[1:] != pool.sources[:-1]))
    return float(np.maximum.reduceat(clear, begins, axis=1).mean(axis=0).max())


def _rarity(asked: QueryWords, pool: SentencePool) -> Floats:
    """How few sentences of the pool hold each word, (words,): idf as in BM25."""
    held = np.array([len(set(pool.holding(word))) for word in asked.words])
    return np.asarray(np.log(1 + (len(pool) - held + 0.5) / (held + 0.5)))


def _choose(
    backed: Floats, words: Words, sources: NDArray[np.intp], first: int, most: int
) -> tuple[list[float], list[int]]:
    """Sentences that back the claim together, greedily; and what the first one backs, the first two, and so on."""
    weights, chosen = words.weights, [first]
    covered = backed[:, first]
    gained = [float(weights @ covered)]
    # "not" in another sentence is not this "not". With all function words 3 more of 534 true claims are flagged.
    backed = np.where(words.negators[:, None], covered[:, None], backed)
    new = sources != sources[chosen[0]]
    while len(chosen) < most:
        values = weights @ np.maximum(backed, covered[:, None])
        values -= _FURTHER_SENTENCE * len(chosen) + _FURTHER_SOURCE * (len(set(sources[chosen].tolist())) - 1 + new)
        best = int(values.argmax())
        if values[best] <= gained[-1]:
            break
        chosen.append(best)
        gained.append(float(values[best]))
        covered = np.maximum(covered, backed[:, best])
        new &= sources != sources[best]
    return gained, chosen
