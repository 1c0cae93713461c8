"""The backend on PyLate, for environments that hold it: `pylate.models.ColBERT`.

PyLate gives no character positions. So each batch is tokenized a second time, for them, and the ids must be
the same: a mismatch is an error, never a guess.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pylate.models import ColBERT, Dense
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Transformer

from latelens.embeddings import TokenKind
from latelens.encoders.fingerprint import settings_digest
from latelens.encoders.labels import EncodedWindow, label_rows
from latelens.encoders.local.fingerprint import weights_digest
from latelens.encoders.local.opening import name_of, open_checkpoint
from latelens.encoders.local.torch_encoder import TorchEncoder, positions, widen
from latelens.encoders.options import EncoderOptions
from latelens.encoders.reading import ROWS_VERSION, TASKS
from latelens.encoders.routes import Route, route_of
from latelens.refusals import warn_caller


def load(model: Any, options: EncoderOptions) -> PyLateEncoder:
    """Make an encoder of a name, a folder or a loaded model."""
    size = options.get("batch_size")
    if not isinstance(model, str | os.PathLike):
        return encoder_of(model, name=name_of(model), batch_size=size)
    loaded, route = open_checkpoint(model, options, open_model)
    return encoder_of(loaded, name=os.fspath(model), batch_size=size, route=route)


def open_model(where: str, *, late: bool, **options: Any) -> ColBERT:
    """Load a checkpoint; one that was not trained token-wise is used so."""
    try:
        return ColBERT(where, **options) if late else token_wise(SentenceTransformer(where, **options))
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("sentence_transformers."):
            raise
        raise ValueError(
            f"{where!r} was saved by sentence-transformers 6, which PyLate cannot read: load it in another "
            "environment, with `pip install 'sentence-transformers>=6,<7'`"
        ) from error


def encoder_of(model: Any, *, name: str, batch_size: int | None, route: Route | None = None) -> PyLateEncoder:
    """Make an encoder of a loaded model."""
    if isinstance(model, SentenceTransformer) and not isinstance(model, ColBERT):
        model = token_wise(model)
    if not isinstance(model, ColBERT):
        raise TypeError(
            "model must be a name, a folder, a loaded pylate.models.ColBERT or SentenceTransformer, or an Encoder; "
            f"got {type(model).__name__}"
        )
    return PyLateEncoder(model, name=name, batch_size=batch_size, route=route)


def token_wise(model: SentenceTransformer) -> ColBERT:
    """Use a sentence-embedding model's token vectors, normalised, without punctuation among the document rows."""
    transformer = model[0]
    if not isinstance(transformer, Transformer):
        raise ValueError(f"the model begins with {type(transformer).__name__}, so it has no token vectors")
    size = transformer.get_word_embedding_dimension()
    # PyLate projects always; through the identity the vectors stay what they are.
    identity = Dense(size, size, bias=False, init_weight=torch.eye(size))
    length = model.max_seq_length
    return ColBERT(
        modules=[transformer, identity],
        device=str(model.device),
        prompts={task: model.prompts.get(task) or "" for task in TASKS},
        query_prefix="",
        document_prefix="",
        query_length=length,
        document_length=length,
        do_query_expansion=False,
    )


