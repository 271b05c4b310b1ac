"""Perennial keeps machine-learning models fresh: the library of nouns, free of any orchestrator."""
