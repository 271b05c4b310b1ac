"""YAML in, validated settings out: what is refused, with which words, and what the digest covers."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from perennial.config import files as configfile
from perennial.config import modelerrors
from perennial.config.forecast import COMPUTED_SLICES
from perennial.errors import ConfigError
from perennial.evaluation import catalogue
from perennial.kinds.slices import COMPUTED
from perennial.models.baselines import BASELINES

ROOT = Path(__file__).parents[1]
PIPELINE: dict[str, Any] = {
    "pipeline": "demand",
    "kind": "forecast",
    "data": {
        "source": {"type": "files", "path": "data/sales.parquet"},
        "columns": {"entity": "product", "ds": "date", "y": "units", "extra": {"range": "range", "price": "price"}},
    },
    "forecast": {"horizon": 14, "static": ["range"], "observed": ["price"]},
    "evaluation": {"slices": ["range", "volume"], "weight": "revenue", "price": "price"},
    "gates": [{"metric": "wape", "against": "baseline"}],
}


def changed(place: str, value: Any) -> dict[str, Any]:
    """Return the valid pipeline with one setting replaced; ``place`` is dotted."""
    copy: Any = json.loads(json.dumps(PIPELINE))
    *outer, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner = copy
    for part in outer:
        inner = inner.setdefault(part, {}) if isinstance(part, str) else inner[part]
    inner[last] = value
    return dict(copy)


def written(folder: Path, content: Any) -> Path:
    """Write a pipeline file; a text is written as it is."""
    path = folder / "demand.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def refusal(folder: Path, content: Any) -> str:
    """Return the message with which a pipeline is refused."""
    with pytest.raises(ConfigError) as caught:
        configfile.load_pipeline(written(folder, content))
    return str(caught.value)


def test_a_valid_pipeline_is_loaded(tmp_path: Path) -> None:
    """YAML lists become tuples, and what was left out has its default."""
    loaded = configfile.load_pipeline(written(tmp_path, PIPELINE))
    assert loaded.config.forecast.static == ("range",)
    assert loaded.config.split.holdout == 28
    assert loaded.path.read_text() == loaded.text


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("gates.0.ration", 1.0, r"gates\.0\.ration: unknown key; did you mean `ratio`\? allowed: against, "),
        ("splitt", {}, "splitt: unknown key; did you mean `split`"),
        ("model.estimator", "lightgmb", "'lightgmb' is not allowed; did you mean `lightgbm`"),
        ("data.source.type", "file", "type 'file' is not allowed; did you mean `files`"),
        ("data.source.pth", "x", r"data\.source\.pth: unknown key; did you mean `path`"),
        ("data.source", {"type": "sql", "connection": "w", "table": "a; drop table b"}, "should match pattern"),
        ("data.columns.ds", None, "should be a valid string"),
        ("forecast.trim_leading_zeros", "yes", "'yes' is not a boolean; write true or false"),
        ("forecast.horizon", "28", "'28' should be a valid integer"),
        ("forecast.static", "range", "'range' should be a list"),
        ("model.params.depth", [1], r"\[1\] should be a valid integer, or should be a valid number"),
        ("gates", [], "at least 1 item"),
        ("gates.0.max", 1.0, "`max` belongs to `against: bound`"),
        ("gates.0.metric", "wappe", "`wappe` is not in the metrics; did you mean `wape`"),
        ("gates.0.metric", "pinball", "no baseline has quantiles"),
        ("gates.0.baseline", "lastvalue", "did you mean `last_value`"),
        ("gates.0.slices", "colour", r"`colour` is not in evaluation\.slices"),
        ("evaluation.slices", ["volumes"], r"evaluation\.slices\.0: `volumes` .* did you mean `volume`"),
        ("evaluation.horizons", [[1, 7], [8, 15]], r"horizons\.1: \[8, 15\] does not lie within horizon 1\.\.14"),
        ("evaluation.price", "prise", "`prise` is not in forecast.observed and known; did you mean `price`"),
        ("evaluation.price", None, "revenue needs `price`"),
        ("forecast.static", ["rang"], r"`rang` is not in data\.columns\.extra; did you mean `range`"),
        ("forecast.known", ["promo"], "`promo` is not in columns.extra of the known tables; allowed: none"),
        ("forecast.observed", ["price", "range"], "column `range` has several meanings"),
        ("forecast.features.holidays", "GBB", "did you mean `GB`"),
        ("forecast.closed_weekdays", ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "all seven weekdays"),
        ("data.columns.extra.ds", "day", "is the name of a column that every table has"),
        ("data.columns.y", None, "name the column that is to be predicted"),
        ("known.promos", {**PIPELINE["data"]}, "a table known in advance has no target"),
        ("data.columns.extra.restates", "x", "is the name of a column that every table has"),
        ("known.quarantine", {**PIPELINE["data"]}, "is the name of a table that every pipeline has"),
        ("split.step", 29, "holdout 28 is shorter than step 29"),
        ("guards.max_value", -1.0, "min_value 0 lies above max_value -1"),
        ("model.quantiles", [0.5, 0.5], "must increase"),
        ("monitor.slices", ["colour"], r"monitor\.slices\.0: `colour` is not in evaluation\.slices"),
        ("monitor.bad", 4, "can never happen"),
        ("rollout.by", "colour", "`colour` is not in the columns of this kind"),
        ("rollout.min_days", 8, "8 is more than days: 7"),
        ("delivery.deadline", "7 o'clock", "should match pattern"),
        ("timezone", "Europe/Londn", "did you mean `Europe/London`"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, place: str, value: Any, words: str) -> None:
    """The message holds the place, the value, what is allowed and what was probably meant."""
    with pytest.raises(ConfigError, match=words):
        configfile.load_pipeline(written(tmp_path, changed(place, value)))


def test_all_problems_come_at_once_with_their_lines(tmp_path: Path) -> None:
    """A file with several errors is refused once, in order of line."""
    text = yaml.safe_dump(PIPELINE, sort_keys=False) + "splitt: 1\nowner: 5\n"
    lines = len(text.splitlines())
    message = refusal(tmp_path, text)
    assert message.startswith("2 problems in ")
    assert message.index(f"demand.yaml:{lines - 1}: splitt") < message.index(f"demand.yaml:{lines}: owner: 5 should")


def test_a_missing_setting_says_what_it_is(tmp_path: Path) -> None:
    """A required setting is refused with the description that the schema has for it."""
    content = changed("data.columns", {"entity": "product", "y": "units"})
    assert "data.columns.ds: is required. Date of the row." in refusal(tmp_path, content)


@pytest.mark.parametrize("text", ["", "- 1", "5"])
def test_a_pipeline_is_a_mapping(tmp_path: Path, text: str) -> None:
    """A file without settings is refused with how it should start."""
    assert "holds no settings; start with `pipeline: ...`" in refusal(tmp_path, text)


def test_the_digest_ignores_form_and_covers_checks(tmp_path: Path) -> None:
    """Comments, order and spelled-out defaults do not change the digest; settings and checks do."""
    first = configfile.load_pipeline(written(tmp_path, PIPELINE)).digest
    respelled = {**dict(reversed(PIPELINE.items())), "split": {"holdout": 28}}
    path = written(tmp_path, "# a comment\n" + yaml.safe_dump(respelled))
    assert configfile.load_pipeline(path).digest == first
    configfile.checks_path(path).write_text("- expect: column_to_exist\n  column: y\n")
    with_checks = configfile.load_pipeline(path).digest
    other = configfile.load_pipeline(written(tmp_path, changed("split.holdout", 27))).digest
    assert len({first, with_checks, other}) == 3


def test_pipelines_are_found_by_name_or_path(tmp_path: Path) -> None:
    """A bare name is looked up in configs, a path is taken as it is, below the root if relative."""
    (tmp_path / "configs").mkdir()
    path = written(tmp_path / "configs", PIPELINE)
    (tmp_path / "configs/demand.checks.yaml").write_text("[]")
    for name in ("demand", "configs/demand.yaml", str(path)):
        assert configfile.find_pipeline(name, tmp_path) == path
    with pytest.raises(ConfigError, match=r"no pipeline 'demnd' .* did you mean `demand`\? allowed: demand \("):
        configfile.find_pipeline("demnd", tmp_path)
    with pytest.raises(ConfigError, match=r"has '\.\.' in its path"):
        configfile.find_pipeline("configs/../../etc/passwd", tmp_path)


def environment(root: Path, text: str, name: str = "local") -> None:
    """Write an environment file below a root."""
    folder = root / "configs/environments"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(f"environment: {name}\n{text}")


def test_home_is_absolute_and_filled_in(tmp_path: Path) -> None:
    """A relative home lies below the root, and every default lies below home."""
    environment(tmp_path, "home: state")
    env = configfile.load_environment(None, tmp_path)
    assert env.home == f"{tmp_path}/state"
    assert env.ledger == f"sqlite:///{tmp_path}/state/ledger.db"
    assert env.lake == f"{tmp_path}/state/lake"


def test_variables_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables and their defaults are used in nested settings too, and an empty one is null."""
    monkeypatch.setenv("A_BUCKET", "sales")
    monkeypatch.setenv("PERENNIAL_ENV", "far")
    text = "lake: s3://${A_BUCKET}/lake\ns3: {buckets: ['${A_BUCKET}'], endpoint_url: '${NONE_SUCH:-}'}\n"
    environment(tmp_path, text + "ledger: ${NONE_SUCH:-sqlite:///x}\n", "far")
    env = configfile.load_environment(None, tmp_path)
    assert (env.lake, env.s3.buckets, env.s3.endpoint_url) == ("s3://sales/lake", ("sales",), None)
    assert env.ledger == "sqlite:///x"


