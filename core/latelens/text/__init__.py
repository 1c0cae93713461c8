"""Characters, words, sentences and passages of a text, each as spans of its characters."""

from latelens.text.characters import words
from latelens.text.function_words import content_words
from latelens.text.passages import split_passages
from latelens.text.sentences import split_sentences

__all__ = ["content_words", "split_passages", "split_sentences", "words"]
