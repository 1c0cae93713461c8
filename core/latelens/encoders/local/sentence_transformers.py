"""The backend on sentence-transformers 6: its `MultiVectorEncoder`, and any sentence-embedding model token-wise."""

from __future__ import annotations

import os
import string
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, __version__
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling, MultiVectorMask
from torch.nn.functional import normalize

from latelens.encoders.fingerprint import settings_digest
from latelens.encoders.labels import EncodedWindow, label_batch
from latelens.encoders.local.fingerprint import module_settings, weights_digest
from latelens.encoders.local.opening import name_of, open_checkpoint
from latelens.encoders.local.torch_encoder import TorchEncoder, positions, widen
from latelens.encoders.onnx.settings import Expansion, ExportSettings, TaskSettings, write_tokenizer
from latelens.encoders.options import EncoderOptions
from latelens.encoders.reading import ROWS_VERSION, TASKS
from latelens.encoders.routes import Route, route_of
from latelens.encoders.visual.encoder import VisualEncoder
from latelens.refusals import check_one_of


def load(model: Any, options: EncoderOptions) -> SentenceTransformersEncoder | VisualEncoder:
    """Make an encoder of a name, a folder or a loaded model."""
    size = options.get("batch_size")
    if not isinstance(model, str | os.PathLike):
        return encoder_of(model, name=name_of(model), batch_size=size)
    loaded, route = open_checkpoint(model, options, open_model)
    return encoder_of(loaded, name=os.fspath(model), batch_size=size, route=route)


def open_model(where: str, *, late: bool, **options: Any) -> MultiVectorEncoder:
    """Load a checkpoint; one that was not trained token-wise is used so."""
    return MultiVectorEncoder(where, **options) if late else token_wise(SentenceTransformer(where, **options))


def encoder_of(
    model: Any, *, name: str, batch_size: int | None, route: Route | None = None
) -> SentenceTransformersEncoder | VisualEncoder:
    """Make an encoder of a loaded model: of pages, if it takes images."""
    if isinstance(model, SentenceTransformer):
        model = token_wise(model)
    if not isinstance(model, MultiVectorEncoder):
        raise TypeError(
            "model must be a name, a folder, a loaded MultiVectorEncoder or SentenceTransformer, or an Encoder; "
            f"got {type(model).__name__}"
        )
    if "image" in model.modalities and hasattr(getattr(model[0], "processor", None), "image_token"):
        return VisualEncoder(model, name=name, batch_size=batch_size, route=route)
    return SentenceTransformersEncoder(model, name=name, batch_size=batch_size, route=route)


def token_wise(model: SentenceTransformer) -> MultiVectorEncoder:
    """Use a sentence-embedding model's token vectors, normalised, without punctuation among the document rows."""
    transformer = next((module for module in model if isinstance(module, Transformer)), None)
    if transformer is None:
        kinds = [type(module).__name__ for module in model]
        raise ValueError(f"the model has no Transformer module, so it has no token vectors: {kinds}")
    modules = [
        transformer,
        Normalize(module_input_name="token_embeddings"),
        MultiVectorMask(skiplist_words=list(string.punctuation)),
    ]
    prompts = {task: model.prompts.get(task) or "" for task in ("query", "document")}
    return MultiVectorEncoder(modules=modules, prompts=prompts, device=str(model.device))


