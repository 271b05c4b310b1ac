"""Write ``docs/configuration.md`` from the settings' own models: ``python docs/build.py`` (or ``make docs``)."""

import json
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from perennial.config import classify, forecast, replenish  # noqa: E402
from perennial.config import models as config  # noqa: E402
from perennial.config.section import Section  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"
HEAD = """# Configuration

Two kinds of YAML files, both strict: an unknown key, a wrong type or a duplicate key is an error with its line, and all
errors are told at once (`perennial validate NAME`). This page is generated from the models in `perennial/config/models.py`
(`make docs`); a test keeps it true.
"""
SECTIONS = (
    ("A pipeline: `configs/<name>.yaml`", config.Pipeline),
    ("`data`: the observations", config.Table),
    ("`known.<name>`: covariates known in advance", config.KnownTable),
    ("`columns`", config.Columns),
    ("`source` with `type: files`", config.FileSource),
    ("`source` with `type: s3`", config.S3Source),
    ("`source` with `type: sql`", config.SqlSource),
    ("`source` with `type: predictions`", config.PredictionsSource),
    ("`guards`", config.Guards),
    ("`forecast`, with `kind: forecast`", forecast.Forecast),
    ("`forecast.features`", forecast.Features),
    ("`forecast.stockouts`", forecast.Stockouts),
    ("`classify`, with `kind: classify`", classify.Classify),
    ("`classify.features`", classify.EventFeatures),
    ("`classify.features.units`, a list", classify.UnitFeatures),
    ("`classify.costs`", classify.Costs),
    ("`classify.blend`, a list", classify.Member),
    ("`classify.estimate`", classify.Estimate),
    ("`replenish`, with `kind: replenish`", replenish.Replenish),
    ("`split`", config.SplitSettings),
    ("`model`", config.ModelSettings),
    ("`evaluation`", config.EvaluationSettings),
    ("`gates`, a list", config.Gate),
    ("`monitor`", config.Monitor),
    ("`retrain`", config.Retraining),
    ("`rollout`", config.Rollout),
    ("`delivery`", config.Delivery),
    ("An environment: `configs/environments/<name>.yaml`", config.Environment),
    ("`s3`", config.S3Settings),
    ("`channels.<name>`", config.Channel),
)
TAIL = """
## Expectations: `configs/<name>.checks.yaml`

A list; each entry names an expectation of Great Expectations without its prefix `expect_`, its arguments, and a severity.
`critical` (the default) fails the run, `warning` is recorded. They are judged on new rows when these land, and again when guards or checks change.

```yaml
- expect: column_values_to_be_between
  column: y
  min_value: 0
  max_value: 100000
  mostly: 0.999
  severity: warning
```

Refused are expectations that carry code or SQL, a `row_condition`, and those whose answer would depend on how rows are
batched; the message names what can be used instead.
"""


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(_section(title, model) for title, model in SECTIONS) + TAIL


def _section(title: str, model: type[Section]) -> str:
    doc = (model.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").replace("    ", "")
    rows = "".join(_row(name, field) for name, field in model.model_fields.items())
    return f"\n## {title}\n\n{doc}\n\n| setting | default | meaning |\n|---|---|---|\n{rows}"


def _row(name: str, field: FieldInfo) -> str:
    allowed = [str(a) for a in _literals(field.annotation)]
    meaning = field.description or ""
    if allowed:
        meaning = f"{meaning} One of {', '.join(f'`{a}`' for a in allowed)}.".strip()
    return f"| `{name}` | {_default(field)} | {meaning.replace('|', '/')} |\n"


def _literals(annotation: Any) -> list[Any]:
    args = get_args(annotation)
    if args and all(isinstance(a, str) for a in args):
        return list(args)
    return [x for a in args for x in _literals(a)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return "see below"
    return "" if value is None else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
