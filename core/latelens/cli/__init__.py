"""The command ``latelens "question" FILE...``: the best passages of some files, with their evidence."""

from latelens.cli.command import main

__all__ = ["main"]
