"""The simulated shop: the same rows for the same seed, and errors where the truth says so."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perennial.simulate.anomalies import KINDS, VERDICT_DAYS, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the shop of seed 5."""
    out = tmp_path_factory.mktemp("shop")
    write(out, 5)
    return out


def test_the_same_seed_writes_the_same_rows(folder: Path, tmp_path: Path) -> None:
    """Equal seeds, equal tables; another seed is another shop."""
    again = write(tmp_path, 5)
    assert pq.read_table(folder / "transactions.parquet").equals(pq.read_table(again.files[0]))
    assert pq.read_table(folder / "truth.parquet").equals(pq.read_table(again.files[1]))
    assert again.rows == pq.read_table(again.files[0]).num_rows
    assert not pq.read_table(write(tmp_path, 6).files[0]).equals(pq.read_table(folder / "transactions.parquet"))


def test_verdicts_come_late_and_tell_the_truth(folder: Path) -> None:
    """A line stands there without a verdict first; its verdict comes a week later and agrees with the truth."""
    lines = pq.read_table(folder / "transactions.parquet").to_pandas()
    truth = set(pq.read_table(folder / "truth.parquet")["line"].to_pylist())
    first, later = lines[lines["verdict"].isna()], lines[lines["verdict"].notna()].set_index("line")
    assert first["line"].is_unique
    assert later.index.is_unique
    assert ((later["verdict"] == 1) == later.index.isin(truth)).all()
    entered = first.set_index("line").loc[later.index, "known"]
    assert ((later["known"] - entered).dt.days == VERDICT_DAYS).all()


def test_planted_prices_are_far_from_their_product(folder: Path) -> None:
    """The truth is in the numbers: wrong prices are many times the product's median."""
    lines = pq.read_table(folder / "transactions.parquet").to_pandas().drop_duplicates("line").set_index("line")
    truth = pq.read_table(folder / "truth.parquet").to_pandas()
    assert set(truth["error"]) == set(KINDS)
    wrong = lines.loc[truth.loc[truth["error"] == "price x 100", "line"]]
    usual = lines.groupby("product")["price"].median()
    ratio = wrong["price"] / usual[wrong["product"]].to_numpy()
    assert np.all(ratio > 50)
