"""Settings of kind ``replenish``: order quantities from forecasts and stock."""

from perennial.config.section import KindSettings


class Replenish(KindSettings):
    """The problem of kind ``replenish``: order quantities from forecasts and stock."""
