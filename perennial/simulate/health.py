"""Discharges from six hospitals, with the risk of readmission in 30 days, and an epidemic that changes the rules.

Patients come once and, as their risk has it, again: within 30 days of a discharge (``readmitted`` is 1) or later.
The log-odds of a readmission add up what the columns say: age, visits in the year before, length of stay, source of
the admission, laboratory values, and the diagnosis, some of which are much more dangerous than others.

From day :attr:`World.change` on, an epidemic: respiratory diagnoses are four times as common and dangerous as they
never were, the young are hit and the old stay away, what creatinine told no longer holds, and everybody returns
more often. A model of the days before is wrong then, both in its level and in its order.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.contracts.simulated import Simulated
from perennial.durable import write_atomically
from perennial.features.panel import epoch_day

FIRST = date(2024, 1, 1)
SOON = 30
"""A return within so many days is a readmission."""
RACES = ("African", "Asian", "European", "Hispanic", "Other")
SHARES = (0.20, 0.08, 0.54, 0.12, 0.06)
SITES = ("Elm", "Hill", "Lake", "Mill", "Oak", "Shore")
SOURCES = ("emergency", "referral", "transfer")
LETTERS = "CEGIJKMNST"
"""First letters of diagnosis codes; J is respiratory, as in ICD-10."""
CODES = tuple(f"{letter}{n:02d}" for letter in LETTERS for n in range(15))
RESPIRATORY = LETTERS.index("J")
ROUNDS = 40

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The size of a world; the defaults make about 70,000 discharges in a few seconds.

    Attributes:
        change: First day of the epidemic, counted from 0; at or after ``days`` there is none.
    """

    patients: int = 46_000
    days: int = 540
    first: date = FIRST
    change: int = 330


@dataclass(frozen=True, slots=True, kw_only=True)
class Discharges:
    """All discharges in order of time, each array of shape (n,).

    Attributes:
        number: Which of the patient's discharges it is, from 0.
        risk: True probability of a readmission.
        visits: The patient's discharges in the 365 days before, with those elsewhere.
        labs: HbA1c in %, creatinine and haemoglobin in mg/dl and g/dl, shape (n, 3); nan where not measured.
    """

    patient: Ints
    number: Ints
    day: Ints
    age: Ints
    male: npt.NDArray[np.bool_]
    race: Ints
    site: Ints
    source: Ints
    stay: Ints
    visits: Ints
    medications: Ints
    code: Ints
    labs: Floats
    risk: Floats
    readmitted: npt.NDArray[np.bool_]


def write(folder: Path, seed: int, world: World | None = None) -> Simulated:
    """Write ``encounters/<month>.parquet`` and ``truth/risk.parquet`` (which nothing may train on).

    Columns of the encounters: encounter, patient, discharged (date), readmitted (0 or 1), age, sex, race, site,
    source, stay (days), visits, medications, age_group, diagnosis, hba1c, creatinine, haemoglobin.
    """
    size = world or World()
    made = simulate(size, seed)
    table = _table(made, size.first)
    month = np.array([(size.first + timedelta(days=d)).strftime("%Y-%m") for d in range(size.days)])[made.day]
    files = [
        _put(folder / "encounters" / f"{name}.parquet", table.filter(pa.array(month == name)))
        for name in np.unique(month)
    ]
    truth = pa.table({"encounter": table["encounter"], "risk": pa.array(made.risk)})
    files.append(_put(folder / "truth" / "risk.parquet", truth))
    before = made.day < size.change
    return Simulated(
        name="health",
        files=tuple(map(str, files)),
        rows=len(made.day),
        first=size.first,
        last=size.first + timedelta(days=size.days - 1),
        truth={
            "patients": int(np.unique(made.patient).size),
            "change_day": size.change,
            "rate_before": _mean(made.readmitted[before]),
            "rate_after": _mean(made.readmitted[~before]),
            "best_brier_before": _mean((made.risk * (1 - made.risk))[before]),
            "best_brier_after": _mean((made.risk * (1 - made.risk))[~before]),
        },
    )


def simulate(world: World, seed: int) -> Discharges:
    """Make the discharges of a world: everybody's first, then round by round those who return."""
    rng = np.random.default_rng(seed)
    n = world.patients
    people = {
        "age": np.clip(rng.normal(66, 15, n), 18, 99),
        "male": (rng.random(n) < 0.47).astype(np.float64),
        "race": rng.choice(len(RACES), n, p=SHARES).astype(np.float64),
        "site": rng.choice(len(SITES), n).astype(np.float64),
        "frail": rng.normal(0, 1, n),
    }
    patient, day = np.arange(n), rng.integers(-60, world.days, n)
    number, visits = np.zeros(n, np.int64), rng.poisson(0.5, n)
    rounds = []
    for _ in range(ROUNDS):
        one = _round(
            world, {name: values[patient] for name, values in people.items()}, patient, number, day, visits, rng
        )
        rounds.append(one)
        later = rng.random(len(patient)) < 0.25
        gap = np.where(one.readmitted, rng.integers(1, SOON + 1, len(day)), rng.integers(SOON + 1, 240, len(day)))
        back = (one.readmitted | later) & (day + gap < world.days)
        patient, day, number, visits = (patient[back], (day + gap)[back], number[back] + 1, visits[back] + 1)
        if not len(patient):
            break
    return _in_order(rounds, world)


