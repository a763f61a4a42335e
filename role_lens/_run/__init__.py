"""How a model is run: tokens, batches, partial passes, caches, fingerprint. Private."""