class SentenceTransformersEncoder(TorchEncoder):
    """Encodes with a `MultiVectorEncoder`; lengths, prompts, query expansion and skiplist are the checkpoint's own."""

    def __init__(
        self, model: MultiVectorEncoder, *, name: str, batch_size: int | None = None, route: Route | None = None
    ) -> None:
        transformer = next((module for module in model if isinstance(module, Transformer)), None)
        if transformer is None:
            raise ValueError(f"{name!r} has no Transformer module, so it has no token vectors")
        if any(isinstance(module, BaseTokenPooling) for module in model):
            raise ValueError(
                f"{name!r} pools its token vectors, so a row stands for several tokens and cannot be explained; "
                "remove its token pooling module"
            )
        super().__init__(
            model,
            name=name,
            tokenizer=model.tokenizer,
            batch_size=batch_size,
            route=route or route_of(transformer.auto_model),
        )
        self._transformer: Any = transformer
        self._positions = positions(transformer.auto_model)
        self._unit = any(isinstance(module, Normalize) for module in model)
        # An exported model has one request for all calls: two threads at once would read each other's output.
        exported = not isinstance(transformer.auto_model, torch.nn.Module)
        self._turn: AbstractContextManager[Any] = self._lock if exported else nullcontext()

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self.model.get_embedding_dimension() or 0)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer and every setting that shapes the vectors."""
        return settings_digest(
            ROWS_VERSION,
            "sentence-transformers",
            __version__,
            self._weights_digest,
            [[self._limit(task), self._prompt(task)] for task in TASKS],
            module_settings(self.model),
            self.route.rounding,
        )

    @cached_property
    def _weights_digest(self) -> str:
        with self._lock:
            return weights_digest(self.model, self._tokenizer, exported=self._transformer.auto_model)

    def export(
        self, folder: str | os.PathLike[str], *, engine: Literal["onnx", "openvino"] = "onnx", weights: bool = True
    ) -> None:
        """Write the model for another engine, with its tokenizer and settings; ``load_encoder(folder)`` needs no torch.

        Rows, spans, windows and kinds are the same and each vector's cosine is at least .9999, which is checked on
        samples before the folder is kept. Where no number is off by more than 1e-5 the fingerprint is the same too, so
        caches and indexes of one are good for the other. Without `weights`, tokenizer and settings alone are written,
        for a model on a server: ``load_encoder(address, tokenizer=folder)``.

        Parameters
        ----------
        folder
            Must not be there yet.
        engine
            ``"onnx"`` for ONNX Runtime (`pip install 'latelens[onnx]'`), or ``"openvino"`` for OpenVINO's own format
            (`pip install 'latelens[fast]'`).
        weights
            Whether to write the model itself.

        Raises
        ------
        ImportError
            If a package is missing.
        ValueError
            If the folder is there already, or the model cannot be exported so.
        """
        check_one_of("engine", engine, ["onnx", "openvino"])
        if not weights:
            write_tokenizer(folder, self._tokenizer.backend_tokenizer.to_str(), self._export_settings())
            return
        if self.route.engine != "torch" or self.route.dtype not in (None, "float32"):
            raise ValueError(
                f"{self!r} runs on {self.route}: load it with engine='torch' and dtype='float32' to export it"
            )
        from latelens.encoders.onnx.export import write_export

        modules = [module for module in self.model if not isinstance(module, MultiVectorMask)]
        write_export(folder, self, modules, self._tokenizer, self._export_settings(), engine=engine)

    def _export_settings(self) -> ExportSettings:
        masks: list[Any] = [module for module in self.model if isinstance(module, MultiVectorMask)]
        if len(masks) != 1 or masks[0].keep_only_token_ids:
            raise ValueError(f"{self.name!r} does not mask its rows as text models do, so it cannot be exported")
        ids = masks[0]._skiplist_ids
        skipped = [] if ids is None else ids.tolist()
        tasks = {
            task: TaskSettings(
                limit=self._limit(task),
                prompt=self._prompt(task),
                skipped=skipped if task in masks[0].skiplist_tasks else [],
                expansion=self._expansion() if task == "query" else None,
            )
            for task in TASKS
        }
        return ExportSettings(
            model=self.name,
            dim=self.dim,
            control_ids=self._control_ids.tolist(),
            pad_id=self._tokenizer.pad_token_id or 0,
            calibration=self.calibration,
            query=tasks["query"],
            document=tasks["document"],
        )

    def _expansion(self) -> Expansion | None:
        expansion = self._transformer.query_expansion
        if not expansion:
            return None
        tokenizer = self._tokenizer
        token = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.eos_token_id
        if expansion["token"] is not None:
            token = tokenizer.convert_tokens_to_ids(expansion["token"])
        return Expansion(expansion["length"], expansion["attend"], token)

    def _marker_ids(self) -> set[int]:
        # A marker that was added to the vocabulary, as PyLate does with "[D] ", need not be listed as special.
        added = set(self._tokenizer.get_added_vocab().values())
        with self._lock:
            prompts = [self._tokenizer(self._prompt(task), add_special_tokens=False)["input_ids"] for task in TASKS]
        return added & {token for prompt in prompts for token in prompt}

    def _prompt(self, task: str) -> str:
        return self.model.prompts.get(task) or ""

    def _expanded_width(self) -> int | None:
        expansion = self._transformer.query_expansion
        return expansion["length"] if expansion and expansion["strategy"] == "fixed" else None

    def _limit(self, task: str) -> int:
        transformer = self._transformer
        length = transformer.query_length if task == "query" else transformer.document_length
        length = (self._expanded_width() if task == "query" else None) or length or self.model.max_seq_length
        limits = [int(limit) for limit in (length, self._positions) if limit]
        return min(limits, default=int(1e9))

    def _forward(self, slices: list[str], starts: list[int], task: str, width: int | None) -> list[EncodedWindow]:
        features = widen(self._preprocess(slices, task), width, pad=self._tokenizer.pad_token_id or 0)
        offsets, added = features["offset_mapping"].numpy(), features["special_tokens_mask"].numpy().astype(bool)
        tokens = features["attention_mask"].numpy().astype(bool)
        device = self.model.device
        features = {
            key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in features.items()
        }
        with torch.inference_mode(), self._turn:
            output = self.model(features, task=task)
            rows = output["token_embeddings"]
            # Unit rows that were rounded to bfloat16 are up to .4 % too long or short.
            if rows.dtype != torch.float32:
                rows = normalize(rows.float(), dim=-1) if self._unit else rows.float()
            vectors = rows.cpu().numpy()  # (batch, width, dim) float32
        ids, scoring = output["input_ids"].cpu().numpy(), output["attention_mask"].cpu().numpy().astype(bool)
        expansion = output.get("query_expansion_positions")
        expanded = np.zeros_like(scoring) if expansion is None else expansion.cpu().numpy().astype(bool)
        # Expansion may widen a batch after tokenization: the new columns have no offsets and no text.
        extra = ids.shape[1] - offsets.shape[1]
        offsets = np.pad(offsets, ((0, 0), (0, extra), (0, 0)))
        added = np.pad(added, ((0, 0), (0, extra)), constant_values=True)
        full = (tokens & ~expanded).sum(axis=1) >= self._limit(task)
        return label_batch(
            slices,
            starts,
            vectors=vectors,
            ids=ids,
            offsets=offsets,
            added=added,
            expansion=expanded,
            scoring=scoring,
            full=full,
            control_ids=self._control_ids,
            prompt_length=len(self._prompt(task)),
        )

    def _preprocess(self, slices: list[str], task: str) -> dict[str, Any]:
        # `max_length` guards the position table; query expansion of a fixed width brings its own.
        length = {} if task == "query" and self._expanded_width() else {"max_length": self._limit(task)}
        with self._lock:
            features: dict[str, Any] = self.model.preprocess(
                slices,
                prompt=self._prompt(task),
                task=task,
                processing_kwargs={"text": {"return_offsets_mapping": True, "return_special_tokens_mask": True}},
                **length,
            )
        return features
