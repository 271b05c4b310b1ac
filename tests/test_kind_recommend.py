"""Kind `recommend` from rows to lists and back: what is judged, what is published, what ripens."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from perennial.config.files import load_pipeline
from perennial.config.models import Pipeline
from perennial.contracts import Window
from perennial.errors import TrainingError
from perennial.evaluation.recommending import METRICS, losses
from perennial.evaluation.scores import score
from perennial.evaluation.sums import Grid
from perennial.features.choices import Choices
from perennial.features.panel import EPOCH, epoch_day
from perennial.kinds import recommend
from perennial.kinds.recommend import World
from tests.test_recommender import drawn

ROOT = Path(__file__).parent.parent
AS_OF = 59


@pytest.fixture(scope="module")
def cfg() -> Pipeline:
    """The shipped settings, with lists of four."""
    shipped = load_pipeline(ROOT / "configs" / "recommendations.yaml").config
    small = shipped.recommend.model_copy(update={"size": 4, "windows": 3, "factors": 4, "negatives": 20})
    return shipped.model_copy(update={"recommend": small})


@pytest.fixture(scope="module")
def world() -> World:
    """Two months of choices."""
    return World(choices=drawn(11, rows=1_200, items=60), as_of=AS_OF)


def published(world: World, cfg: Pipeline, as_of: int) -> pa.Table:
    """Return what would have been published on a day, by a model of that day."""
    then = replace(world, as_of=as_of)
    fitted = recommend.train(then, recommend.split(then, cfg), cfg, champion=None, threads=1)
    rows = pa.Table.from_batches(list(recommend.predict(then, cfg, fitted.model, threads=1)))
    return rows.append_column("as_of", pa.array([EPOCH + timedelta(days=as_of)] * len(rows), pa.date32()))


def test_candidate_and_baselines_are_judged_on_the_same_lists(world: World, cfg: Pipeline) -> None:
    """Every window ends by the as-of date, and a row is a place of the list of somebody who chose something."""
    split = recommend.split(world, cfg)
    model = recommend.train(world, split, cfg, champion=None, threads=1).model
    found = recommend.evaluate(world, split, cfg, {"candidate": model}, 1)
    rows = found.rows
    assert max(epoch_day(one.origin) + one.horizon for one in split.windows) == AS_OF
    assert min(epoch_day(one.origin) for one in split.windows) >= epoch_day(split.train_end)
    assert set(rows.forecasts) == {"candidate", "popularity", "recent_popularity"}
    assert (rows.horizon.reshape(-1, 4) == [1, 2, 3, 4]).all()
    assert (rows.y.reshape(-1, 4).sum(axis=1) == np.minimum(rows.extra["chosen"][::4], 4)).all()
    assert {one.metric for one in found.scores if one.part == "overall"} == set(METRICS)
    assert all(np.isfinite(one.value) for one in found.scores if one.part == "overall")


def test_losses_of_a_list_add_up_to_its_ndcg_error(world: World, cfg: Pipeline) -> None:
    """So a trial compares what the gates compare."""
    split = recommend.split(world, cfg)
    model = recommend.train(world, split, cfg, champion=None, threads=1).model
    rows = recommend.evaluate(world, split, cfg, {"candidate": model}, 1).rows
    metric, grid = METRICS["ndcg_error"], Grid(rows)
    everyone = np.ones((1, len(rows.entities))), np.ones((1, grid.n_days))
    expected = metric.weighted(metric.prepare(grid, "candidate"), *everyone)[0]
    assert losses(rows, "candidate").reshape(-1, 4).sum(axis=1).mean() == pytest.approx(expected)


def test_lists_name_nothing_twice_and_nothing_that_was_had(world: World, cfg: Pipeline) -> None:
    """Each user's places are filled in order, with newcomers under no name."""
    rows = published(world, cfg, AS_OF)
    assert len(set(rows["entity"].to_pylist())) == len(rows)
    known = world.choices.known(AS_OF)
    names = world.choices.users[known.activity > 0].tolist()
    assert set(rows["user"].to_pylist()) == {"", *names}
    had = {
        f"{world.choices.users[u]}/{world.choices.items[i]}"
        for u, i in zip(world.choices.user, world.choices.item, strict=True)
    }
    assert not had & set(rows["entity"].to_pylist())
    assert rows["y_hat"].null_count == 0


def test_lists_ripen_when_their_window_has_passed(world: World, cfg: Pipeline) -> None:
    """A week later the served lists are judged as they were shown; a day earlier they count as nothing."""
    rows = published(world, cfg, AS_OF - 7)
    ripe = recommend.mature(world, cfg, rows)
    early = recommend.mature(replace(world, as_of=AS_OF - 1), cfg, rows)
    assert len(ripe.y) > 0
    assert len(early.y) == 0
    assert score(early, cfg.evaluation) == () or all(np.isnan(one.value) for one in score(early, cfg.evaluation))
    chosen = world.choices.chosen(AS_OF - 7, AS_OF).toarray() > 0
    listed = {name: set() for name in rows["user"].to_pylist()}
    for user, item in zip(rows["user"].to_pylist(), rows["item"].to_pylist(), strict=True):
        listed[user].add(item)
    hits = 0
    for u in np.flatnonzero(chosen.any(axis=1)):
        mine = listed.get(str(world.choices.users[u]), listed[""])
        hits += len(mine & set(world.choices.items[chosen[u]].tolist()))
    assert ripe.forecasts["served"].sum() == hits


