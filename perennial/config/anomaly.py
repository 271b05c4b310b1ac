"""Settings of kind ``anomaly``: events that are unlike their peers."""

from perennial.config.section import KindSettings


class Anomaly(KindSettings):
    """The problem of kind ``anomaly``: events that are unlike their peers."""
