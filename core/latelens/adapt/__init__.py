"""Training the user's own model to point at its evidence: ``python -m latelens.adapt MODEL DATA --output FOLDER``.

It needs `pip install 'latelens[train]'`.
"""

from latelens.adapt.adapting import Adapted, adapt_model
from latelens.adapt.examples import MarkedQuestion, read_examples
from latelens.adapt.report import Change
from latelens.adapt.training import Schedule

__all__ = ["Adapted", "Change", "MarkedQuestion", "Schedule", "adapt_model", "read_examples"]
