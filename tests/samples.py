"""A realistic run to render: measured, judged and drawn by the project's own code on real sales."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from hashlib import sha256

from perennial.config.models import Pipeline
from perennial.contracts import (
    Check,
    CheckReport,
    Decision,
    Evaluation,
    Landing,
    ModelVersion,
    RowCounts,
    Snapshot,
    Split,
    StoredFile,
    TablePin,
    Training,
    Window,
)
from perennial.evaluation.gates import judge
from perennial.evaluation.scores import per_entity, score
from perennial.reports import Quarantined, ReportInput
from tests.samplesales import AS_OF, HISTORY, charts, day_of, origins, rows, sales

PIPELINE = Pipeline.model_validate_json("""{
  "pipeline": "demand", "kind": "forecast", "owner": "demand-planning",
  "description": "Units sold per product and day, four weeks ahead",
  "data": {"source": {"type": "files", "path": "data/online_retail_ii/daily_sales.parquet"},
           "columns": {"entity": "product", "ds": "date", "y": "units", "extra": {"range": "range", "price": "price"}}},
  "forecast": {"horizon": 28, "closed_weekdays": ["sat"], "static": ["range"], "observed": ["price"]},
  "model": {"rows": 300000, "history_days": 365, "seed": 7},
  "evaluation": {"slices": ["volume", "intermittency"]},
  "gates": [{"metric": "wape", "against": "baseline", "ratio": 0.98},
            {"metric": "bias", "against": "bound", "max": 0.25},
            {"metric": "wape", "against": "champion", "ratio": 1.01, "confidence": 0.95},
            {"metric": "wape", "against": "champion", "ratio": 1.05, "slices": "volume"},
            {"metric": "instability", "against": "champion", "ratio": 1.25}]}""")


def evaluation(*, champion: bool = True) -> Evaluation:
    """Return the evaluation of the candidate on real sales."""
    test = rows(champion=champion)
    return Evaluation(scores=score(test, PIPELINE.evaluation), rows=test, per_entity=per_entity(test), charts=charts())


def digest(text: str) -> str:
    """Return a SHA-256 that looks real because it is one."""
    return sha256(text.encode()).hexdigest()


def model_version(number: int, as_of: date) -> ModelVersion:
    """Return a registered version."""
    return ModelVersion(
        model="demand",
        version=number,
        run_key=digest(f"key {number}"),
        digest=digest(f"model {number}"),
        snapshot_id=digest(f"snapshot {number}"),
        as_of=as_of,
        mlflow_run=digest(f"run {number}")[:32],
        mlflow_version=number,
        state="registered",
        created_at=datetime(2026, 11, 23, 6, 40, tzinfo=UTC),
    )


CHECKS = CheckReport(
    checks=(
        *(
            Check(
                name=n,
                table="demand",
                column=c,
                origin="guard",
                severity="critical",
                passed=True,
                observed=o,
                expected=e,
            )
            for n, c, o, e in (
                ("rows", None, "507,861", "at least 10,000"),
                ("entities", "entity", "4,842", "at least 1,000"),
                ("null rate", "y", "0 %", "at most 0 %"),
                ("quarantine rate", None, "0.2 %", "at most 1 %"),
                ("age", "ds", "0 days", "at most 3 days"),
                ("missing days", "ds", "0", "at most 2 of the last 28"),
                ("coverage of the newest day", "ds", "104 %", "at least 40 %"),
            )
        ),
        *(
            Check(
                name=n,
                table="demand",
                column=c,
                origin="expectation",
                severity=s,
                passed=p,
                observed=o,
                expected=e,
                samples=x,
            )
            for n, c, s, p, o, e, x in (
                ("column_values_to_not_be_null", "entity", "critical", True, "0 % null", "none", ()),
                ("column_values_to_be_between", "y", "critical", True, "1 to 12,540", "1 to 100,000", ()),
                ("column_values_to_match_regex", "entity", "warning", True, "100 %", "five digits, then letters", ()),
                (
                    "column_values_to_be_between",
                    "price",
                    "warning",
                    False,
                    "3 outside",
                    "0.01 to 500",
                    ("649.5", "1042.8"),
                ),
                ("column_mean_to_be_between", "y", "warning", True, "20.4", "5 to 60", ()),
            )
        ),
    ),
    docs="docs/demand/index.html",
    seconds=1.9,
)

LANDING = Landing(
    landing_id=digest("landing"),
    pipeline="demand",
    table="demand",
    as_of=AS_OF,
    version_before=3,
    version_after=4,
    files=(StoredFile(path="part-0.parquet", sha256=digest("part"), size=182_344),),
    sources=(StoredFile(path="data/online_retail_ii/daily_sales.parquet", sha256=digest("src"), size=1_863_337),),
    counts=RowCounts(
        rows_in=11_894,
        accepted=11_862,
        quarantined=25,
        duplicates=7,
        reasons={"below_min_value": 19, "conflict": 4, "bad_date": 2},
    ),
    first_visible=AS_OF,
)

TRAINING = Training(
    params={"loss": "poisson", "max_iter": 80, "max_leaf_nodes": 31, "learning_rate": 0.1, "seed": 7},
    rows=300_000,
    features=("mean_7", "mean_28", "mean_56", "mean_182", "weekday_mean_8", "horizon", "day_of_week", "price"),
    importance={
        "weekday_mean_8": 0.31,
        "mean_28": 0.22,
        "mean_56": 0.14,
        "price": 0.09,
        "days_since_sale": 0.08,
        "mean_182": 0.06,
        "horizon": 0.05,
        "day_of_week": 0.03,
        "holiday_distance": 0.02,
    },
    mode="refit",
)


SNAPSHOT = Snapshot(
    snapshot_id=digest("snapshot"),
    pipeline="demand",
    as_of=AS_OF,
    cutoff=datetime(2011, 11, 21, tzinfo=UTC),
    main=TablePin(table="demand", version=4, landings=(digest("landing"),)),
    known={},
)

QUARANTINE = (
    Quarantined(table="demand", reason="below_min_value", rows=19, samples=("85123A 2011-11-14 y=-12",)),
    Quarantined(table="demand", reason="conflict", rows=4, samples=("22423 2011-11-16 y=31", "22423 2011-11-16 y=13")),
    Quarantined(table="demand", reason="bad_date", rows=2, samples=("21212 date=31/11/2011",)),
)

LINEAGE = {
    "code": digest("code"),
    "lock file": digest("lock"),
    "configuration": digest("config"),
    "MLflow run": digest("run")[:32],
    "git commit": "2f6c1d9e0b7a",
}


@cache
def report(*, champion: bool = True) -> ReportInput:
    """Return a complete report in which the candidate is judged by the configured gates."""
    found = evaluation(champion=champion)
    codes, _ = sales()
    number = 7 if champion else 1
    return ReportInput(
        pipeline=PIPELINE,
        snapshot=SNAPSHOT,
        landings=(LANDING,),
        checks=CHECKS,
        quarantine=QUARANTINE,
        split=Split(
            train_end=day_of(origins()[0]),
            windows=tuple(Window(origin=day_of(c), horizon=HISTORY - 1 - c) for c in origins()),
            entities=codes.size,
            new_entities=tuple(codes[-14:].tolist()),
        ),
        training=TRAINING,
        evaluation=found,
        decision=judge(found, PIPELINE.gates),
        version=model_version(number, AS_OF),
        champion=model_version(6, AS_OF - timedelta(days=28)) if champion else None,
        lineage=LINEAGE,
        seconds={
            "extract": 3.8,
            "check": 1.9,
            "split": 1.2,
            "train": 8.5,
            "evaluate": 4.1,
            "decide": 2.2,
            "register": 1.6,
        },
        peak_mib=912.0,
        rows=507_861,
        generated_at=datetime(2026, 11, 23, 6, 42, tzinfo=UTC),
    )


def refused() -> ReportInput:
    """Return the same run with candidate and champion exchanged, so that the gates refuse it."""
    found = report()
    swap = {"candidate": "champion", "champion": "candidate"}
    test = found.evaluation.rows
    swapped = replace(
        test,
        forecasts={k: test.forecasts[swap.get(k, k)] for k in test.forecasts},
        quantiles={k: test.quantiles[swap.get(k, k)] for k in test.quantiles},
    )
    judged = replace(found.evaluation, rows=swapped, scores=score(swapped, PIPELINE.evaluation))
    return replace(found, evaluation=judged, decision=judge(judged, PIPELINE.gates))


def undecided() -> Decision:
    """Return a decision without a single verdict, which promotes nothing."""
    return Decision(verdicts=())