def test_missing_variables_are_all_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are not set are reported together, with lines; no value of another is shown."""
    monkeypatch.setenv("A_SECRET", "hunter2")
    environment(tmp_path, "lake: ${NONE_A}\nmodels: ${NONE_B}\nledger: ${A_SECRET}\n")
    with pytest.raises(ConfigError, match="2: lake: the environment variable NONE_A is not set") as caught:
        configfile.load_environment("local", tmp_path)
    assert "NONE_B" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_passwords_are_not_quoted(tmp_path: Path) -> None:
    """An address in the wrong place is refused without its password."""
    environment(tmp_path, "threads: postgresql://ann:hunter2@db/x")
    with pytest.raises(ConfigError, match=r"ann:\*\*\*@") as caught:
        configfile.load_environment("local", tmp_path)
    assert "hunter2" not in str(caught.value)
    assert modelerrors.redact("postgresql://db/x") == "postgresql://db/x"


def test_shipped_environments_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two files in configs/environments load, the one for production with its variables alone."""
    assert configfile.load_environment("local", ROOT).prefect == "background"
    for name, value in {"LEDGER_URL": "postgresql://x", "TRACKING_URL": "http://x", "BUCKET": "b"}.items():
        monkeypatch.setenv(f"PERENNIAL_{name}", value)
    assert configfile.load_environment("production", ROOT).s3.buckets == ("b",)


