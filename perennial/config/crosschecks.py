"""Rules of a pipeline that span several sections, each checked before any data is read."""

from collections.abc import Iterable, Iterator
from zoneinfo import available_timezones

from perennial.config.models import Pipeline, Table
from perennial.config.yamlsafe import Document, Place, Problem, nearest
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME

BASELINES = ("last_value", "seasonal_naive", "weekday_mean", "moving_average")
"""Naive contenders that take part in every evaluation."""
COMPUTED_SLICES = ("volume", "intermittency", "novelty")
"""Slices that need no column."""
RESERVED = frozenset({ENTITY, TIME, TARGET, AVAILABLE_AT, "landing", "restates", "reason"})
"""Column names that every table has, or gets on its way."""
OWN_TABLES = ("quarantine", "predictions")
"""Tables beside the known ones, ``<pipeline>.<name>`` like them."""

Finding = tuple[Place, str]


def problems(config: Pipeline, document: Document) -> list[Problem]:
    """Return everything in which the sections of a pipeline contradict one another."""
    rules = (_columns, _covariates, _times, _model, _evaluation, _gates, _daily)
    return [document.problem(place, message) for rule in rules for place, message in rule(config)]


def _columns(config: Pipeline) -> Iterator[Finding]:
    if config.data.columns.y is None:
        yield ("data", "columns", "y"), "is required: name the column that is to be forecast"
    if config.data.columns.entity is None and config.forecast.static:
        yield ("forecast", "static"), "a single series has no static columns; remove them or map `entity`"
    for name, table in config.known.items():
        if table.columns.y is not None:
            yield ("known", name, "columns", "y"), "a table known in advance has no target; move it to `extra`"
        if name in OWN_TABLES:
            yield ("known", name), "is the name of a table that every pipeline has; rename it"
        yield from _reserved(("known", name), table)
    yield from _reserved(("data",), config.data)


def _reserved(place: Place, table: Table) -> Iterator[Finding]:
    for column in sorted(RESERVED & set(table.columns.extra)):
        yield (*place, "columns", "extra", column), "is the name of a column that every table has; rename it"


def _covariates(config: Pipeline) -> Iterator[Finding]:
    forecast = config.forecast
    own = set(config.data.columns.extra)
    yield from _unknown(("forecast", "static"), forecast.static, own, "data.columns.extra")
    yield from _unknown(("forecast", "observed"), forecast.observed, own, "data.columns.extra")
    known = [column for table in config.known.values() for column in table.columns.extra]
    if forecast.stockouts.on_hand is not None:
        place: Place = ("forecast", "stockouts", "on_hand")
        yield from _choice(place, forecast.stockouts.on_hand, own, "data.columns.extra")
    yield from _unknown(("forecast", "known"), forecast.known, known, "columns.extra of the known tables")
    used = (*forecast.static, *forecast.observed, *forecast.known)
    for column in sorted({c for c in used if used.count(c) > 1} | {c for c in known if known.count(c) > 1}):
        yield ("forecast",), f"column `{column}` has several meanings; give each its own name in `extra`"


def _times(config: Pipeline) -> Iterator[Finding]:
    if config.split.holdout < config.split.step:
        message = f"holdout {config.split.holdout} is shorter than step {config.split.step}: no window fits"
        yield ("split", "holdout"), f"{message}; use holdout >= step"
    low, high = config.guards.min_value, config.guards.max_value
    if low is not None and high is not None and low > high:
        yield ("guards", "min_value"), f"min_value {low:g} lies above max_value {high:g}; every row would fail"
    if len(config.forecast.closed_weekdays) == 7:
        yield ("forecast", "closed_weekdays"), "all seven weekdays are closed; leave the open ones out"
    if config.timezone != "UTC":
        yield from _choice(("timezone",), config.timezone, available_timezones(), "the time-zone database")


def _model(config: Pipeline) -> Iterator[Finding]:
    quantiles = config.model.quantiles
    if list(quantiles) != sorted(set(quantiles)):
        yield ("model", "quantiles"), "must increase, each once, for example [0.05, 0.5, 0.95]"
    country = config.forecast.features.holidays
    if country is not None:
        from holidays import list_supported_countries

        place: Place = ("forecast", "features", "holidays")
        yield from _choice(place, country, list_supported_countries(), "the holidays package")


def _evaluation(config: Pipeline) -> Iterator[Finding]:
    settings = config.evaluation
    slices = (*config.forecast.static, *COMPUTED_SLICES)
    yield from _unknown(("evaluation", "slices"), settings.slices, slices, "forecast.static and those computed")
    if "horizons" in settings.model_fields_set:
        for i, (first, last) in enumerate(settings.horizons):
            if not 1 <= first <= last <= config.forecast.horizon:
                message = f"[{first}, {last}] does not lie within horizon 1..{config.forecast.horizon}"
                yield ("evaluation", "horizons", i), f"{message}; write [first, last]"
    prices = (*config.forecast.observed, *config.forecast.known)
    if settings.price is not None:
        yield from _choice(("evaluation", "price"), settings.price, prices, "forecast.observed and known")
    elif settings.weight == "revenue":
        yield ("evaluation", "weight"), f"revenue needs `price`; {nearest('price', prices)}"


def _gates(config: Pipeline) -> Iterator[Finding]:
    from perennial.evaluation.metrics import METRICS

    for i, gate in enumerate(config.gates):
        place: Place = ("gates", i)
        yield from _choice((*place, "metric"), gate.metric, METRICS, "the metrics")
        yield from _choice((*place, "baseline"), gate.baseline, ("best", *BASELINES), "the baselines")
        if gate.slices is not None:
            yield from _choice((*place, "slices"), gate.slices, config.evaluation.slices, "evaluation.slices")
        needs_quantiles = gate.metric in METRICS and METRICS[gate.metric].quantiles
        if needs_quantiles and gate.against == "baseline":
            yield (*place, "against"), f"no baseline has quantiles, which {gate.metric} needs; use bound or champion"
        if needs_quantiles and not config.model.quantiles:
            yield (*place, "metric"), f"{gate.metric} needs quantiles; fill model.quantiles"


def _daily(config: Pipeline) -> Iterator[Finding]:
    slices = config.monitor.slices or ()
    yield from _unknown(("monitor", "slices"), slices, config.evaluation.slices, "evaluation.slices")
    rollout = config.rollout
    if rollout.by is not None:
        yield from _choice(("rollout", "by"), rollout.by, config.forecast.static, "forecast.static")
    if rollout.min_days > rollout.days:
        yield ("rollout", "min_days"), f"{rollout.min_days} is more than days: {rollout.days}; use min_days <= days"


def _unknown(place: Place, names: Iterable[str], allowed: Iterable[str], source: str) -> Iterator[Finding]:
    allowed = list(allowed)
    for i, name in enumerate(names):
        yield from _choice((*place, i), name, allowed, source)


def _choice(place: Place, name: str, allowed: Iterable[str], source: str) -> Iterator[Finding]:
    allowed = list(allowed)
    if name not in allowed:
        yield place, f"`{name}` is not in {source}; {nearest(name, allowed)}"
