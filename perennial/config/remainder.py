"""What is left of a file when everything that is wrong with it is taken out, so that the rest can be judged too."""

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from perennial.config import modelerrors
from perennial.config.modelerrors import holds
from perennial.config.yamlsafe import Document, Place, Problem

M = TypeVar("M", bound=BaseModel)
ROUNDS = 5
"""How often something may be taken out: what stands around a value can be wrong without it."""


def remainder(model: type[M], document: Document, wrong: Sequence[Place]) -> tuple[M | None, tuple[Place, ...]]:
    """Return what a file says without its wrong places, and the places that were taken out.

    ``None`` if nothing can be made of it, because something that is required is missing or wrong.
    """
    value = copy.deepcopy(document.value)
    out: list[Place] = []
    for _ in range(ROUNDS):
        for place in sorted(set(wrong), key=lambda one: [f"{part:>9}" for part in one], reverse=True):
            while place and not _take_out(value, place):
                place = place[:-1]  # what lacks something goes as a whole
            if not place:
                return None, ()
            out.append(place)
        try:
            return model.model_validate_json(json.dumps(value)), tuple(out)
        except ValidationError as error:
            rest = replace(document, value=value)
            wrong = [one.place for one in modelerrors.explain(error, model, rest)]
    return None, ()


def elsewhere(problems: Sequence[Problem], out: Sequence[Place]) -> list[Problem]:
    """Return the problems that have nothing to do with what was taken out, nor with what moved up in its list."""
    return [one for one in problems if not any(_touches(one.place, place) for place in out)]


def _touches(place: Place, out: Place) -> bool:
    shared = min(len(place), len(out))
    if place[:shared] == out[:shared]:
        return True
    at = len(out) - 1
    last, then = out[at], place[at] if len(place) > at else None
    return isinstance(last, int) and isinstance(then, int) and place[:at] == out[:at] and then > last


def _take_out(value: Any, place: Place) -> bool:
    for part in place[:-1]:
        if not holds(value, part):
            return False
        value = value[part]
    if not place or not holds(value, place[-1]):
        return False
    del value[place[-1]]
    return True
