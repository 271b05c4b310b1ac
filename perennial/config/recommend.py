"""Settings of kind ``recommend``: ranked lists for users, judged by what they choose afterwards.

A row of the main table is a choice: ``entity`` names user and item, joined with ``/`` (map two columns), ``ds`` is the
day, ``y`` how it was rated, or 1.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from perennial.config.section import Finding, KindSettings, Section

if TYPE_CHECKING:
    from perennial.config.models import Pipeline


class Watched(Section):
    """When `perennial stream` says that lists are hit less often than when the version was judged."""

    tolerated: float = Field(
        0.8, gt=0, le=1, description="Share of the usual hits per choice that still counts as well."
    )
    degraded: float = Field(0.4, ge=0, lt=1, description="Share of it that should be noticed soonest.")
    false_alarms: float = Field(
        10_000.0, gt=1, description="At least this many users in batches lie between two false alarms, on average."
    )


class Recommend(KindSettings):
    """The problem of recommending."""

    size: int = Field(10, ge=1, le=1000, description="Places of a list.")
    window_days: int = Field(7, ge=1, le=366, description="Days after the as-of date in which a choice counts.")
    min_value: float | None = Field(None, description="Rows with a lower `y` are no choices; default: every row is.")
    active_days: int | None = Field(
        None, ge=1, description="Users not seen for longer get the newcomers' list; default: all have their own."
    )
    estimator: Literal["blend", "neighbours", "factors"] = Field(
        "blend", description="blend: clues weighed on earlier windows; the others rank by one of them."
    )
    windows: int = Field(12, ge=1, le=104, description="Earlier windows that `blend` learns from.")
    neighbours: int = Field(200, ge=1, description="Nearest items kept for each item.")
    shrinkage: float = Field(20.0, ge=0, description="Users who chose both by which a similarity is halved.")
    factors: int = Field(24, ge=1, le=512, description="Rank of the reconstruction.")
    negatives: int = Field(300, ge=1, description="Items not chosen that are drawn for each user and window.")
    recent_days: int = Field(14, ge=1, description="Days of the popularity that newcomers are listed.")
    stream: Watched = Watched()

    def reach(self) -> int:
        """Return after how many days a list is judged."""
        return self.window_days

    def slices(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return the classes that are computed: users by their choices known at the origin."""
        return ("activity",)

    def cohorts(self, pipeline: "Pipeline") -> tuple[str, ...]:
        """Return nothing: a cohort is made of users."""
        return ()

    def sets(self) -> tuple[str, ...]:
        """Return the set of lists shown to users without a history."""
        return ("newcomers",)

    def problems(self, pipeline: "Pipeline") -> Iterator[Finding]:
        """Yield what contradicts other sections."""
        entity = pipeline.data.columns.entity
        if not isinstance(entity, tuple) or len(entity) != 2:
            yield ("data", "columns", "entity"), "must name two columns, for example [user, item]"
        if pipeline.split.holdout < self.window_days + pipeline.split.step:
            message = f"holdout {pipeline.split.holdout} leaves no two origins with {self.window_days} days after them"
            yield ("split", "holdout"), f"{message}; use holdout >= recommend.window_days + step"
        if pipeline.monitor.horizon < self.size:
            message = f"{pipeline.monitor.horizon} counts the first places of a list only"
            yield ("monitor", "horizon"), f"{message}; set it to recommend.size: {self.size}"
        if pipeline.rollout.strategy == "canary":
            yield ("rollout", "strategy"), "cannot be `canary`: lists are compared for everybody; use `shadow`"
        if self.stream.degraded >= self.stream.tolerated:
            yield ("recommend", "stream", "degraded"), "must be less than tolerated"
