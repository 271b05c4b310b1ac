"""Rules of a pipeline that span several sections, each checked before any data is read."""

from collections.abc import Iterator
from functools import cache
from zoneinfo import available_timezones

from perennial.config.models import Pipeline, Table
from perennial.config.section import Finding, choice, unknown
from perennial.config.yamlsafe import Document, Place, Problem
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME
from perennial.evaluation import catalogue

RESERVED = frozenset({ENTITY, TIME, TARGET, AVAILABLE_AT, "landing", "restates", "reason"})
"""Column names that every table has, or gets on its way."""
OWN_TABLES = ("quarantine", "predictions", "beside", "inputs")
"""Tables beside the known ones, ``<pipeline>.<name>`` like them."""


def problems(config: Pipeline, document: Document) -> list[Problem]:
    """Return everything in which the sections of a pipeline contradict one another."""
    rules = (_kind, _columns, _privacy, _times, _model, _evaluation, _gates, _daily)
    return [document.problem(place, message) for rule in rules for place, message in rule(config)]


def _kind(config: Pipeline) -> Iterator[Finding]:
    """Refuse the sections of other kinds: they would be read by nobody."""
    for other in sorted((config.model_fields_set & set(catalogue.SECTIONS)) - {config.kind}):
        yield (other,), f"belongs to kind `{other}`, and this pipeline is of kind `{config.kind}`; remove it"
    yield from config.problem.problems(config)


def _columns(config: Pipeline) -> Iterator[Finding]:
    if config.data.columns.y is None:
        yield ("data", "columns", "y"), "is required: name the column that is to be predicted"
    for name, table in config.known.items():
        if table.columns.y is not None:
            yield ("known", name, "columns", "y"), "a table known in advance has no target; move it to `extra`"
        if name in OWN_TABLES:
            yield ("known", name), "is the name of a table that every pipeline has; rename it"
        yield from _reserved(("known", name), table)
    yield from _reserved(("data",), config.data)


def _privacy(config: Pipeline) -> Iterator[Finding]:
    tables = (config.data, *config.known.values())
    columns = [ENTITY, *(column for table in tables for column in table.columns.extra)]
    yield from unknown(("privacy", "identifiers"), config.privacy.identifiers, columns, "`entity` and columns.extra")


def _reserved(place: Place, table: Table) -> Iterator[Finding]:
    for column in sorted(RESERVED & set(table.columns.extra)):
        yield (*place, "columns", "extra", column), "is the name of a column that every table has; rename it"


def _times(config: Pipeline) -> Iterator[Finding]:
    if config.split.holdout < config.split.step:
        message = f"holdout {config.split.holdout} is shorter than step {config.split.step}: no window fits"
        yield ("split", "holdout"), f"{message}; use holdout >= step"
    low, high = config.guards.min_value, config.guards.max_value
    if low is not None and high is not None and low > high:
        yield ("guards", "min_value"), f"min_value {low:g} lies above max_value {high:g}; every row would fail"
    if config.timezone != "UTC":
        yield from choice(("timezone",), config.timezone, _zones(), "the time-zone database")


@cache
def _zones() -> frozenset[str]:
    """Ask once: the standard library walks its folders each time."""
    return frozenset(available_timezones())


def _model(config: Pipeline) -> Iterator[Finding]:
    quantiles = config.model.quantiles
    if list(quantiles) != sorted(set(quantiles)):
        yield ("model", "quantiles"), "must increase, each once, for example [0.05, 0.5, 0.95]"


def _evaluation(config: Pipeline) -> Iterator[Finding]:
    slices = config.evaluation.slices
    if "slices" in config.evaluation.model_fields_set or config.kind == "forecast":
        allowed = config.problem.slices(config)
        yield from unknown(("evaluation", "slices"), slices, allowed, "the columns and classes of this kind")


def _gates(config: Pipeline) -> Iterator[Finding]:
    metrics, baselines = catalogue.metrics(config.kind), catalogue.baselines(config.kind)
    for i, gate in enumerate(config.gates):
        place: Place = ("gates", i)
        yield from choice((*place, "metric"), gate.metric, metrics, "the metrics")
        yield from choice((*place, "baseline"), gate.baseline, ("best", *baselines), "the baselines")
        if gate.slices is not None:
            yield from choice((*place, "slices"), gate.slices, config.evaluation.slices, "evaluation.slices")
        if gate.set is not None:
            yield from choice((*place, "set"), gate.set, config.problem.sets(), "the evaluation sets")
        needs_quantiles = gate.metric in metrics and metrics[gate.metric].quantiles
        if needs_quantiles and gate.against == "baseline":
            yield (*place, "against"), f"no baseline has quantiles, which {gate.metric} needs; use bound or champion"
        if needs_quantiles and not config.model.quantiles:
            yield (*place, "metric"), f"{gate.metric} needs quantiles; fill model.quantiles"


def _daily(config: Pipeline) -> Iterator[Finding]:
    slices = config.monitor.slices or ()
    yield from unknown(("monitor", "slices"), slices, config.evaluation.slices, "evaluation.slices")
    if config.monitor.metric is not None:
        yield from choice(("monitor", "metric"), config.monitor.metric, catalogue.metrics(config.kind), "the metrics")
    rollout = config.rollout
    if rollout.by is not None:
        yield from choice(("rollout", "by"), rollout.by, config.problem.cohorts(config), "the columns of this kind")
    if rollout.min_days > rollout.days:
        yield ("rollout", "min_days"), f"{rollout.min_days} is more than days: {rollout.days}; use min_days <= days"
