"""Training the user's own model to point at its evidence: ``python -m latelens.adapt MODEL DATA --output FOLDER``.

It needs `pip install 'latelens[train]'`.
"""

import sentence_transformers

if not hasattr(sentence_transformers, "MultiVectorEncoder"):
    raise ImportError(
        f"latelens.adapt needs sentence-transformers 6, not {sentence_transformers.__version__}: run "
        "`pip install 'latelens[train]'` in another environment than PyLate's"
    )

from latelens.adapt.adapting import Adapted, adapt_model
from latelens.adapt.examples import MarkedQuestion, read_examples
from latelens.adapt.report import Change
from latelens.adapt.training import Schedule

__all__ = ["Adapted", "Change", "MarkedQuestion", "Schedule", "adapt_model", "read_examples"]
