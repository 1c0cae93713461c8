"""An encoder that loads at first use, so that making a reranker costs nothing, and once in a process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.backends import check_backend, open_encoder
from latelens.encoders.calibration import Calibration
from latelens.encoders.options import DEFAULTS, EncoderOptions, check_options, without_key
from latelens.encoders.protocol import Encoder, page_encoder

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from latelens.pages.images import PageImage


class LazyEncoder:
    """A name with the options of `load_encoder`, or what it takes otherwise; the model loads at first use.

    All lazy encoders of a process with one name (or folder) and the same options share one model: rerankers,
    retrievers, tools and citations load it once, whichever thread comes first. It goes when the last of them
    goes; later changes to a folder are seen after that only. A model or an `Encoder` that is loaded already is taken
    as it is.

    Pickled, a lazy encoder carries the name and the options, and its copy loads at its own first use; a loaded model is
    carried along by its own pickling. A deep copy is the same encoder.

    >>> one, other = LazyEncoder("offline/all-MiniLM-L6-v2"), LazyEncoder("offline/all-MiniLM-L6-v2", device=None)
    >>> one.loaded() is other.loaded()
    True

    Parameters
    ----------
    model
        What `load_encoder` takes.
    options
        The keyword arguments of `load_encoder`. They are checked here, before anything loads.

    Raises
    ------
    TypeError, ValueError
        If there is no such option, or its value means nothing. What `load_encoder` raises comes with the first use.
    """

    def __init__(self, model: Any, **options: Unpack[EncoderOptions]) -> None:
        check_options(options)
        check_backend(options.get("backend", "auto"))
        self._model, self._options = model, options
        self._place = _place(model, options)

    def __repr__(self) -> str:
        return f"LazyEncoder({self._model!r:.200})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self), self._model, without_key(self._options))

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyEncoder:
        return self

    @property
    def name(self) -> str:
        """What the user loaded."""
        return os.fspath(self._model) if isinstance(self._model, str | os.PathLike) else self.loaded().name

    @property
    def fingerprint(self) -> str:
        """The loaded encoder's fingerprint."""
        return self.loaded().fingerprint

    @property
    def calibration(self) -> Calibration | None:
        """The loaded encoder's calibration, if it has one."""
        return getattr(self.loaded(), "calibration", None)

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self.loaded().dim

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries, loading the model if need be."""
        return self.loaded().encode_queries(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode documents, loading the model if need be."""
        return self.loaded().encode_documents(texts, show_progress=show_progress)

    def encode_pages(self, pages: Sequence[PageImage], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode page images, loading the model if need be; a model for texts refuses them."""
        return page_encoder(self.loaded()).encode_pages(pages, show_progress=show_progress)

    def loaded(self) -> Encoder:
        """The encoder that `load_encoder` makes, loading it if need be."""
        with self._place.lock:
            if self._place.encoder is None:
                self._place.encoder = load(self._model, self._options)
            return self._place.encoder


def load(model: Any, options: EncoderOptions) -> Encoder:
    """Make an encoder now; pickled, one that was loaded by a name or from a folder comes back as a lazy one."""
    if isinstance(model, Encoder):
        return model
    encoder = open_encoder(model, options)
    if isinstance(model, str | os.PathLike):
        encoder.recipe = partial(_unpickled, LazyEncoder, model, without_key(options))
    return encoder


def _unpickled(
    make: Callable[..., Encoder], model: Any, options: EncoderOptions, calibration: Calibration | None = None
) -> Encoder:
    """Called by pickle, which passes no keywords itself."""
    return make(model, **{**options, "calibration": calibration or options.get("calibration")})


class _Place:
    """Where lazy encoders with one name and the same options find the encoder."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.encoder: Encoder | None = None


_PLACES: weakref.WeakValueDictionary[Hashable, _Place] = weakref.WeakValueDictionary()
_PLACES_LOCK = threading.Lock()


def _place(model: Any, options: EncoderOptions) -> _Place:
    if not isinstance(model, str | os.PathLike):
        return _Place()
    key = os.fspath(model), _frozen({**DEFAULTS, **options})
    try:
        hash(key)
    except TypeError:  # an object in `model_kwargs` that cannot be compared: nothing to share by
        return _Place()
    with _PLACES_LOCK:
        return _PLACES.setdefault(key, _Place())


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple(sorted((name, _frozen(each)) for name, each in value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    return os.fspath(value) if isinstance(value, os.PathLike) else value
