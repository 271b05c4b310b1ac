"""Test rows of the replenish kind: what every contender sold, spent and held on the same days, and a picture of it."""

from collections.abc import Mapping, Sequence

import numpy as np

from perennial.config.models import Pipeline
from perennial.contracts import Chart, TestRows
from perennial.evaluation.foresight import perfect_foresight
from perennial.evaluation.ordering import IDEAL, column
from perennial.evaluation.stock import Play
from perennial.evaluation.tuning import Season
from perennial.features import Panel
from perennial.features.panel import EPOCH, Ints
from perennial.kinds.slices import slice_names
from perennial.models.replenishment import Floats, LastWeek, OrderUpTo, Policy

WITHOUT_DAYS = 28
"""Days of history that nothing is played on."""


def contenders(cfg: Pipeline, one: Season) -> dict[str, Policy]:
    """Return the naive contenders: last week's sales, and the point forecast plus a fixed safety stock."""
    daily = one.outlook.believed[:, :1] / one.terms.protection_days[:, None]
    fixed = one.outlook.believed + daily * cfg.replenish.safety_days
    return {"last_week": LastWeek(one.terms), "point_plus_safety": OrderUpTo(upto=fixed, pack=one.terms.pack)}


def rows_of(
    cfg: Pipeline,
    panel: Panel,
    one: Season | None,
    first: int,
    products: Ints,
    policies: Mapping[str, Policy | None],
    played: Mapping[str, Play] | None = None,
) -> TestRows:
    """Play policies and lay out one row for each product and day.

    Args:
        cfg: Names the slices.
        panel: All entities; slices are those known before column ``first``.
        one: The days; None for no rows at all.
        first: Its first column.
        products: Which entities it has.
        policies: Contenders to play.
        played: Contenders that were played already.
    """
    plays = dict(played or {})
    if one is not None:
        plays |= {name: one.play(policy) for name, policy in policies.items() if policy is not None}
    names, none = list(plays) if one else list(policies), np.empty(0)
    days = one.demand.shape[1] if one else 0
    size = len(products) * days
    y = np.nan_to_num(one.demand).ravel() if one else none
    price = np.repeat(one.terms.lost + one.terms.value, days) if one else none
    cut = (*cfg.evaluation.slices, *(gate.slices for gate in cfg.gates if gate.slices))
    n = panel.n_entities
    return TestRows(
        entities=panel.entities,
        entity=np.repeat(products, days).astype(np.int32),
        window=np.zeros(size, np.int16),
        horizon=np.ones(size, np.int16),
        day=np.tile(panel.first_day + first + np.arange(days), len(products)).astype(np.int32),
        y=y.astype(np.float32),
        forecasts={name: (plays[name].sold.ravel() if one else none).astype(np.float32) for name in names},
        levels=(),
        quantiles={},
        scale_abs=np.ones(n),
        scale_sq=np.ones(n),
        weight=np.full(n, 1 / max(n, 1)),
        slices=slice_names(panel, max(first - 1, 0), cut),
        groups={},
        group_scale_sq={},
        kind="replenish",
        extra=_spent(one, plays, names) | {"value": y * price},
    )


def _spent(one: Season | None, plays: Mapping[str, Play], names: Sequence[str]) -> dict[str, Floats]:
    """Return cost, waste and stock of every contender and of perfect foresight, one value a row."""
    if one is None:
        return {column(what, name): np.empty(0) for what in ("cost", "waste", "stock") for name in (*names, IDEAL)}
    ideal = one.play(perfect_foresight(one.demand, one.terms, start=one.start, reviews=one.reviews))
    out = {}
    for name, play in {**plays, IDEAL: ideal}.items():
        out[column("cost", name)] = play.cost(one.terms).ravel()
        out[column("waste", name)] = (play.wasted * one.terms.waste[:, None]).ravel()
        out[column("stock", name)] = (play.on_hand * one.terms.value[:, None]).ravel()
    return out


def chart(rows: TestRows) -> Chart:
    """Draw what each contender's policy has cost since the first held-out day."""
    day = rows.day - (rows.day.min() if len(rows.day) else 0)
    names = [*rows.forecasts, IDEAL]
    totals = {name: np.cumsum(np.bincount(day, rows.extra[column("cost", name)])) for name in names}
    first = int(rows.day.min()) if len(rows.day) else 0
    days = range(first, first + len(next(iter(totals.values()))))
    return Chart(
        title="Cost so far",
        note="Holding, waste, lost sales and orders of each contender, added up from the first held-out day on.",
        dates=tuple((np.datetime64(EPOCH) + d).item().isoformat() for d in days),
        lines={name: tuple(round(float(v), 2) for v in total) for name, total in totals.items()},
        unit="Money",
    )
