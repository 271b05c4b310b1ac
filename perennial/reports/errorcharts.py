"""Pictures of what was measured day by day: the error beside its bound and the best simple rule, and the cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from perennial.contracts import Chart, DailyError
from perennial.overview import History, Spend
from perennial.reports.charts import Plot, lay_out
from perennial.reports.metricwords import MetricWords, metric_words
from perennial.reports.text import plain

SLICES = 8
VOLUMES = ("wape", "bias", "instability")
"""Shares of what came in all."""
NAMES = {"served": "Served forecasts", "baseline": "Best simple rule", "bound": "Bad beyond"}
STYLES = {"served": "candidate", "baseline": "baseline", "bound": "bound"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricUnit:
    """How the values of a metric are drawn."""

    metric: str

    @property
    def words(self) -> MetricWords:
        """What the metric is called."""
        return metric_words(self.metric)

    @property
    def factor(self) -> float:
        """What a value is multiplied by."""
        return 100.0 if self.words.unit == "share" else 1.0

    @property
    def label(self) -> str:
        """The unit of the axis."""
        if self.words.unit == "share":
            return "% of the actual volume" if self.metric in VOLUMES else "%"
        return "in the unit of the target" if self.metric in ("mae", "rmse", "pinball") else self.words.label.lower()


def error_plots(found: History, unit: MetricUnit) -> tuple[Plot | None, list[Plot], int]:
    """Draw the error of each matured day: overall, of the slices that are worst lately, and how many are left out."""
    parts: dict[str, list[DailyError]] = {}
    for one in found.errors:
        if one.metric == unit.metric:
            parts.setdefault(one.key, []).append(one)
    overall = parts.pop("", None)
    ranked = sorted(parts, key=lambda key: (-_worst(parts[key]), key))
    slices = [_plot(found, key, parts[key], unit) for key in ranked[:SLICES]]
    return _plot(found, "", overall, unit) if overall else None, slices, max(len(ranked) - SLICES, 0)


def _worst(daily: Sequence[DailyError]) -> float:
    """Return the largest recent error as a multiple of its bound."""
    ratios = [one.value / one.bound for one in daily[-7:] if one.bound > 0 and math.isfinite(one.value)]
    return max(ratios, default=0.0)


def _plot(found: History, key: str, daily: Sequence[DailyError], unit: MetricUnit) -> Plot:
    bad = sum(one.bad for one in daily)
    matured = f"{len(daily)} matured day{'s' if len(daily) != 1 else ''}"
    lines = {"served": "value", "baseline": "baseline", "bound": "bound"}
    chart = Chart(
        title=key.replace("=", " ") or "All forecasts",
        note=f"{matured}, {bad or 'none'} beyond the bound",
        dates=tuple(one.day.isoformat() for one in daily),
        lines={name: tuple(_value(getattr(one, field), unit.factor) for one in daily) for name, field in lines.items()},
    )
    entered = {c.as_of: f"v{c.version}" for c in reversed(found.roles) if c.role == "champion" and c.version}
    return lay_out(chart, unit=unit.label, names=NAMES, styles=STYLES, marks={} if key else entered)


def _value(value: float, factor: float) -> float | None:
    return value * factor if math.isfinite(value) else None


def cost_plot(spent: Sequence[Spend]) -> Plot | None:
    """Draw the seconds of each date's scoring; ``None`` if fewer than two are known."""
    by_day = {one.as_of: one.seconds for one in reversed(spent) if one.flow == "score" and math.isfinite(one.seconds)}
    if len(by_day) < 2:
        return None
    days = sorted(by_day)
    chart = Chart(
        title=plain("Scoring"),
        note="Time from the snapshot to the publication of each date.",
        dates=tuple(one.isoformat() for one in days),
        lines={"score": tuple(by_day[one] for one in days)},
    )
    return lay_out(chart, unit="seconds", names={"score": "Scoring"}, styles={"score": "candidate"})
