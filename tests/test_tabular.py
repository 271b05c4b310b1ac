"""The classifier of mixed tables: learns from training units only, calibrated, deterministic, stored without pickle."""

import numpy as np
import pyarrow as pa
import pytest

from perennial.errors import ConfigError, TrainingError
from perennial.features.categories import encode, fit_encoding, folds
from perennial.models.calibration import calibrated, fit_calibration
from perennial.models.tabular import Recipe, TabularClassifier, fit
from perennial.registry.canonical import dumps, loads


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


RNG = np.random.default_rng(3)
ROWS = 4000
UNITS = RNG.integers(0, 1500, ROWS)
HELD = UNITS >= 1100
CODES = np.array([f"c{k}" for k in range(40)])
CODE = RNG.integers(0, 40, ROWS)
AGE = RNG.normal(60, 10, ROWS)
ODDS = -1.5 + np.linspace(-1.5, 1.5, 40)[CODE] + 0.05 * (AGE - 60)
Y = (RNG.random(ROWS) < sigmoid(ODDS)).astype(np.float64)
TABLE = pa.table(
    {
        "age": pa.array(AGE, mask=RNG.random(ROWS) < 0.1),
        "code": pa.array(CODES[CODE], mask=RNG.random(ROWS) < 0.3),
        "empty": pa.nulls(ROWS, pa.float64()),
    }
)


def fitted(estimator: str, threads: int = 1, **changes: object) -> TabularClassifier:
    """Fit on the table above."""
    given: dict[str, object] = {"estimator": estimator, "params": {}, **changes}
    return fit(TABLE, Y, UNITS, HELD, Recipe(**given), threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("estimator", ["hist_gradient_boosting", "linear"])
def test_recovers_risks_that_depend_on_a_code_and_a_number(estimator: str) -> None:
    """New units' risks rise with the true ones, and are as large as what happens."""
    risk = fitted(estimator).risk(TABLE)[HELD]
    assert np.corrcoef(risk, sigmoid(ODDS)[HELD])[0, 1] > 0.7
    assert risk.mean() == pytest.approx(Y[HELD].mean(), abs=0.02)


@pytest.mark.parametrize("estimator", ["hist_gradient_boosting", "linear"])
@pytest.mark.parametrize("calibration", ["sigmoid", "isotonic"])
def test_equal_fits_have_equal_bytes_and_come_back_from_them(estimator: str, calibration: str) -> None:
    """Two fits have one digest whatever the number of threads; the loaded model predicts the same."""
    one, two = (fitted(estimator, threads, calibration=calibration) for threads in (1, 2))
    blob = dumps(one)
    assert blob.digest == dumps(two).digest
    back = loads(blob.data, blob.digest)
    assert isinstance(back, TabularClassifier)
    assert np.array_equal(back.risk(TABLE), one.risk(TABLE))
    assert sum(back.importance().values()) == pytest.approx(1)


def test_held_units_teach_the_estimator_nothing() -> None:
    """Turning every held label round leaves encodings and estimator as they are."""
    one = fitted("linear", calibration="none")
    turned = fit(
        TABLE,
        np.where(HELD, 1 - Y, Y),
        UNITS,
        HELD,
        Recipe(estimator="linear", params={}, calibration="none"),
        threads=1,
    )
    assert dumps(one).digest == dumps(turned).digest


def test_units_on_both_sides_are_refused() -> None:
    """A split by row, which tells a patient's outcome to the model that is calibrated on it, is an error."""
    with pytest.raises(TrainingError, match="units are both trained and calibrated on"):
        fit(TABLE, Y, UNITS, np.arange(ROWS) % 3 == 0, Recipe(params={}), threads=1)


@pytest.mark.parametrize("estimator", ["hist_gradient_boosting", "linear"])
def test_a_column_that_is_missing_altogether_is_unknown(estimator: str) -> None:
    """Without a single laboratory value a risk is still given, and it is that of nulls."""
    model = fitted(estimator)
    blind = TABLE.set_column(1, "code", pa.nulls(ROWS, pa.string()))
    assert np.array_equal(model.risk(TABLE.set_column(1, "code", pa.nulls(ROWS))), model.risk(blind))
    assert np.isfinite(model.risk(blind)).all()


def test_a_code_never_gives_a_training_row_its_own_answer() -> None:
    """A column of names, one a unit, separates nothing in training: every row's number comes from other units."""
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(200), 10)
    y = np.repeat((rng.random(200) < 0.5).astype(float), 10)
    names = pa.array([f"patient {u}" for u in units])
    _, numbers = fit_encoding(names, y, folds(units, 0), min_rows=5)
    assert abs(np.corrcoef(numbers, y)[0, 1]) < 0.2


def test_rare_values_are_neither_learnt_nor_remembered() -> None:
    """A value of few rows is pooled, so that no text of one patient is kept in a model."""
    column = pa.array(["common"] * 50 + ["CANARY-PATIENT"] + [None])
    encoding, numbers = fit_encoding(column, np.ones(52), np.zeros(52, dtype=np.int64), min_rows=10)
    assert list(encoding.values) == ["common"]
    assert encode(pa.array(["new", "CANARY-PATIENT"]), encoding).tolist() == [encoding.other] * 2
    assert np.isnan(numbers[-1])


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_undoes_overconfidence(method: str) -> None:
    """Scores that are twice too sure become the risks they stand for."""
    rng = np.random.default_rng(1)
    true = rng.normal(-1, 1, 20_000)
    y = (rng.random(20_000) < sigmoid(true)).astype(float)
    score = sigmoid(2 * true + 1)
    risk = calibrated(score, fit_calibration(y, score, method))  # type: ignore[arg-type]
    assert np.abs(risk - sigmoid(true)).mean() < 0.02


def test_what_cannot_be_fitted_says_why() -> None:
    """Too few events for a calibration, one class only, an unknown parameter, a column that changed its type."""
    with pytest.raises(TrainingError, match="3 events and 17 non-events are left for calibration"):
        fit_calibration((np.arange(20) < 3).astype(float), np.zeros(20), "sigmoid")
    with pytest.raises(TrainingError, match="nothing to tell apart"):
        fit(TABLE, np.zeros(ROWS), UNITS, HELD, Recipe(params={}), threads=1)
    with pytest.raises(ConfigError, match="class_weight cannot be set for logistic"):
        fitted("linear", params={"random_state": 3})
    with pytest.raises(TrainingError, match="'code' is double, but was not in training"):
        fitted("linear").risk(TABLE.set_column(1, "code", TABLE["age"]))
    with pytest.raises(TrainingError, match="needs columns 'empty'"):
        fitted("linear").risk(TABLE.drop_columns(["empty"]))
