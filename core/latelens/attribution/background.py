"""What a word finds in any text: the floor above which a match means something, the same for all claims."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from latelens.encoders.protocol import Encoder

# On unlike subjects, so that hardly a row of them is about what a claim is about. The mean over a claim's own
# sources in their place makes the score depend on them: 19 foreign sources then change 9 % of the labels.
_SENTENCES = (
    "The committee met on Tuesday to discuss the budget for next year.",
    "She put the kettle on and looked out of the window at the rain.",
    "Cells divide when they have copied their genetic material.",
    "The team won the final by two goals to one in front of a large crowd.",
    "To install the program, open the file and follow the steps on the screen.",
    "Prices rose sharply after the new tax on imported steel was announced.",
    "He was born in a small village and moved to the capital as a child.",
    "The recipe needs three eggs, some flour and a pinch of salt.",
    "The bridge over the river was closed to traffic for repairs.",
    "Most birds build their nests in spring.",
)
_MOST = 8  # models in one process
_KNOWN: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
_LOCK = Lock()


def background(encoder: Encoder) -> NDArray[np.float32]:
    """The mean row of ten fixed sentences, (dim,) float32: a row's product with it is its mean similarity to them.

    Encoded once a process for each fingerprint.
    """
    with _LOCK:
        known = _KNOWN.get(encoder.fingerprint)
    if known is None:
        rows = [found.vectors[found.content_rows()] for found in encoder.encode_documents(list(_SENTENCES))]
        known = np.concatenate(rows).mean(axis=0)
        with _LOCK:
            _KNOWN[encoder.fingerprint] = known
            while len(_KNOWN) > _MOST:
                _KNOWN.popitem(last=False)
    return known
