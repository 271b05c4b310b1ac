"""Settings of kind ``recommend``: ranked lists for users."""

from perennial.config.section import KindSettings


class Recommend(KindSettings):
    """The problem of kind ``recommend``: ranked lists for users."""
