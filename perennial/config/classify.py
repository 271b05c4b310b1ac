"""Kind ``classify``: the probability that an event is of the kind that is looked for (a fraud, a readmission).

A row of the main table is an event: ``entity`` is its own id, ``y`` is 1, 0 or null (not known yet). What happened
before is told by *unit columns*: the card, the terminal, the patient that an event belongs to.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from perennial.config.section import Finding, KindSettings, Section, unknown
from perennial.config.types import Name

if TYPE_CHECKING:
    from perennial.config.models import Pipeline

Span = Annotated[int, Field(ge=1, le=3660)]
Estimator = Literal["hist_gradient_boosting", "lightgbm", "random_forest", "linear"]


class UnitFeatures(Section):
    """What is remembered about each value of one column; every part is off unless it is named."""

    column: Name = Field(description="Text column of data.columns.extra, for example customer.")
    windows: tuple[Span, ...] = Field((1, 7, 30), description="Days that counts, means and rates look back.")
    counts: bool = Field(False, description="Events of the unit in each window, the present one included.")
    means: tuple[Name, ...] = Field((), description="Number columns whose mean over each window is taken.")
    rates: bool = Field(
        False, description="Known labels and the share of positive ones in each window, shifted by the label delay."
    )
    lifts: bool = Field(
        False,
        description="How the unit's share of positives differs from everybody's in each window: it stays what it was"
        " when positives become more or fewer everywhere, as a rate does not.",
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


class EvaluationSet(Section):
    """Test rows that are judged by themselves: a gate names them with `set`. What is given has to hold together."""

    where: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict, description="Text column -> values: only rows that have one of them."
    )
    last_days: int | None = Field(None, ge=1, description="Only rows of the last days of the test windows.")
    without: tuple[Name, ...] = Field(
        (), description="A stress test: the same rows once more, with these columns taken as unknown."
    )

    @model_validator(mode="after")
    def _something(self) -> "EvaluationSet":
        if not (self.where or self.last_days or self.without):
            raise ValueError("a set that is told by nothing is all rows; give `where`, `last_days` or `without`")
        return self


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

    days: int = Field(7, ge=1, description="Days taken together: single days have few positives.")
    bound: float = Field(0.15, gt=0, description="An estimate further than this from what came true was wrong.")
    wrong: int = Field(3, ge=1, description="It is muted when it was wrong on this many ...")
    of: int = Field(7, ge=1, description="... of this many last matured days.")

    @model_validator(mode="after")
    def _some_of(self) -> "Estimate":
        if self.wrong > self.of:
            raise ValueError(f"`wrong: {self.wrong}` of `of: {self.of}` can never happen; make `of` at least as large")
        return self


class Member(Section):
    """A further estimator whose probabilities are averaged with those of `model.estimator`."""

    estimator: Estimator
    params: dict[str, int | float | str | bool | None] = Field(
        default_factory=dict, description="Keyword arguments of the estimator; unknown ones are errors."
    )


class Classify(KindSettings):
    """The classification problem."""

    may_be_idle: bool = Field(
        False, description="A day without an event is published as such; else it is an error: they may only be late."
    )
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
    apart: bool = Field(
        False, description="Split by unit: some, drawn by a hash of their names, are judged and never trained on."
    )
    apart_share: float = Field(0.5, gt=0, lt=1, description="For `apart`: the share of units that are judged.")
    score_days: int = Field(1, ge=1, description="Events of the last days up to the as-of date are scored.")
    calibration_days: int = Field(
        7, ge=1, description="Last labelled days before the end of training: scores are calibrated, the threshold set."
    )
    calibration_folds: int | None = Field(
        None,
        ge=2,
        le=20,
        description="Those days are scored by so many models, each trained on every day but on none of the units that"
        " it scores. Null: by one trained on the days before, which knows less of a change than the final model does.",
    )
    memory: tuple[Span, ...] = Field(
        (),
        description="Days. Shorter pasts that are tried beside model.history_days: trained on is the one that tells the"
        " calibration days best. After a change that is a short one. Needs calibration_folds.",
    )
    features: EventFeatures = EventFeatures()
    blend: tuple[Member, ...] = Field((), description="Averaged with `model.estimator`, each once.")
    evaluation_sets: dict[Name, EvaluationSet] = Field(
        default_factory=dict, description="Evaluation sets beside the main one, each of which a gate can name."
    )
    costs: Costs = Costs()
    estimate: Estimate = Estimate()

    def numbers(self) -> tuple[str, ...]:
        """Return the number columns that are named anywhere, sorted."""
        named = {*self.features.numbers} | {x for unit in self.features.units for x in (*unit.means, *unit.usual)}
        return tuple(sorted(named | {name for name in (self.time, self.costs.amount) if name}))

    def texts(self) -> tuple[str, ...]:
        """Return the text columns that are named anywhere, sorted."""
        asked = {column for one in self.evaluation_sets.values() for column in one.where}
        named = {*self.features.categories} | asked | {unit.column for unit in self.features.units}
        return tuple(sorted(named | ({self.unit} if self.unit else set())))

    def calibrated(self) -> bool:
        """Return True: scores are probabilities."""
        return True

    def idle(self) -> bool:
        """Return whether a day without an event is published as such."""
        return self.may_be_idle

    def reach(self) -> int:
        """Return after how many days the label of a scored event should have arrived."""
        return self.label_delay_days + 1

    def sets(self) -> tuple[str, ...]:
        """Return the names of the evaluation sets beside the main one."""
        return tuple(self.evaluation_sets)

    def cohorts(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the text columns."""
        return self.texts()

    def problems(self, pipeline: "Pipeline") -> Iterator[Finding]:
        """Yield what contradicts the columns of the data, or other sections."""
        own = set(pipeline.data.columns.extra)
        for name in (*self.numbers(), *self.texts()):
            yield from ((("classify",), message) for _, message in unknown((), (name,), own, "data.columns.extra"))
        for name in sorted(set(self.numbers()) & set(self.texts())):
            yield ("classify",), f"column `{name}` is used as a number and as text; map it twice in `extra`"
        features = {*self.features.numbers, *self.features.categories}
        for name, one in self.evaluation_sets.items():
            place = ("classify", "evaluation_sets", name, "without")
            yield from unknown(place, one.without, features, "classify.features")
        if not self.features.model_fields_set:
            yield ("classify", "features"), "there is nothing to tell events apart by; name numbers or units"
        if self.time is None and {"night", "hour"} & set(self.features.calendar):
            yield ("classify", "features", "calendar"), "night and hour need `classify.time`"
        if self.drop_known and self.unit is None:
            yield ("classify", "drop_known"), "needs `classify.unit`: whose positives are known?"
        if self.memory and self.calibration_folds is None:
            yield ("classify", "memory"), "needs `classify.calibration_folds`: how are pasts compared?"
        if self.memory and min(self.memory) < self.calibration_days:
            least = f"`calibration_days` ({self.calibration_days})"
            yield ("classify", "memory"), f"{min(self.memory)} is shorter than {least}, by which pasts are compared"
        if self.apart and self.unit is None:
            yield ("classify", "apart"), "needs `classify.unit`: what is to be kept apart?"
