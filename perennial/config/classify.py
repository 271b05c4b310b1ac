"""Kind ``classify``: the probability that an event is of the kind that is looked for (a fraud, a readmission).

A row of the main table is an event: ``entity`` is its own id, ``y`` is 1, 0 or null (not known yet). What happened
before is told by *unit columns*: the card, the terminal, the patient that an event belongs to.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from perennial.config.section import Section

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Span = Annotated[int, Field(ge=1, le=3660)]


class UnitFeatures(Section):
    """What is remembered about each value of one column; every part is off unless it is named."""

    column: Name = Field(description="Text column of data.columns.extra, for example customer.")
    windows: tuple[Span, ...] = Field((1, 7, 30), description="Days that counts, means and rates look back.")
    counts: bool = Field(False, description="Events of the unit in each window, the present one included.")
    means: tuple[Name, ...] = Field((), description="Number columns whose mean over each window is taken.")
    rates: bool = Field(
        False, description="Known labels and the share of positive ones in each window, shifted by the label delay."
    )
    past: bool = Field(
        False,
        description="Known positives, how many in a row, days since the last, the first of these, and a negative.",
    )
    gap: bool = Field(False, description="Days since the unit's event before.")
    usual: tuple[Name, ...] = Field(
        (), description="Number columns compared with the unit's own earlier events that are not known as positive."
    )


class EventFeatures(Section):
    """What a model sees of an event; nothing that was not known when it happened."""

    numbers: tuple[Name, ...] = Field((), description="Number columns taken as they are.")
    categories: tuple[Name, ...] = Field((), description="Text columns with few values; a new value is unknown.")
    calendar: tuple[Literal["weekend", "night", "hour", "day_of_week", "month"], ...] = Field(
        (), description="night: before 07:00; needs `time`, as hour does."
    )
    units: tuple[UnitFeatures, ...] = ()


class Costs(Section):
    """What a mistake costs, in the user's unit of money."""

    false_positive: float = Field(1.0, ge=0, description="An alert about nothing.")
    false_negative: float = Field(1.0, ge=0, description="A positive that no alert was raised for.")
    amount: Name | None = Field(
        None, description="Number column: a missed positive costs false_negative times it, for example the amount lost."
    )

    @model_validator(mode="after")
    def _something(self) -> "Costs":
        if self.false_positive == 0 and self.false_negative == 0:
            raise ValueError("with both costs 0 every threshold is as good as any other; give at least one")
        return self


class Estimate(Section):
    """Performance estimated from calibrated scores while labels are not there yet."""

    bound: float = Field(0.1, gt=0, description="An estimate further than this from what came true was wrong.")
    wrong: int = Field(3, ge=1, description="It is muted when it was wrong on this many ...")
    of: int = Field(7, ge=1, description="... of this many last matured days.")

    @model_validator(mode="after")
    def _some_of(self) -> "Estimate":
        if self.wrong > self.of:
            raise ValueError(f"`wrong: {self.wrong}` of `of: {self.of}` can never happen; make `of` at least as large")
        return self


class Classify(Section):
    """The classification problem."""

    label_delay_days: int = Field(
        0,
        ge=0,
        le=366,
        description="A label of day d is known from d plus this on: in features, in training and in monitoring.",
    )
    time: Name | None = Field(None, description="Number column: seconds since midnight; absent: only the day counts.")
    unit: Name | None = Field(
        None, description="Text column: what is alerted on and drawn together (card, patient). Default: each event."
    )
    top: int = Field(100, ge=1, description="Units that can be looked into a day: card_precision_error is taken there.")
    drop_known: bool = Field(
        False, description="Events of units with a known positive are not judged or scored: such a card is blocked."
    )
    apart: bool = Field(False, description="Units of the test windows are left out of training: split by unit.")
    score_days: int = Field(1, ge=1, description="Events of the last days up to the as-of date are scored.")
    calibration_days: int = Field(
        7, ge=1, description="Last labelled days before the end of training: scores are calibrated, the threshold set."
    )
    features: EventFeatures = EventFeatures()
    costs: Costs = Costs()
    estimate: Estimate = Estimate()
