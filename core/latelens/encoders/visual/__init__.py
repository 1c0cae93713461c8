"""Encoders of page images: ColPali and its family."""
