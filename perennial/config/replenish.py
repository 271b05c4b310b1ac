"""Settings of kind ``replenish``: order quantities from forecasts and stock."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from perennial.config.section import Finding, KindSettings, choice
from perennial.config.types import Name, Span, Weekday

if TYPE_CHECKING:
    from perennial.config.models import Pipeline


class Replenish(KindSettings):
    """How much to order: on what terms products are bought, kept and sold; money is in the unit of ``price``."""

    forecast: Name | None = Field(None, description="Table under `known` with the published forecasts to order by.")
    mean: Name = Field("y_hat", description="Its column with the expected demand; those named q05, q50 are quantiles.")
    policies: tuple[Literal["order_up_to", "reorder_point", "days_of_cover"], ...] = Field(
        ("order_up_to", "reorder_point", "days_of_cover"),
        min_length=1,
        description="What may be chosen: (R, S) or (R, s, nQ) by a quantile of demand, or (R, S) by days of demand.",
    )
    classes: Name = Field("volume", description="Slice whose values get parameters of their own.")
    choose_days: int = Field(56, ge=14, description="Days before the held-out ones to choose on.")
    last_year: bool = Field(True, description="Choose on last year's days of the held-out season too, if known.")
    lead_days: Span = Field(3, description="From the evening of the order to the morning of the delivery.")
    review_days: Span = Field(1, description="Between two chances to order.")
    pack: Span = Field(1, description="Units in the smallest quantity that can be ordered.")
    shelf_days: int = Field(0, ge=0, description="Days on which a unit can be sold; 0: it keeps.")
    price: Name | None = Field(None, description="Column with the selling price; without one every unit sells for 1.")
    cost_share: float = Field(0.6, gt=0, lt=1, description="What a unit costs to buy, as a share of its price.")
    holding_per_year: float = Field(0.25, ge=0, description="Cost of holding stock, as a share of its value a year.")
    waste_share: float = Field(1.0, ge=0, description="Cost of throwing a unit away, as a share of its value.")
    order_cost: float = Field(0.0, ge=0, description="Cost of placing an order for one product.")
    safety_days: float = Field(7.0, ge=0, description="Fixed safety stock of the naive contender, in days of demand.")
    on_hand: Name | None = Field(
        None, description="Column with the units on hand at the end of the day; without a count the book counts."
    )
    on_order: Name | None = Field(
        None, description="Column with the units ordered and not yet delivered; `on_hand` needs it beside a lead time."
    )
    static: tuple[Name, ...] = Field((), description="Columns that never change within a product.")
    closed_weekdays: tuple[Weekday, ...] = ()

    @property
    def protection_days(self) -> int:
        """Days that an order has to last with what is there and on its way."""
        return self.lead_days + self.review_days - 1

    def closed(self) -> tuple[str, ...]:
        """Return the weekdays on which nothing is sold."""
        return self.closed_weekdays

    def reach(self) -> int:
        """Return after how many days an order was to be sold."""
        return self.protection_days + 1

    def slices(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the static columns and the classes that are computed."""
        return (*self.static, "volume", "intermittency", "novelty")

    def cohorts(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the static columns."""
        return self.static

    def _half_counted(self) -> Iterator[Finding]:
        if self.on_hand is not None and self.on_order is None and self.lead_days > 1:
            what = "is required with `on_hand`: what has not arrived yet would be ordered again every evening"
            yield ("replenish", "on_order"), f"{what}; map it in data.columns.extra, or leave `on_hand` out"
        if self.on_order is not None and self.on_hand is None:
            yield ("replenish", "on_order"), "is read with `on_hand` only; name that column too, or leave this one out"

    def problems(self, pipeline: "Pipeline") -> Iterator[Finding]:
        """Yield columns and tables that are not there."""
        own = pipeline.data.columns.extra
        if pipeline.rollout.strategy == "canary":
            yield ("rollout", "strategy"), "cannot be `canary`: orders are played for every product; use `shadow`"
        for field in ("price", "on_hand", "on_order"):
            name = getattr(self, field)
            if name is not None:
                yield from choice(("replenish", field), name, own, "data.columns.extra")
        yield from self._half_counted()
        for i, name in enumerate(self.static):
            yield from choice(("replenish", "static", i), name, own, "data.columns.extra")
        yield from choice(("replenish", "classes"), self.classes, self.slices(pipeline), "the slices")
        if self.forecast is not None:
            yield from choice(("replenish", "forecast"), self.forecast, pipeline.known, "the tables under `known`")
            table = pipeline.known.get(self.forecast)
            if table is not None:
                columns = table.columns.extra
                yield from choice(("replenish", "mean"), self.mean, columns, f"known.{self.forecast}.columns.extra")
