"""What every adapter needs, importing no framework: models and caches, metadata, parents, quotes."""
