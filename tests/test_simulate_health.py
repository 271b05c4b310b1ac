"""The simulated hospitals: the same bytes for the same seed, labels that mean what they say, an epidemic that bites."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perennial.evaluation.ranking import auc_error, brier
from perennial.simulate.health import RESPIRATORY, SOON, World, simulate, write

SMALL = World(patients=1500, days=200, change=150)
MADE = simulate(replace(SMALL, patients=6000), 4)


def test_equal_seeds_write_equal_bytes(tmp_path: Path) -> None:
    """Two worlds of one seed are the same files; another seed is another world; encounters are unique."""
    files = [write(tmp_path / name, seed, SMALL).files for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, again, other = ([Path(f).read_bytes() for f in one] for one in files)
    assert first == again
    assert first != other
    table = pq.read_table(tmp_path / "a" / "encounters")
    assert table["encounter"].to_pandas().is_unique
    assert table["discharged"].to_pandas().is_monotonic_increasing
    assert table["hba1c"].null_count > table["creatinine"].null_count > 0


def test_a_readmission_is_a_return_within_thirty_days() -> None:
    """Whoever is marked comes back in time, unless the world ends before; nobody else does."""
    order = np.lexsort((MADE.number, MADE.patient))
    patient, day, again = MADE.patient[order], MADE.day[order], MADE.readmitted[order]
    gap = np.where(np.append(patient[1:] == patient[:-1], False), np.append(np.diff(day), 0), 10_000)
    inside = day < SMALL.days - SOON
    assert np.array_equal(gap[inside] <= SOON, again[inside])


@pytest.mark.parametrize("epidemic", [False, True])
def test_the_true_risks_are_honest_and_tell_patients_apart(epidemic: bool) -> None:
    """Before and in the epidemic the mean risk is the rate, and a higher risk means more readmissions."""
    rows = (MADE.day >= SMALL.change) == epidemic
    y, risk, once = MADE.readmitted[rows].astype(float), MADE.risk[rows], np.ones((1, rows.sum()))
    assert risk.mean() == pytest.approx(y.mean(), abs=0.02)
    assert auc_error(y, risk, once)[0] < 0.3
    assert brier(y, risk, once)[0] < brier(y, np.full(len(y), y.mean()), once)[0]


def test_the_epidemic_changes_level_mix_and_relations() -> None:
    """Readmissions double, respiratory diagnoses multiply, and the old are no longer the ones at risk."""
    before = MADE.day < SMALL.change
    assert MADE.readmitted[~before].mean() > 1.8 * MADE.readmitted[before].mean()
    respiratory = MADE.code // 15 == RESPIRATORY
    assert respiratory[~before].mean() > 2.5 * respiratory[before].mean()
    slopes = [np.corrcoef(MADE.age[rows], MADE.risk[rows])[0, 1] for rows in (before, ~before)]
    assert slopes[0] > 0.1 > -0.1 > slopes[1]
