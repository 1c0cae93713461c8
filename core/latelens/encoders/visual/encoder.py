"""Page encoders on sentence-transformers' `MultiVectorEncoder`: ColPali, ColQwen, ColIdefics3, ColModernVBERT."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import MultiVectorEncoder, __version__
from sentence_transformers.base.modules import Transformer
from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling
from sentence_transformers.util import batch_to_device
from torch.nn.functional import normalize
from tqdm.auto import tqdm

from latelens.embeddings import NO_SPAN, TokenEmbeddings, TokenKind
from latelens.encoders.calibration import Calibration
from latelens.encoders.fingerprint import settings_digest
from latelens.encoders.labels import EncodedWindow, assemble, clean_surrogates
from latelens.encoders.local.fingerprint import module_settings, weights_digest
from latelens.encoders.protocol import Encoder
from latelens.encoders.routes import Route, route_of
from latelens.encoders.visual.cells import lay_cells, rules_of
from latelens.encoders.visual.queries import label_query
from latelens.pages.images import check_pages, picture_of, pixels_digest, text_of
from latelens.patches import Grid, PatchGrid
from latelens.refusals import check_texts

if TYPE_CHECKING:
    from PIL.Image import Image

    from latelens.pages.images import PageImage

# Part of every fingerprint: raise it when rows or cells are made differently.
_PAGES_VERSION = 1
# A page is a thousand rows and more; one at a time keeps memory small, and on a CPU is as fast.
_CPU_BATCH, _ACCELERATOR_BATCH = 1, 4


class _Rows(NamedTuple):
    """The rows of one query or page that score."""

    vectors: NDArray[np.float32]  # (n, dim)
    ids: NDArray[np.int64]  # (n,)
    offsets: NDArray[np.int64]  # (n, 2) characters of what the tokenizer read; of a query
    grids: tuple[Grid, ...] = ()  # of a page
    cells: NDArray[np.int32] = np.empty(0, dtype=np.int32)  # (n,) of a page


class VisualEncoder:
    """Encodes images of pages, and queries for them; a `PageEncoder`, safe to share between threads.

    The rows are those of transformers' own classes, and each is on the cell that the processor's ids say. Texts as
    documents are refused: these models were trained on images.

    Parameters
    ----------
    model
        A `MultiVectorEncoder` that takes images.
    name
        What the user loaded.
    batch_size
        Pages to encode at once; None takes 1 on a CPU, 4 elsewhere.
    """

    def __init__(
        self, model: MultiVectorEncoder, *, name: str, batch_size: int | None = None, route: Route | None = None
    ) -> None:
        if any(isinstance(module, BaseTokenPooling) for module in model):
            raise ValueError(
                f"{name!r} pools its rows, so a row stands for several cells and cannot be shown; remove its token "
                "pooling module"
            )
        transformer: Any = next(module for module in model if isinstance(module, Transformer))
        self.name = name
        self.model = model.eval()
        self.route = route or route_of(transformer.auto_model)
        self.batch_size = batch_size or (_CPU_BATCH if model.device.type == "cpu" else _ACCELERATOR_BATCH)
        self.calibration: Calibration | None = None
        self.recipe: Callable[[Calibration | None], Encoder] | None = None
        self._processor: Any = transformer.processor
        # sentence-transformers gives its processor neither the prompt of a page nor the expansion of a query.
        self._own_inputs = transformer.config.model_type == "colmodernvbert" and "message" not in model.modalities
        self._rules = rules_of(self._processor)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"VisualEncoder({self.name!r}, dim={self.dim}, route={str(self.route)!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> VisualEncoder:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.recipe is None:
            raise TypeError(f"{self.name!r} cannot be pickled: load it by its name or from a folder")
        return self.recipe, (self.calibration,)

    @cached_property
    def dim(self) -> int:
        """Length of each vector."""
        first: Any = self.model[0]
        return int(self.model.get_embedding_dimension() or first.config.embedding_dim)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer, processor and every setting that shapes the vectors."""
        processor = {key: value for key, value in self._processor.to_dict().items() if key != "_name_or_path"}
        with self._lock:
            digest = weights_digest(self.model, self._processor.tokenizer)
        settings = module_settings(self.model)
        template = str(getattr(self._processor, "chat_template", None))
        return settings_digest(_PAGES_VERSION, __version__, digest, settings, processor, template, self.route.rounding)

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries: rows of the prompt are markers, those that expand the query are known as such."""
        check_texts("texts", texts)
        found = []
        for first in range(0, len(texts), self.batch_size):
            batch = list(texts[first : first + self.batch_size])
            asked = [clean_surrogates(text).strip() for text in batch]
            for text, plain, rows in zip(batch, asked, self._rows(asked, "query"), strict=True):
                found.append(self._query(text, plain, rows))
        return found

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:  # noqa: ARG002
        """Refuse texts.

        Raises
        ------
        ValueError
            If there is any.
        """
        check_texts("texts", texts)
        if len(texts):
            raise ValueError(
                f"{self.name!r} reads images of pages, not texts: give it open_pages(path), make a retriever with "
                "from_pdf([path]), or take a model for texts"
            )
        return []

    def encode_pages(self, pages: Sequence[PageImage], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode pages, one result each, in order; at most `batch_size` pictures are in memory.

        Raises
        ------
        TypeError, ValueError
            If something is no page, or its rows have no place on it that is known.
        """
        check_pages(pages)
        found = []
        with tqdm(total=len(pages), desc="Encoding pages", unit="page", disable=not show_progress) as progress:
            for first in range(0, len(pages), self.batch_size):
                batch = pages[first : first + self.batch_size]
                pictures = [picture_of(page) for page in batch]
                for page, picture, rows in zip(batch, pictures, self._rows(pictures, "document"), strict=True):
                    found.append(self._page(text_of(page), picture, rows))
                progress.update(len(batch))
        return found

    def _query(self, text: str, plain: str, rows: _Rows) -> TokenEmbeddings:
        tokenizer = self._processor.tokenizer
        control = np.array(sorted(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}))
        spans, kinds = label_query(plain, rows.ids, rows.offsets, begin=self._begin, control_ids=control)
        lead = len(text) - len(text.lstrip())
        window = EncodedWindow(lead, rows.vectors, rows.ids, spans, kinds, spans, full=False)
        return assemble(text, [window], tokenizer.convert_ids_to_tokens(rows.ids.tolist()))

    def _page(self, text: str, picture: Image, rows: _Rows) -> TokenEmbeddings:
        tokenizer = self._processor.tokenizer
        grids, cells = rows.grids, rows.cells
        special = np.isin(rows.ids, tokenizer.all_special_ids)
        kinds = np.where(cells >= 0, TokenKind.PATCH, np.where(special, TokenKind.SPECIAL, TokenKind.MARKER))
        return TokenEmbeddings(
            text=text,
            vectors=rows.vectors,
            tokens=tuple(tokenizer.convert_ids_to_tokens(rows.ids.tolist())),
            spans=np.full((len(cells), 2), NO_SPAN, dtype=np.int32),
            kinds=kinds.astype(np.uint8),
            page=PatchGrid(grids, cells, pixels_digest(picture)),
        )

    @cached_property
    def _begin(self) -> int:
        """Characters of the prompt in what the tokenizer reads of a query: behind it queries of one letter differ."""
        one, other = self._rows(["a", "b"], "query")
        return int(one.offsets[np.argmax(one.ids != other.ids), 1]) - 1

    def _rows(self, inputs: Sequence[Any], task: str) -> Iterator[_Rows]:
        """Encode one batch; only rows that score are kept."""
        features = self._features(list(inputs), task)
        offsets = features.pop("offset_mapping", None)
        features.pop("labels", None)  # for training
        with torch.inference_mode():
            output = self.model(batch_to_device(features, self.model.device), task=task)
            rows = output["token_embeddings"].float()
            # Unit rows that were rounded to bfloat16 are up to .4 % too long or short.
            vectors = (rows if self.route.dtype in (None, "float32") else normalize(rows, dim=-1)).cpu().numpy()
        ids, scoring = output["input_ids"].cpu().numpy(), output["attention_mask"].cpu().numpy().astype(bool)
        sizes = output.get("image_grid_thw")
        for i in range(len(inputs)):
            keep = scoring[i]
            if task == "query":
                yield _Rows(vectors[i][keep], ids[i][keep], np.asarray(offsets[i])[keep])
                continue
            grids, cells = lay_cells(ids[i], self._rules, None if sizes is None else sizes[i].tolist())
            yield _Rows(vectors[i][keep], ids[i][keep], np.empty((0, 2), np.int64), grids, cells[keep])

    def _features(self, inputs: list[Any], task: str) -> dict[str, Any]:
        with self._lock:
            if not self._own_inputs:
                wanted = {"text": {"return_offsets_mapping": True}} if task == "query" else {}
                features: dict[str, Any] = self.model.preprocess(inputs, task=task, processing_kwargs=wanted)
                return features
            if task == "query":
                made = self._processor.process_queries(inputs, return_offsets_mapping=True, return_tensors="pt")
            else:
                made = self._processor.process_images(inputs, return_tensors="pt")
            return {**made, "modality": "text" if task == "query" else "image"}
