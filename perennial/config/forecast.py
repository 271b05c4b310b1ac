"""Settings of kind ``forecast``: a value per entity and day."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from perennial.config.section import Finding, KindSettings, Section, choice, unknown
from perennial.config.stockouts import Stockouts
from perennial.config.types import Ago, Name, Span, Weekday
from perennial.config.yamlsafe import nearest

if TYPE_CHECKING:
    from perennial.config.models import Pipeline

COMPUTED_SLICES = ("volume", "intermittency", "novelty")
"""Slices that need no column."""


class Features(Section):
    """History, calendar and covariates the model sees; every one is known at the origin of the forecast."""

    lags: tuple[Ago, ...] = Field((0, 1, 2, 6, 7, 13), description="Values this many periods before the origin.")
    windows: tuple[Span, ...] = Field((7, 14, 28, 56, 182), description="Rolling means up to the origin.")
    spreads: tuple[Span, ...] = Field((28,), description="Rolling standard deviations up to the origin.")
    weekday_means: tuple[Span, ...] = Field(
        (4, 8), description="Mean of the last n same weekdays at or before the origin."
    )
    calendar: tuple[Literal["day_of_week", "day_of_month", "week_of_year", "month", "trend"], ...] = (
        "day_of_week",
        "day_of_month",
        "week_of_year",
    )
    holidays: str | None = Field(None, description="Country code, for example GB or US: days to the nearest holiday.")
    intermittency: bool = Field(True, description="Share of zero days, days since the last sale, age of the series.")


class Forecast(KindSettings):
    """The forecasting problem."""

    horizon: int = Field(28, ge=1, le=366)
    absent: Literal["zero", "missing"] = Field("zero", description="What an entity without a row on an open day means.")
    closed_weekdays: tuple[Weekday, ...] = ()
    trim_leading_zeros: bool = Field(True, description="A series starts at its first non-zero value.")
    retired_after_days: int | None = Field(
        None, ge=1, description="Series without a sale for longer are forecast as zero and left out of training."
    )
    static: tuple[Name, ...] = Field((), description="Columns that never change within an entity.")
    observed: tuple[Name, ...] = Field((), description="Columns known only afterwards, such as a paid price.")
    known: tuple[Name, ...] = Field((), description="Columns of the known tables to use as features.")
    stockouts: Stockouts = Stockouts()
    features: Features = Features()

    def closed(self) -> tuple[str, ...]:
        """Return the weekdays on which nothing is sold."""
        return self.closed_weekdays

    def reach(self) -> int:
        """Return the horizon in days."""
        return self.horizon

    def slices(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the static columns and the classes that are computed."""
        return (*self.static, *COMPUTED_SLICES)

    def cohorts(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the static columns."""
        return self.static

    def problems(self, pipeline: "Pipeline") -> Iterator[Finding]:
        """Yield what contradicts the columns of the data, or other sections."""
        if pipeline.data.columns.entity is None and self.static:
            yield ("forecast", "static"), "a single series has no static columns; remove them or map `entity`"
        yield from self._covariates(pipeline)
        if len(self.closed_weekdays) == 7:
            yield ("forecast", "closed_weekdays"), "all seven weekdays are closed; leave the open ones out"
        if self.features.holidays is not None:
            from holidays import list_supported_countries

            place = ("forecast", "features", "holidays")
            yield from choice(place, self.features.holidays, list_supported_countries(), "the holidays package")
        yield from self._evaluation(pipeline)

    def _covariates(self, pipeline: "Pipeline") -> Iterator[Finding]:
        own = set(pipeline.data.columns.extra)
        yield from unknown(("forecast", "static"), self.static, own, "data.columns.extra")
        yield from unknown(("forecast", "observed"), self.observed, own, "data.columns.extra")
        if self.stockouts.on_hand is not None:
            place = ("forecast", "stockouts", "on_hand")
            yield from choice(place, self.stockouts.on_hand, own, "data.columns.extra")
        known = [column for table in pipeline.known.values() for column in table.columns.extra]
        yield from unknown(("forecast", "known"), self.known, known, "columns.extra of the known tables")
        for column in sorted(_twice((*self.static, *self.observed, *self.known)) | _twice(known)):
            yield ("forecast",), f"column `{column}` has several meanings; give each its own name in `extra`"

    def _evaluation(self, pipeline: "Pipeline") -> Iterator[Finding]:
        settings = pipeline.evaluation
        if "horizons" in settings.model_fields_set:
            for i, (first, last) in enumerate(settings.horizons):
                if not 1 <= first <= last <= self.horizon:
                    message = f"[{first}, {last}] does not lie within horizon 1..{self.horizon}"
                    yield ("evaluation", "horizons", i), f"{message}; write [first, last]"
        prices = (*self.observed, *self.known)
        if settings.price is not None:
            yield from choice(("evaluation", "price"), settings.price, prices, "forecast.observed and known")
        elif settings.weight == "revenue":
            yield ("evaluation", "weight"), f"revenue needs `price`; {nearest('price', prices)}"


def _twice(names: Iterable[str]) -> set[str]:
    listed = list(names)
    return {name for name in listed if listed.count(name) > 1}
