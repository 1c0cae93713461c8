"""Characters, words, sentences and passages of a text, each as spans of its characters."""

from latelens.text.characters import words
from latelens.text.passages import split_passages
from latelens.text.sentences import split_sentences

__all__ = ["split_passages", "split_sentences", "words"]
