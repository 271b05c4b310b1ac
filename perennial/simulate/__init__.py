"""Seeded simulators with known truth, so that every pipeline runs from a clean clone."""
