"""Measurements of the whole system; each module prints one JSON line of figures last."""