class PyLateEncoder(TorchEncoder):
    """Encodes with a PyLate model; prefixes, lengths, query expansion and skiplist are the checkpoint's own.

    PyLate strips white space around a text, and where a skiplist word is missing from the vocabulary it leaves
    out every unknown token of a document; a warning says so at loading.
    """

    def __init__(self, model: ColBERT, *, name: str, batch_size: int | None = None, route: Route | None = None) -> None:
        super().__init__(
            model,
            name=name,
            tokenizer=model.tokenizer,
            batch_size=batch_size,
            route=route or route_of(model[0].auto_model),
        )
        if model[0].do_lower_case:
            raise ValueError(
                f"{name!r} lower-cases texts outside its tokenizer, which moves characters; resave it without"
            )
        self._positions = positions(model[0].auto_model)
        missing = [word for word in model.skiplist_words if self._is_unknown(word)]
        if missing:
            warn_caller(
                f"{name!r} skips {missing}, which its vocabulary does not have: PyLate then leaves out every unknown "
                "token of a document; save the model with skiplist_words that it knows"
            )

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self.model[-1].out_features)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer and every setting that shapes the vectors."""
        model = self.model
        return settings_digest(
            ROWS_VERSION,
            "pylate",
            version("pylate"),
            self._weights_digest,
            [[self._limit(task), self._prompt(task)] for task in TASKS],
            [model.query_prefix_id, model.document_prefix_id, model.query_length, model.document_length],
            [model.do_query_expansion, model.attend_to_expansion_tokens, self._tokenizer.pad_token_id],
            sorted(model.skiplist),
            model[0].auto_model.config.to_diff_dict(),
            [str(module) for module in list(model)[1:]],
            self.route.rounding,
        )

    @cached_property
    def _weights_digest(self) -> str:
        with self._lock:
            return weights_digest(self.model, self._tokenizer)

    def _is_unknown(self, word: str) -> bool:
        unknown = self._tokenizer.unk_token_id
        known = word == self._tokenizer.unk_token or self._tokenizer.convert_tokens_to_ids(word) != unknown
        return unknown is not None and not known

    def _limit(self, task: str) -> int:
        length = self.model.query_length if task == "query" else self.model.document_length
        limits = [limit for limit in (length, self._positions) if limit]
        return min(limits) - (self._prefix_id(task) is not None)  # PyLate puts the prefix in after tokenizing

    def _expanded_width(self) -> int | None:
        return self._limit("query") if self.model.do_query_expansion else None

    def _prompt(self, task: str) -> str:
        prompts = self.model.prompts
        return prompts.get(task) or prompts.get(self.model.default_prompt_name) or ""

    def _prefix_id(self, task: str) -> int | None:
        prefix: int | None = self.model.query_prefix_id if task == "query" else self.model.document_prefix_id
        return prefix

    def _marker_ids(self) -> set[int]:
        return {prefix for task in TASKS if (prefix := self._prefix_id(task)) is not None}

    def _forward(self, slices: list[str], starts: list[int], task: str, width: int | None) -> list[EncodedWindow]:
        prompt = self._prompt(task)
        texts = [prompt + text for text in slices]
        with self._lock:
            features = self.model.tokenize(texts, is_query=task == "query")
            read = self._read_again(texts, task)
        ids = features["input_ids"].numpy()
        if ids.shape != read["input_ids"].shape or (ids != read["input_ids"]).any():
            raise RuntimeError(
                f"{self.name!r} gave other tokens the second time, so no token has a place in the text: its tokenizer "
                "changes from call to call; load the model with sentence-transformers 6 instead"
            )
        tokens = read["attention_mask"].astype(bool)
        expands = task == "query" and self.model.do_query_expansion
        scoring = np.ones_like(tokens) if expands else tokens.copy()
        if task == "document":
            scoring &= ~np.isin(ids, self.model.skiplist)
        # The width is that of the tokenizer, into which PyLate puts the prefix.
        width = width and width + (self._prefix_id(task) is not None)
        wide = widen(features, width, pad=self._tokenizer.pad_token_id or 0)
        vectors = self._vectors(wide)[:, : ids.shape[1]]
        windows = []
        for i, start in enumerate(starts):
            spans, kinds = label_rows(
                slices[i],
                ids[i],
                read["offset_mapping"][i],
                added=read["special_tokens_mask"][i].astype(bool),
                expansion=~tokens[i],
                control_ids=self._control_ids,
                prompt_length=len(prompt),
            )
            if self._prefix_id(task) is not None:
                kinds[1] = TokenKind.MARKER
            keep = scoring[i]
            full = bool(tokens[i].sum() - (self._prefix_id(task) is not None) >= self._limit(task))
            windows.append(EncodedWindow(start, vectors[i][keep], ids[i][keep], spans[keep], kinds[keep], spans, full))
        return windows

    def _tokenize(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        # Stripped as PyLate will: a lost space can add a token.
        prompt = self._prompt(task)
        stripped, shifts = _strip([prompt + text for text in texts])
        encoded = self._tokenizer(stripped, truncation=False, return_offsets_mapping=True, verbose=False)
        spans = [
            _shift(np.array(offsets, dtype=np.int32).reshape(-1, 2), shift)
            for offsets, shift in zip(encoded["offset_mapping"], shifts, strict=True)
        ]
        return [np.maximum(each - len(prompt), 0) for each in spans]

    def _read_again(self, texts: list[str], task: str) -> dict[str, NDArray[Any]]:
        """Tokenize as PyLate does, with character positions in `texts`; the caller holds the lock."""
        expands = task == "query" and self.model.do_query_expansion
        stripped, shifts = _strip(texts)
        encoded = self._tokenizer(
            stripped,
            padding="max_length" if expands else True,
            truncation="longest_first",
            max_length=self.model[0].max_seq_length,  # as PyLate has just set it for this task
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_tensors="np",
        )
        read = dict(encoded)
        shift = np.array(shifts, dtype=np.int32).reshape(-1, 1, 1)
        read["offset_mapping"] = _shift(read["offset_mapping"].astype(np.int32), shift)
        prefix = self._prefix_id(task)
        if prefix is not None:
            fill = {"input_ids": prefix, "attention_mask": 1, "special_tokens_mask": 1, "offset_mapping": 0}
            read = {key: np.insert(read[key], 1, value, axis=1) for key, value in fill.items()}
        return read

    def _vectors(self, features: dict[str, Any]) -> NDArray[np.float32]:
        """Normalised vectors of a batch, (batch, width, dim) float32."""
        device = self.model.device
        features = {
            key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in features.items()
        }
        with torch.inference_mode():
            output = self.model(features)["token_embeddings"].float()
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(output, p=2, dim=-1).cpu().numpy()
        return vectors


def _strip(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """Texts without white space at both ends, as PyLate reads them, and how far each moved."""
    return [text.strip() for text in texts], [len(text) - len(text.lstrip()) for text in texts]


def _shift(offsets: NDArray[np.int32], shift: int | NDArray[np.int32]) -> NDArray[np.int32]:
    """Move spans, (..., 2), from a stripped text into the whole one; those of control tokens end at 0 and stay."""
    return np.where(offsets[..., 1:] > 0, offsets + shift, offsets)