def test_backtest_is_what_the_version_was_judged_on(world: World, cfg: Pipeline) -> None:
    """The same rows as the evaluation, as contender `served`."""
    split = recommend.split(world, cfg)
    model = recommend.train(world, split, cfg, champion=None, threads=1).model
    judged = recommend.evaluate(world, split, cfg, {"candidate": model}, 1).rows
    again = recommend.backtest(world, cfg, model, EPOCH + timedelta(days=AS_OF), threads=1)
    assert (again.forecasts["served"] == judged.forecasts["candidate"]).all()


def test_who_was_away_is_judged_on_the_list_that_is_served(world: World, cfg: Pipeline) -> None:
    """With `active_days` that is the newcomers' list, in the evaluation as in what was published and ripened."""
    cfg = cfg.model_copy(update={"recommend": cfg.recommend.model_copy(update={"active_days": 3})})
    origin = AS_OF - cfg.recommend.window_days
    then = replace(world, as_of=origin)
    split = recommend.split(then, cfg)
    model = recommend.train(then, split, cfg, champion=None, threads=1).model
    rows = pa.Table.from_batches(list(recommend.predict(then, cfg, model, threads=1)))
    shown = rows.append_column("as_of", pa.array([EPOCH + timedelta(days=origin)] * len(rows), pa.date32()))
    served = recommend.mature(world, cfg, shown)
    window = Window(origin=EPOCH + timedelta(days=origin), horizon=cfg.recommend.window_days)
    judged = recommend.evaluate(world, replace(split, windows=(window,)), cfg, {"candidate": model}, 1).rows
    assert len(set(rows["user"].to_pylist())) < (world.choices.known(origin).activity > 0).sum()
    assert (served.extra["item/served"] == judged.extra["item/candidate"]).all()


def test_names_are_published_as_they_were(cfg: Pipeline) -> None:
    """The key escapes a slash and a percent sign; user and item by themselves do not."""
    choices = Choices.of(np.array(["a%2Fb", "ann"]), np.array(["AC%2FDC", "50%25 off"]), np.array([1, 1]))
    made = recommend.naive(World(choices=choices, as_of=1), cfg, EPOCH + timedelta(days=1))
    rows = pa.Table.from_batches(list(made))
    assert set(rows["user"].to_pylist()) == {"", "a/b", "ann"}
    assert set(rows["item"].to_pylist()) == {"AC/DC", "50% off"}
    listed = {"/AC%2FDC", "/50%25 off", "ann/AC%2FDC", "a%2Fb/50%25 off"}
    assert set(rows["entity"].to_pylist()) == listed


def test_without_a_model_everybody_is_listed_what_is_popular(world: World, cfg: Pipeline) -> None:
    """The last rungs of the ladder: recent popularity, and yesterday's lists under today's date."""
    day = EPOCH + timedelta(days=AS_OF)
    rows = pa.Table.from_batches(list(recommend.naive(world, cfg, day)))
    assert set(rows["user"].to_pylist()) == set(published(world, cfg, AS_OF)["user"].to_pylist())
    later = recommend.moved(rows, cfg, day + timedelta(days=1))
    assert set(later["ds"].to_pylist()) == {day + timedelta(days=2)}
    assert later["item"].equals(rows["item"])


def test_a_cohort_holds_whole_users(world: World, cfg: Pipeline) -> None:
    """Whatever a user may be listed belongs to the user's unit."""
    table = recommend.units(world, cfg, EPOCH + timedelta(days=AS_OF))
    pairs = dict(zip(table["entity"].to_pylist(), table["unit"].to_pylist(), strict=True))
    assert {pairs[name] for name in pairs if name.startswith("u1/")} == {"u1"}
    assert set(published(world, cfg, AS_OF)["entity"].to_pylist()) <= set(pairs)


def test_inputs_know_nothing_later(world: World, cfg: Pipeline) -> None:
    """What is logged at scoring is what is computed a week later for that day."""
    model = recommend.train(world, recommend.split(world, cfg), cfg, champion=None, threads=1).model
    day = EPOCH + timedelta(days=AS_OF - 7)
    now = recommend.inputs(world, cfg, model, day, threads=1)
    then = recommend.inputs(replace(world, as_of=AS_OF - 7), cfg, model, day, threads=1)
    assert now.equals(then)


def test_too_short_a_history_is_refused(world: World, cfg: Pipeline) -> None:
    """Nothing before the held-out days: said with what would help."""
    with pytest.raises(TrainingError, match="hold out less"):
        recommend.split(replace(world, as_of=8), cfg)
