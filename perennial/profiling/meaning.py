"""What was decided about a table, in words that flows and files share."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Sure = Literal["sure", "likely", "a guess"]
KindName = Literal["forecast", "classify"]
Step = Literal["day", "week", "finer", "events"]
TIMES = re.compile(r"(^|_)(date|dt|dteday|ds|day|time|timestamp|datetime|datum|when|month|week|created|ts)(_|$)", re.I)
TARGETS = re.compile(
    r"(^|_)(y|target|label|class|outcome|cnt|count|sales|units|sold|demand|qty|quantity|value|volume|total|load"
    r"|consumption|fraud|churn|churned|cancelled|defaulted|converted|readmitted|amount|revenue|visits|orders|menge|absatz|umsatz|anzahl|verkauf|verkaufte"
    r"|verbrauch|nachfrage|ventes|ventas|quantite|cantidad|demande|demanda)(_|$)",
    re.I,
)
PRICES = re.compile(r"(^|_)(price|preis|prix|precio|cost|kosten|rabatt|discount|rate|temp|temperature)(_|$)", re.I)
IDS = re.compile(r"(^|_)(id|ids|key|code|nr|no|number|uuid|index|instant|row)(_|$)|id$", re.I)
SERIES = re.compile(
    r"(^|_)(store|shop|item|product|sku|article|customer|client|user|card|terminal|account|patient|merchant|site"
    r"|station|sensor|region|country|family|dept|device|meter)(_|$)|id$|name$|code$",
    re.I,
)
HOURS = re.compile(r"(^|_)(hr|hour|hours|hod|stunde|h)(_|$)", re.I)


def plain(name: str) -> str:
    """Return a column's name in a form that the patterns above know: no umlauts, ``_`` between its words."""
    ascii_ = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", ascii_)).strip("_")


UNIQUE = 0.995
"""Share of rows with a key of their own that makes it the key: a few repeats are mistakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the user said; ``None`` is guessed.

    Attributes:
        positive: Value of the target that is looked for (classify).
        start: First day of a table whose days have no date, ``YYYY-MM-DD``.
    """

    kind: KindName | None = None
    time: str | None = None
    entity: tuple[str, ...] | None = None
    target: str | None = None
    positive: str | None = None
    start: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """One decision about the table.

    Attributes:
        what: ``kind``, ``time``, ``entity``, ``target`` or ``step``.
        value: As a person would say it.
        choices: What else it could be, for a question; empty if there is nothing to ask.
    """

    what: str
    value: str
    sure: Sure
    why: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What the columns of a table mean.

    Attributes:
        time: Column of the date; ``None``: rows have none.
        hour: Column of the hour of the day beside the date.
        cycle: Column that runs through each day, in a table whose order is its only time.
        step: How far rows of one series are apart; ``finer`` than a day; ``events`` have no step.
        entity: Columns that name a series, or the row; empty: one series, or rows are numbered.
        weekdays: Weekdays that have rows, 0 for Monday.
    """

    kind: KindName
    time: str | None
    hour: str | None
    cycle: str | None
    step: Step
    entity: tuple[str, ...]
    target: str
    positive: str | None
    weekdays: tuple[int, ...]
    guesses: tuple[Guess, ...]

    @property
    def keys(self) -> set[str]:
        """Columns that are spoken for."""
        return {name for name in (self.time, self.hour, self.cycle, self.target, *self.entity) if name}
