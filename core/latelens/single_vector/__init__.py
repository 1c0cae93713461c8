"""One vector in place of a text's rows, so that a database without late interaction can find candidates."""

from latelens.single_vector.least_squares import LeastSquares
from latelens.single_vector.mean import MeanOfRows
from latelens.single_vector.muvera import Muvera
from latelens.single_vector.protocol import SingleVector

__all__ = ["LeastSquares", "MeanOfRows", "Muvera", "SingleVector"]
