"""How the parameters of a run appear in a form: names to choose from, fields that may be left empty.

Only their JSON schema differs, which is what a deployment keeps of a flow: a server refuses what does not fit before
there is a run. What the flows accept from code and from the shell stays as the types say, paths included.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

CHECKS = ".checks.yaml"
DAY = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"


def names(root: Path, folder: str = "configs") -> tuple[str, ...]:
    """Return the pipelines of a project (or, of ``configs/environments``, its environments) in order of name."""
    files = (root / folder).glob("*.yaml")
    return tuple(sorted(path.stem for path in files if not path.name.endswith(CHECKS)))


@dataclass(frozen=True, slots=True)
class MayBeEmpty:
    """Marks a setting within a parameter that may be ``None``: its form is that of the other type, left empty.

    A schema that offers "null" beside it makes people choose between types before they see a field. Not for the
    parameters themselves: their default of null stays in the schema, and Prefect's form sends it back.
    """

    def __get_pydantic_json_schema__(self, core: "CoreSchema", handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        """Return the schema of the type that is not null."""
        return _filled(handler(core))


@dataclass(frozen=True, slots=True)
class Named:
    """Marks a parameter that is the name of a file in a folder of the project: those below the working folder."""

    folder: str

    def __get_pydantic_json_schema__(self, core: "CoreSchema", handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        """Return the schema of a text with the names to choose from."""
        found = list(names(Path.cwd(), self.folder))
        return {**handler(core), **({"enum": found} if found else {})}


def _filled(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the alternative of being null."""
    rest = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    return dict(rest[0]) if len(rest) == 1 else dict(schema)


PipelineChoice = Annotated[str, Named("configs")]
EnvironmentChoice = Annotated[str, Named("configs/environments")] | None
Day = Annotated[date, Field(json_schema_extra={"pattern": DAY})] | None
Number = Annotated[int | None, MayBeEmpty()]
