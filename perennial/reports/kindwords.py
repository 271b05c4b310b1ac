"""How a report speaks of each kind of problem."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KindWords:
    """Words for one kind.

    Attributes:
        did: What every contender did, in the past tense.
        rows: What is compared, in the plural; ``{}`` stands for the number of ``entities``.
        entities: What is told apart by name, in the plural.
        totals: Whether the sum of what is forecast means something beside the sum of what came.
        pictures: Title of the charts.
        estimator: What is fitted, where that is no estimator of ``model``.
        use: What a model card says a version is for; ``{unit}`` is the target, ``{days}`` how far it reaches.
    """

    did: str
    rows: str
    entities: str
    totals: bool = False
    pictures: str
    estimator: str = ""
    use: str


_WORDS: Mapping[str, KindWords] = {
    "forecast": KindWords(
        did="forecast the days after training",
        rows="forecasts of {} series",
        entities="series",
        totals=True,
        pictures="Forecast against actual",
        use="Forecasts {unit} per series and day, up to {days} days ahead, with quantiles. It is meant for series of "
        "this pipeline and for dates after",
    ),
    "classify": KindWords(
        did="scored the events after training",
        rows="events",
        entities="events",
        pictures="Is it honest, and what is it worth?",
        use="Says of each event of a day how likely {unit} is, and raises an alert above the cheapest threshold. It is "
        "meant for events of this pipeline and for dates after",
    ),
    "anomaly": KindWords(
        did="looked through the events after training",
        rows="events",
        entities="events",
        pictures="Alerts by day",
        estimator="Peers and an isolation forest",
        use="Scores each event of a day against its peers and raises a few alerts with reasons. It is meant for events "
        "of this pipeline and for dates after",
    ),
    "recommend": KindWords(
        did="made lists for the days after training",
        rows="places of lists",
        entities="users",
        pictures="Hits",
        estimator="Recommender",
        use="Lists items for every user, for the {days} days ahead. It is meant for users and items of this pipeline "
        "and for dates after",
    ),
    "replenish": KindWords(
        did="ordered for the days after training",
        rows="days of {} products",
        entities="products",
        pictures="What was asked for, sold and held",
        estimator="Order policies by class",
        use="Orders each product for the day after a date, on the terms of its settings. It is meant for products of "
        "this pipeline and for dates after",
    ),
}


def kind_words(kind: str) -> KindWords:
    """Return how a report speaks of a kind; of an unknown one as of a forecast."""
    return _WORDS.get(kind, _WORDS["forecast"])