def test_a_project_without_environments_is_local(tmp_path: Path) -> None:
    """As the file that is shipped says; where there are environments, one has to be named rightly."""
    (tmp_path / "configs").mkdir()
    shipped = configfile.load_environment("local", ROOT)
    found = configfile.load_environment(None, tmp_path)
    here = json.dumps(shipped.model_dump(mode="json")).replace(str(ROOT), str(tmp_path))
    assert found.model_dump(mode="json") == json.loads(here)
    (tmp_path / "configs" / "environments").mkdir()
    with pytest.raises(ConfigError, match="there is no environment 'local'"):
        configfile.load_environment(None, tmp_path)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    """What is of the wrong type does not hide what contradicts another section, nor does it move its line."""
    path = tmp_path / "shops.yaml"
    path.write_text(
        "pipeline: shops\nkind: forecast\nas_of: 30.11.2024\n"
        "data:\n  source: {type: files, path: data/x.csv}\n  columns: {entity: shop, ds: date, y: units}\n"
        "guards: {min_rows: many}\nforecast: {horizn: 7}\nevaluation: {slices: [colour]}\n"
        "gates:\n  - {metric: wrmse, against: baseline, ratio: 1.0}\n  - {metric: wape, against: nobody}\n"
    )
    with pytest.raises(ConfigError) as error:
        configfile.load_pipeline(path)
    said = str(error.value)
    assert said.startswith("6 problems in ")
    for line, words in (
        (3, "allowed: yesterday"),
        (7, "min_rows"),
        (8, "horizn"),
        (9, "colour"),
        (11, "wrmse"),
        (12, "nobody"),
    ):
        assert any(f":{line}: " in one and words in one for one in said.splitlines()), (line, words, said)
    path.write_text(path.read_text().replace("pipeline: shops\n", ""))  # nothing can be made of the rest
    with pytest.raises(ConfigError, match="5 problems"):
        configfile.load_pipeline(path)


def test_the_schema_for_editors_is_up_to_date(tmp_path: Path) -> None:
    """configs/schema.json is what the models say; write_schema renews it."""
    configfile.write_schema(tmp_path / "schema.json")
    assert (tmp_path / "schema.json").read_text() == (ROOT / "configs/schema.json").read_text()


def test_the_names_of_baselines_and_slices_are_those_there_are() -> None:
    """The names a file may use are kept apart from what they name, whose import takes a second."""
    assert set(catalogue.baselines("forecast")) == set(BASELINES)
    assert set(COMPUTED_SLICES) == set(COMPUTED)
