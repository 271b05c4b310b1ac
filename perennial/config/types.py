"""Small types that several sections share."""

from typing import Annotated, Literal, get_args

from pydantic import Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A pipeline, known table or environment: lower case, digits, underscores."""
Column = Annotated[str, Field(min_length=1, max_length=128)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Ago = Annotated[int, Field(ge=0)]
"""Periods before the origin; a negative number would be the future."""
Span = Annotated[int, Field(ge=1)]
"""A number of periods."""
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[str, ...] = get_args(Weekday)
"""In the order of :meth:`datetime.date.weekday`."""
