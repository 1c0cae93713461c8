"""Pictures of explanations, with matplotlib: every function returns the figure and leaves pyplot alone."""

from latelens.render.plot import sheet  # first, since it says how to install matplotlib
from latelens.render.plot.contrasts import plot_contrast
from latelens.render.plot.document import plot_document
from latelens.render.plot.pages import plot_page
from latelens.render.plot.rankings import plot_ranking
from latelens.render.plot.similarity import plot_similarity

Picture = sheet.Picture

__all__ = ["Picture", "plot_contrast", "plot_document", "plot_page", "plot_ranking", "plot_similarity"]
