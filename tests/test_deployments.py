"""What Prefect is told of a project: a deployment per flow and pipeline, forms with choices, hours that exist."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows import deployments
from flows.cli import app
from flows.lifecycle import approve
from flows.retrain import retrain
from perennial.config.choices import names
from perennial.config.files import load_pipeline
from perennial.errors import ConfigError
from tests import shop


def committed() -> dict[str, Any]:
    """Return the file that ``prefect deploy`` reads in a clone."""
    return yaml.safe_load((shop.ROOT / deployments.FILE).read_text())


def test_the_committed_file_is_what_the_pipelines_say() -> None:
    """``perennial deployments`` writes it again."""
    described = deployments.describe(shop.ROOT, "production", parameter="production")
    assert (shop.ROOT / deployments.FILE).read_text() == deployments.text(described)
    assert committed() == described


def test_every_flow_of_every_pipeline_is_deployed() -> None:
    """And the four decisions, once for all models."""
    found = {(one["entrypoint"], one["name"]) for one in committed()["deployments"]}
    flows = {(f"flows.{flow}.{flow}", name) for flow in deployments.FLOWS for name in names(shop.ROOT)}
    assert found == flows | {(f"flows.lifecycle.{flow}", "models") for flow in deployments.DECISIONS}
    assert {"demand", "m5"} <= set(names(shop.ROOT))


def test_schedules_keep_clear_of_the_hours_that_a_clock_change_takes() -> None:
    """Each in its pipeline's time zone; none where the pipeline wants none."""
    days = {one["name"]: one for one in committed()["deployments"] if one["entrypoint"] == "flows.day.day"}
    (schedule,) = days["demand"]["schedules"]
    assert (schedule["cron"], schedule["timezone"]) == ("0 5 * * *", "Europe/London")
    assert "schedules" not in days["m5"]
    assert not [one for one in committed()["deployments"] if one.get("schedules") and one not in days.values()]


@pytest.mark.parametrize("start", ["'02:30'", "'08:00'", "'07:00'"])
def test_a_start_in_the_night_or_after_the_deadline_is_refused(tmp_path: Path, start: str) -> None:
    """The message says what may stand there."""
    root = shop.write_project(tmp_path, shop.PIPELINE + f"delivery: {{start: {start}}}\n")
    with pytest.raises(ConfigError, match=r"must be 04:00 or later and before `deadline: '07:00'`, or null"):
        load_pipeline(root / "configs" / "shop.yaml")


def test_a_project_of_ones_own_gets_its_file(shop_root: Path) -> None:
    """Any folder with `configs/` will do; its own pipelines are in it."""
    done = CliRunner().invoke(app, ["deployments", "--env", "local"])
    assert done.exit_code == 0, done.output
    written = yaml.safe_load((shop_root / deployments.FILE).read_text())["deployments"]
    assert {one["name"] for one in written} == {"shop", "models"}
    assert written[0]["parameters"] == {"pipeline": "shop", "environment": "local"}


def test_forms_are_typed_and_explained(shop_root: Path) -> None:
    """Choices come from the project, dates are dates, numbers have bounds, and every field has a help text."""
    from prefect.utilities.callables import parameter_schema

    form = parameter_schema(retrain).model_dump()
    fields = form["properties"]
    assert list(fields) == ["pipeline", "as_of", "environment", "overrides"]
    assert fields["pipeline"]["enum"] == ["shop"]
    assert fields["environment"]["anyOf"][0] == {"enum": ["local", "production"], "type": "string"}
    assert fields["as_of"]["anyOf"][0]["format"] == "date"
    assert all(field["description"] for field in fields.values())
    inner = form["definitions"]["Overrides"]["properties"]
    seed = {name: inner["seed"][name] for name in ("type", "minimum", "exclusiveMaximum")}
    assert seed == {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**31}
    assert not [field for field in inner.values() if "default" in field]  # a form would send null back
    assert all(field["description"] for field in inner.values())
    assert parameter_schema(approve).model_dump()["properties"]["model"]["enum"] == ["shop"]


@pytest.mark.parametrize("empty", [{}, {"as_of": None, "environment": None}, {"overrides": {}}, {"overrides": None}])
def test_what_is_left_empty_in_a_form_is_accepted(shop_root: Path, empty: dict[str, Any]) -> None:
    """By the server's own validation, whether the form leaves a field out or sends null."""
    from prefect.utilities.callables import parameter_schema
    from prefect.utilities.schema_tools import validate

    form = parameter_schema(retrain).model_dump()
    validate({"pipeline": "shop", **empty}, form, raise_on_error=True, preprocess=True, ignore_required=False)
