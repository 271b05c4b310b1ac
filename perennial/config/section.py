"""What every section of a settings file has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are never coerced, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def flat(section: Section, prefix: str = "") -> dict[str, Any]:
    """Return the settings of a section as dotted names, for MLflow parameters."""
    out: dict[str, Any] = {}
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Section):
            out |= flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out
