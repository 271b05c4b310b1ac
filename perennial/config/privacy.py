"""What of a table tells who somebody is, and must not be seen behind the border."""

from typing import Annotated

from pydantic import Field

from perennial.config.section import Section


class Privacy(Section):
    """People in the data. With ``identifiers`` nothing that is written tells who somebody is, or shows one row."""

    identifiers: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")], ...] = Field(
        (),
        description="`entity` and columns of `extra` that name people or their records. They are replaced by"
        " pseudonyms while the source is read; no table, log, report or model ever holds the original.",
    )

    @property
    def hidden(self) -> bool:
        """Whether single rows and entities are kept out of reports, logs and artifacts."""
        return bool(self.identifiers)
