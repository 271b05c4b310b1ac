"""How a pipeline tells that something could not be sold because it was not there."""

from pydantic import Field

from perennial.config.section import Section


class Stockouts(Section):
    """Sales of days without stock are not demand: they are taken as unknown, never as zero."""

    on_hand: str | None = Field(
        None, description="Column of `data.columns.extra` with the units on hand at the end of the day; 0: sold out."
    )
    infer: bool = Field(False, description="Also take days without a sale as sold out once so many are too unlikely.")
    alpha: float = Field(
        0.0001, gt=0, lt=1, description="For `infer`: how unlikely, given how often the series sold before."
    )
    longest: int = Field(28, ge=1, description="For `infer`: after so many days it has ended, and zero is zero.")

    @property
    def watched(self) -> bool:
        """Whether there is anything to tell them by."""
        return self.infer or self.on_hand is not None
