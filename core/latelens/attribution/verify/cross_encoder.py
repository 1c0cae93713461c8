"""A verifier of any sentence-transformers cross-encoder that was trained for entailment or fact checking."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.attribution.verify.verdict import Verdict, check_lengths
from latelens.refusals import warn_caller
from latelens.text.sentences import split_sentences

_NAMES = {
    "support": "entailment entail entails entailed supported supports support consistent attributable",
    "contradiction": "contradiction contradict contradicts contradictory refutes refuted refute",
    "neither": "neutral not_entailment non_entailment not_enough_info nei not_supported unsupported unverifiable"
    " inconsistent hallucinated not_attributable",
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}


class CrossEncoderVerifier:
    """Judges with a sentence-transformers `CrossEncoder` that was trained for entailment (NLI) or fact checking.

    Evidence is the premise, the claim is the hypothesis. Each text is judged alone, and all of them joined where they
    fit the model's window together: a claim may rest on two sentences. The highest probability of each kind counts. A
    text that does not fit is read in parts of whole sentences; a warning says where even that cuts.

    Parameters
    ----------
    model
        Name or folder of a checkpoint, loaded at first use, or a loaded `CrossEncoder`. No remote code is run; load the
        model yourself if you trust its code.
    labels
        What the model's outputs mean, in their order, where its configuration does not say: such as
        ``("contradiction", "entailment", "neutral")``. One output is a logit of support, and says nothing about
        contradiction: ``("entailment",)``. A model of relevance is no verifier: it scores what is on the topic.
    """

    def __init__(
        self,
        model: Any,
        *,
        labels: Sequence[str] | None = None,
        device: str | None = None,
        batch_size: int = 32,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if labels is not None:
            if isinstance(labels, str):
                raise TypeError(f"labels must be a sequence of names, got the string {labels!r}")
            _roles(labels, "labels")
        self._given, self._labels = model, None if labels is None else tuple(labels)
        self._device, self._batch_size = device, batch_size
        self._lock = threading.Lock()  # tokenizers are not safe to share

    @property
    def name(self) -> str:
        """What the user loaded."""
        if isinstance(self._given, str):
            return self._given
        return str(getattr(self._given.config, "_name_or_path", "") or type(self._given).__name__)

    def __call__(self, claim: str, evidence: Sequence[str]) -> Verdict:
        """Judge one claim."""
        return self.verify([claim], [evidence])[0]

    def verify(self, claims: Sequence[str], evidence: Sequence[Sequence[str]]) -> list[Verdict]:
        """Judge each claim by its own texts; without any, nothing supports or contradicts it."""
        check_lengths(claims, evidence)
        with self._lock:
            premises = [list(self._premises(claim, texts)) for claim, texts in zip(claims, evidence, strict=True)]
            pairs = [(premise, claim) for claim, read in zip(claims, premises, strict=True) for premise in read]
            probabilities = iter(self._probabilities(pairs))  # (pairs, labels) float64
        return [self._verdict([next(probabilities) for _ in read]) for read in premises]

    @cached_property
    def _model(self) -> Any:
        if not isinstance(self._given, str):
            return self._given
        from sentence_transformers import CrossEncoder

        return CrossEncoder(self._given, device=self._device)

    @cached_property
    def _role_of(self) -> tuple[str, ...]:
        """What each output means."""
        outputs = self._model.num_labels
        if self._labels is not None:
            if len(self._labels) != outputs:
                raise ValueError(f"labels {self._labels!r} must name the {outputs} outputs of {self.name!r}, in order")
            return _roles(self._labels, "labels")
        named = self._model.config.id2label or {}
        return _roles([str(named.get(i, i)) for i in range(outputs)], f"the labels of {self.name!r}")

    @cached_property
    def _window(self) -> float:
        """Tokens that the model reads at once."""
        model = self._model
        limits = [getattr(model, "max_seq_length", None) or getattr(model, "max_length", None)]
        limits.append(getattr(model.config, "max_position_embeddings", None))
        return min((limit for limit in limits if limit is not None and limit > 0), default=math.inf)

    def _fits(self, premise: str, claim: str) -> bool:
        return len(self._model.tokenizer(premise, claim, truncation=False, verbose=False)["input_ids"]) <= self._window

    def _premises(self, claim: str, texts: Sequence[str]) -> Iterator[str]:
        texts = [text for text in texts if text.strip()]
        for text in texts:
            yield from [text] if self._fits(text, claim) else self._parts(text, claim)
        joined = " ".join(texts)
        if len(texts) > 1 and self._fits(joined, claim):
            yield joined

    def _parts(self, text: str, claim: str) -> Iterator[str]:
        """As many sentences at a time as fit."""
        spans = split_sentences(text)
        begin = 0
        for i, (_, end) in enumerate(spans):
            if i + 1 < len(spans) and self._fits(text[spans[begin][0] : spans[i + 1][1]], claim):
                continue
            part = text[spans[begin][0] : end]
            if begin == i and not self._fits(part, claim):
                warn_caller(
                    f"a claim of {len(claim)} characters and a sentence of {len(part)} do not fit the {self._window} "
                    f"tokens of {self.name!r} together: their ends were not read"
                )
            yield part
            begin = i + 1

    def _probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        from torch.nn import Identity

        roles = self._role_of
        if not pairs:
            return np.empty((0, len(roles)))
        found = self._model.predict(
            list(pairs), batch_size=self._batch_size, activation_fn=Identity(), show_progress_bar=False
        )
        logits = np.asarray(found, dtype=np.float64).reshape(len(pairs), len(roles))
        if not np.isfinite(logits).all():
            raise ValueError(f"{self.name!r} gave {logits[~np.isfinite(logits)][0]}: its weights are broken")
        if len(roles) == 1:
            return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def _verdict(self, probabilities: Sequence[NDArray[np.float64]]) -> Verdict:
        roles = self._role_of
        best = np.max(probabilities, axis=0) if len(probabilities) else np.zeros(len(roles))
        contradiction = float(best[roles.index("contradiction")]) if "contradiction" in roles else None
        return Verdict(float(best[roles.index("support")]), contradiction)


def _roles(labels: Sequence[str], where: str) -> tuple[str, ...]:
    """What each label means; exactly one must mean support."""
    keys = ["_".join(label.casefold().replace("-", " ").replace("_", " ").split()) for label in labels]
    unknown = [label for label, key in zip(labels, keys, strict=True) if key not in _ROLES]
    roles = tuple(_ROLES.get(key, "") for key in keys)
    if unknown or roles.count("support") != 1 or roles.count("contradiction") > 1:
        raise ValueError(
            f"{where} are {list(labels)}: exactly one must mean entailment and at most one contradiction. Say what the "
            'outputs mean, in their order: labels=("contradiction", "entailment", "neutral"), or with two outputs '
            'labels=("neutral", "entailment")'
        )
    return roles
