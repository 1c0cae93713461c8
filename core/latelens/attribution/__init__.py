"""Evidence on answers: claims, the source spans that bear them, exact checks, and verifiers."""

from latelens.attribution.answer import attribute
from latelens.attribution.citations import Attribution, Citation, Claim, Label, Source

__all__ = ["Attribution", "Citation", "Claim", "Label", "Source", "attribute"]
