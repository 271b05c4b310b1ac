"""Names that a form offers: those of the files in a folder of the project, read when the form is described."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

CHECKS = ".checks.yaml"


def names(root: Path, folder: str = "configs") -> tuple[str, ...]:
    """Return the pipelines of a project (or, of ``configs/environments``, its environments) in order of name."""
    files = (root / folder).glob("*.yaml")
    return tuple(sorted(path.stem for path in files if not path.name.endswith(CHECKS)))


@dataclass(frozen=True, slots=True)
class Named:
    """Marks a parameter that is the name of a file in a folder of the project.

    Its JSON schema, which is all that a deployment keeps, lists the files below the working folder: a server refuses
    another name before there is a run. Calls from code and shell may give a path as well.
    """

    folder: str

    def __get_pydantic_json_schema__(self, core: "CoreSchema", handler: "GetJsonSchemaHandler") -> dict[str, Any]:
        """Add the names to the schema of a text."""
        found = list(names(Path.cwd(), self.folder))
        return {**handler(core), **({"enum": found} if found else {})}


PipelineChoice = Annotated[str, Named("configs")]
EnvironmentChoice = Annotated[str, Named("configs/environments")]