def _round(
    world: World, who: dict[str, Floats], patient: Ints, number: Ints, day: Ints, visits: Ints, rng: np.random.Generator
) -> Discharges:
    """Draw one discharge of each given patient, and whether it is followed by a readmission."""
    n, epidemic = len(patient), day >= world.change
    weight = np.ones((2, len(LETTERS)))
    weight[1, RESPIRATORY] = 4 * len(LETTERS) / (len(LETTERS) - 1)
    edges = (weight / weight.sum(axis=1, keepdims=True)).cumsum(axis=1)
    letter = (rng.random(n)[:, None] > edges[epidemic.astype(int)]).sum(axis=1).clip(0, len(LETTERS) - 1)
    code = letter * 15 + np.minimum(rng.geometric(0.25, n) - 1, 14)
    source = (rng.random(n)[:, None] > np.where(epidemic[:, None], [0.75, 0.93], [0.55, 0.88])).sum(axis=1)
    stay = 1 + rng.poisson(np.exp(1.1 + 0.15 * who["frail"]))
    medications = rng.poisson(np.exp(2.4 + 0.12 * who["frail"]))
    labs = np.column_stack(
        [
            rng.normal(7.5 + 0.5 * who["frail"], 1.2),
            np.exp(rng.normal(0.05 + 0.25 * who["frail"], 0.3)),
            rng.normal(12.8 + 0.5 * who["male"] - 0.5 * who["frail"], 1.3),
        ]
    )
    odds = _log_odds(who, epidemic, visits, stay, source, code, labs)
    risk = 1 / (1 + np.exp(-odds))
    measured = rng.random((n, 3)) < np.array([0.35, 0.7, 0.75])
    return Discharges(
        patient=patient,
        number=number,
        day=day,
        age=who["age"].astype(np.int64),
        male=who["male"] > 0,
        race=who["race"].astype(np.int64),
        site=who["site"].astype(np.int64),
        source=source,
        stay=stay,
        visits=visits,
        medications=medications,
        code=code,
        labs=np.where(measured, np.round(labs, 1), np.nan),
        risk=risk,
        readmitted=rng.random(n) < risk,
    )


def _log_odds(
    who: dict[str, Floats],
    epidemic: npt.NDArray[np.bool_],
    visits: Ints,
    stay: Ints,
    source: Ints,
    code: Ints,
    labs: Floats,
) -> Floats:
    """Return the true log-odds of a readmission: before the epidemic, and in it."""
    danger = np.random.default_rng(7).normal(0, 0.8, len(CODES))  # of the world, not of the seed
    age, respiratory = (who["age"] - 66) / 15, code // 15 == RESPIRATORY
    common = -3.0 + 0.45 * np.minimum(visits, 5) + 0.06 * stay + np.array([0.35, 0.0, 0.2])[source] + danger[code]
    common = common + 0.1 * who["male"] + 0.25 * np.maximum(11.5 - labs[:, 2], 0)
    usual = common + 0.35 * age + 0.7 * np.log(labs[:, 1]) + 0.12 * (labs[:, 0] - 7.5)
    changed = common + 0.7 - 0.45 * age + 1.6 * respiratory
    return np.asarray(np.where(epidemic, changed, usual), dtype=np.float64)


def _in_order(rounds: list[Discharges], world: World) -> Discharges:
    """Put the rounds together, in order of day, patient and number; what lay before the first day is left out."""
    columns = {name: np.concatenate([getattr(one, name) for one in rounds]) for name in Discharges.__slots__}
    order = np.lexsort((columns["number"], columns["patient"], columns["day"]))
    order = order[(columns["day"][order] >= 0) & (columns["day"][order] < world.days)]
    return Discharges(**{name: values[order] for name, values in columns.items()})


def _table(made: Discharges, first: date) -> pa.Table:
    labs = [pa.array(column, mask=np.isnan(column)) for column in made.labs.T]
    return pa.table(
        {
            "encounter": pa.array([f"e{p:06d}-{k:02d}" for p, k in zip(made.patient, made.number, strict=True)]),
            "patient": pa.array([f"p{p:06d}" for p in made.patient.tolist()]),
            "discharged": pa.array((made.day + epoch_day(first)).astype(np.int32)).cast(pa.date32()),
            "readmitted": pa.array(made.readmitted.astype(np.float64)),
            "age": pa.array(made.age),
            "age_group": pa.array(
                np.select([made.age < 50, made.age < 65, made.age < 80], ["18-49", "50-64", "65-79"], "80+")
            ),
            "sex": pa.array(np.where(made.male, "male", "female")),
            "race": pa.array(np.array(RACES)[made.race]),
            "site": pa.array(np.array(SITES)[made.site]),
            "source": pa.array(np.array(SOURCES)[made.source]),
            "stay": pa.array(made.stay),
            "visits": pa.array(made.visits),
            "medications": pa.array(made.medications),
            "diagnosis": pa.array(np.array(CODES)[made.code]),
            **dict(zip(("hba1c", "creatinine", "haemoglobin"), labs, strict=True)),
        }
    )


def _put(path: Path, table: pa.Table) -> Path:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())
    return path


def _mean(values: npt.NDArray[np.generic]) -> float:
    return round(float(values.mean()), 6) if values.size else float("nan")
