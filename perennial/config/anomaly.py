"""Settings of kind ``anomaly``: what is measured of an event, whom it is held against, how many alerts a day."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from perennial.config.section import Finding, KindSettings, Section, choice, unknown
from perennial.config.types import Name as Named

if TYPE_CHECKING:
    from perennial.config.models import Pipeline


class Measure(Section):
    """A number of an event, taken on a logarithmic scale that passes through zero."""

    columns: tuple[Named, ...] = Field(min_length=1, description="Columns that are multiplied to get it.")
    unit: float = Field(1.0, gt=0, description="Smallest amount that means anything: a cent, a piece.")


class Anomaly(KindSettings):
    """Events without labels, and the alerts that people have time for."""

    measures: dict[Named, Measure] = Field(
        default_factory=dict,
        description="Name -> columns and unit, such as price, or the amount of price times quantity.",
    )
    peers: tuple[Named, ...] = Field((), description="Columns whose earlier events an event is held against.")
    repeats: tuple[Named, ...] = Field(
        (), description="Columns that make an event the same as an earlier one of its day."
    )
    seconds: Named | None = Field(None, description="Column with the seconds since midnight: unusual hours count.")
    group: Named | None = Field(None, description="Column that one alert speaks for, such as the invoice of a line.")
    budget: float = Field(10.0, gt=0, description="Alerts that people look at, on the average day.")
    most: float = Field(2.0, ge=1, description="Never more alerts a day than this multiple of the budget.")
    window: int = Field(200, ge=10, le=5000, description="Newest earlier events of a peer that say what is usual.")
    least: int = Field(5, ge=2, description="With fewer earlier events, an event is held against all others.")
    forest_weight: float = Field(
        0.25, ge=0, le=1, description="Share of the isolation forest in the score; the rest is the largest surprise."
    )
    trees: int = Field(100, ge=1, le=1000, description="Trees of the isolation forest.")
    may_be_idle: bool = Field(
        False, description="A day without an event is published as such; else it is an error: they may only be late."
    )
    label_delay_days: int = Field(7, ge=0, description="A verdict of an event is used this many days after it.")
    plant: dict[Named, float] = Field(
        default_factory=dict, description="Errors to plant: column -> factor, such as `price: 100`."
    )
    plants: int = Field(20, ge=0, description="Errors planted in each judged day to measure what is missed.")

    @model_validator(mode="after")
    def _complete(self) -> "Anomaly":
        if self.most * self.budget < 1:
            raise ValueError(f"`budget: {self.budget}` times `most: {self.most}` allows no alert; raise one of them")
        return self

    def labelled(self) -> bool:
        """Return False: an event counts before anybody has looked at it, and most are never looked at."""
        return False

    def idle(self) -> bool:
        """Return whether a day without an event is published as such."""
        return self.may_be_idle

    def reach(self) -> int:
        """Return the days after which investigators have decided."""
        return self.label_delay_days

    def slices(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the kinds of planted errors."""
        return ("error",)

    def problems(self, pipeline: "Pipeline") -> Iterator[Finding]:
        """Yield the names that are not mapped under ``data.columns.extra``."""
        own, source = tuple(pipeline.data.columns.extra), "data.columns.extra"
        if not self.measures:
            yield ("anomaly", "measures"), "is required: name at least one number of an event, and its columns"
        for name, one in self.measures.items():
            yield from unknown(("anomaly", "measures", name, "columns"), one.columns, own, source)
        yield from unknown(("anomaly", "peers"), self.peers, own, source)
        yield from unknown(("anomaly", "repeats"), self.repeats, own, source)
        for field in ("seconds", "group"):
            name = getattr(self, field)
            if name is not None:
                yield from choice(("anomaly", field), name, own, source)
        measured = sorted({column for one in self.measures.values() for column in one.columns})
        for column in self.plant:
            yield from choice(("anomaly", "plant"), column, measured, "the columns of the measures")
