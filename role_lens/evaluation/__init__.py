"""Does it help? Questions and their scoring."""
