"""Settings that somebody gives for one run: part of its run key, and gone afterwards.

Only how a model is fitted may be changed so. What the data must be like and what a good model is stays in the
pipeline's file, where it is reviewed: nobody talks a weak model through its gates from a form.
"""

from collections.abc import Iterable
from typing import Any

import yaml
from pydantic import ConfigDict, Field, ValidationError

from perennial.config.choices import Number
from perennial.config.section import Section
from perennial.errors import ConfigError, sample

PREFIX = "model."


def _without_null(schema: dict[str, Any]) -> None:
    """Drop defaults of null: a form would send them back for each field that was left empty, and be refused."""
    for field in schema["properties"].values():
        if field.get("default", ...) is None:
            del field["default"]


class Overrides(Section):
    """Settings of `model` for this run alone. What is left empty stays as the pipeline's file has it."""

    model_config = ConfigDict(json_schema_extra=_without_null)

    seed: Number = Field(None, ge=0, lt=2**31, description="Another seed: another draw of rows, another fit.")
    rows: Number = Field(None, ge=1_000, description="Training rows drawn at random.")
    history_days: Number = Field(None, ge=1, description="Target days that rows are drawn from.")
    bags: Number = Field(None, ge=1, le=10, description="Models whose forecasts are averaged.")
    params: dict[str, int | float | str | bool | None] = Field(
        default_factory=dict, description='Keyword arguments of the estimator, for example {"max_iter": 200}.'
    )

    def applied(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a pipeline's file with these in their places.

        Example:
            >>> Overrides(seed=3, params={"max_iter": 9}).applied({"model": {"params": {"loss": "poisson"}}})
            {'model': {'params': {'loss': 'poisson', 'max_iter': 9}, 'seed': 3}}
        """
        given = {name: value for name, value in self if value is not None and name != "params"}
        before = settings.get("model") or {}
        if not isinstance(before, dict) or not isinstance(before.get("params") or {}, dict):
            return settings  # not valid in any case; validation says why
        params = {"params": {**(before.get("params") or {}), **self.params}} if self.params else {}
        return {**settings, "model": {**before, **params, **given}}


OfOneRun = Overrides | None


def parse(words: Iterable[str]) -> Overrides | None:
    """Return what ``--set model.seed=3 --set model.params.max_iter=200`` says; ``None`` if it says nothing.

    Raises:
        ConfigError: A name is not one that may be set for one run, or its value does not fit.

    Example:
        >>> parse(["model.seed=3", "model.params.max_iter=200"]).params
        {'max_iter': 200}
    """
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        key, dot, inner = name.removeprefix(PREFIX).partition(".")
        known = key in Overrides.model_fields and (key == "params") == bool(dot)
        if not (equals and known and name.startswith(PREFIX)):
            raise ConfigError(f"{sample([word])} cannot be set for one run; write {', '.join(_names())}")
        if dot:
            given.setdefault("params", {})[inner] = _scalar(word, text)
        else:
            given[key] = _scalar(word, text)
    try:
        return Overrides.model_validate(given) if given else None
    except ValidationError as error:
        problems = (f"{PREFIX}{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"these settings do not fit: {'; '.join(problems)}") from None


def _scalar(word: str, text: str) -> int | float | str | bool | None:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if value is not None and not isinstance(value, int | float | str | bool):
        raise ConfigError(f"{sample([word])} holds more than one value; give a number, a word, true or false")
    return value


def _names() -> list[str]:
    return [f"{PREFIX}{name}{'.NAME' if name == 'params' else ''}=VALUE" for name in Overrides.model_fields]
