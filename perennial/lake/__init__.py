"""The lake: append-only Delta tables whose files are known by digest."""
