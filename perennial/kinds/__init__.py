"""Kinds of problems by their name in the configuration."""

from importlib import import_module
from typing import cast

from perennial.errors import ConfigError
from perennial.evaluation.catalogue import KINDS
from perennial.kinds.base import Fitted, Kind

__all__ = ["KINDS", "Fitted", "Kind", "kind"]


def kind(name: str) -> Kind:
    """Return the module of a kind, imported when first asked for.

    Raises:
        ConfigError: There is no such kind.
    """
    if name not in KINDS:
        raise ConfigError(f"kind: {name!r} is not one of {', '.join(KINDS)}")
    return cast(Kind, import_module(f"perennial.kinds.{name}"))
