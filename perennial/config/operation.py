"""How a model lives from day to day: when it is trained anew, how it is let in, what is watched, who is told."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from perennial.config.section import Section

Severity = Literal["info", "warning", "critical"]
Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class Monitor(Section):
    """What is watched once predictions are served, and when it counts as bad."""

    metric: str | None = Field(
        None, description="Error that decides about health; default: the kind's own (a forecast's is wape)."
    )
    window_days: int = Field(14, ge=1, description="Matured days that the served scores are taken over.")
    horizon: int = Field(7, ge=1, description="Forecasts of up to this many days ahead count for the daily error.")
    slices: tuple[str, ...] | None = Field(None, description="Watched apart; default: `evaluation.slices`.")
    tolerance: float = Field(
        5.0, gt=0, description="A day is bad beyond the usual error plus this many robust standard deviations."
    )
    min_ratio: float = Field(1.25, ge=1, description="And only beyond this multiple of the usual error.")
    min_rows: int = Field(
        50,
        ge=1,
        description="Slices with fewer matured forecasts a day are not judged; all together need half their usual.",
    )
    bad: int = Field(2, ge=1, description="Degraded: this many bad days, the latest among them ...")
    of: int = Field(3, ge=1, description="... of this many matured days.")
    clear_after: int = Field(3, ge=1, description="Dates without the finding before its alert is closed.")
    drift_psi: float = Field(0.25, gt=0, description="Population stability index that counts as drift.")
    max_skew: float = Field(0.01, gt=0, description="Largest difference of a feature, in its standard deviations.")
    max_model_age_days: int | None = Field(None, ge=1, description="Older champions are reported.")
    cost_ratio: float = Field(3.0, gt=1, description="Run time or memory beyond this multiple of its own median.")

    @model_validator(mode="after")
    def _some_of(self) -> "Monitor":
        if self.bad > self.of:
            raise ValueError(f"`bad: {self.bad}` of `of: {self.of}` can never happen; make `of` at least as large")
        return self


class Retraining(Section):
    """When a new model is trained without anybody asking."""

    policy: Literal["daily", "every", "degraded", "never"] = Field(
        "degraded", description="daily; every: each `days` days; degraded: when the monitor says so; never."
    )
    days: int = Field(28, ge=1, description="For `every`, and for `degraded` when nothing happens for so long.")
    cooldown_days: int = Field(3, ge=0, description="For `degraded`: days between two attempts.")
    new_rows: int | None = Field(None, ge=1, description="Also when this many rows landed since the last training.")


class Rollout(Section):
    """How a candidate that passed every gate comes into force."""

    strategy: Literal["immediate", "canary", "shadow"] = Field(
        "immediate", description="canary: for a cohort first; shadow: scored beside the champion, published to nobody."
    )
    approval: Literal["none", "required"] = Field("none", description="required: a person must say yes first.")
    by: str | None = Field(None, description="Static column whose values make up the cohort; default: entities.")
    share: float = Field(0.2, gt=0, le=0.5, description="Share of the canary's cohort.")
    days: int = Field(7, ge=1, description="Matured days after which a canary or shadow is promoted or reverted.")
    min_days: int = Field(3, ge=1, description="Not decided on fewer matured days.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the sequential test.")
    tolerance: float = Field(1.02, ge=1, description="Its error may be this multiple of the champion's.")


class Delivery(Section):
    """What is promised to those who use the predictions."""

    start: Clock | None = Field(
        "05:00",
        description="Local time of the scheduled `day` run, 04:00 or later (on two days of the year an earlier hour is"
        " missing, or comes twice) and before the deadline; null: no schedule.",
    )
    deadline: Clock = Field("07:00", description="Local time by which a publication must be there.")
    timeout_s: int = Field(1800, ge=10, description="A score run that takes longer gives way to the next rung.")
    catch_up_days: int = Field(14, ge=0, description="Missing dates before the asked one that are made up for.")
    ladder: bool = Field(True, description="Fall back to older features, the last forecast, a naive one.")

    @model_validator(mode="after")
    def _in_time(self) -> "Delivery":
        if self.start is not None and not "04:00" <= self.start < self.deadline:
            raise ValueError(
                f"`start: '{self.start}'` must be 04:00 or later and before `deadline: '{self.deadline}'`, or null"
            )
        return self


class Channel(Section):
    """Where alerts go; an Apprise address: slack://, msteams://, mailtos://, pagerduty://, json:// and many more."""

    url: str = Field(description="Taken from the process environment with ${VAR}: it holds a secret.")
    at_least: Severity = "warning"
    owners: tuple[str, ...] = Field((), description="Only alerts of these owners; empty: of all.")
