"""What every section of a settings file has in common, and what a kind's own section must answer."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from perennial.config.yamlsafe import Place, nearest

if TYPE_CHECKING:
    from perennial.config.models import Pipeline

Finding = tuple[Place, str]
"""A place in a settings file and what is wrong there."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are never coerced, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class KindSettings(Section):
    """Base of the section that belongs to a kind of problem; others ask it instead of knowing kinds."""

    def closed(self) -> tuple[str, ...]:
        """Return the weekdays on which nothing is expected to happen."""
        return ()

    def idle(self) -> bool:
        """Return whether a day may have nothing to predict, which is then published as such."""
        return False

    def calibrated(self) -> bool:
        """Return whether predictions are probabilities, from which figures can be estimated before labels come."""
        return False

    def labelled(self) -> bool:
        """Return whether a row without a target says nothing about whether data arrived."""
        return True

    def reach(self) -> int:
        """Return after how many days at most a prediction's truth should have arrived."""
        return 1

    def slices(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the names by which figures may be cut."""
        return tuple(pipeline.data.columns.extra)

    def cohorts(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the columns whose values a canary's cohort may be made of."""
        return tuple(pipeline.data.columns.extra)

    def sets(self) -> tuple[str, ...]:
        """Return the names of the evaluation sets beside the main one."""
        return ()

    def problems(self, pipeline: "Pipeline") -> Iterator[Finding]:
        """Yield what contradicts other sections."""
        yield from ()


def flat(section: Section, prefix: str = "") -> dict[str, Any]:
    """Return the settings of a section as dotted names, for MLflow parameters."""
    out: dict[str, Any] = {}
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Section):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out


def unknown(place: Place, names: Iterable[str], allowed: Iterable[str], source: str) -> Iterator[Finding]:
    """Yield a finding for every listed name that is not allowed."""
    allowed = list(allowed)
    for i, name in enumerate(names):
        yield from choice((*place, i), name, allowed, source)


def choice(place: Place, name: str, allowed: Iterable[str], source: str) -> Iterator[Finding]:
    """Yield a finding if a name is not allowed."""
    allowed = list(allowed)
    if name not in allowed:
        yield place, f"`{name}` is not in {source}; {nearest(name, allowed)}"
