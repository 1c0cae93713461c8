"""Verifiers: optional models that judge whether the evidence supports a claim."""

from latelens.attribution.verify.cross_encoder import CrossEncoderVerifier
from latelens.attribution.verify.verdict import Judge, Verdict, Verifier, as_verifier

__all__ = ["CrossEncoderVerifier", "Judge", "Verdict", "Verifier", "as_verifier"]
