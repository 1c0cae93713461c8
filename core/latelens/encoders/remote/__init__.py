"""A model on a server that the user names: the texts are cut here, the vectors are made there."""
