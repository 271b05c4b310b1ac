"""Settings of kind ``classify``: events that are one thing or another."""

from perennial.config.section import KindSettings


class Classify(KindSettings):
    """The problem of kind ``classify``: events that are one thing or another."""
