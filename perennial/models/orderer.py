"""What a replenishment pipeline keeps fresh: which policy each class of products follows, and at what level."""

from collections.abc import Mapping, Sequence


class Orderer:
    """Chosen parameters; plain values only, so that :mod:`perennial.registry.canonical` can store them.

    Args:
        settings: JSON of the replenish section they were chosen under.
        classes: Class of products -> policy, level and what it cost in the days it was chosen on.
    """

    def __init__(self, *, settings: str, classes: Mapping[str, Sequence[str | float]]) -> None:
        self.settings = settings
        self.classes = {name: list(values) for name, values in classes.items()}
