"""What is too good to be true is said to be, and every metric has words."""

import pytest

from perennial.contracts import Score
from perennial.evaluation import catalogue
from perennial.evaluation.suspicion import too_good
from perennial.reports.kindwords import kind_words
from perennial.reports.metricwords import metric_words


def scores(**values: float) -> tuple[Score, ...]:
    """Return the log loss of some contenders."""
    made = {"metric": "log_loss", "part": "overall", "key": "", "rows": 100}
    return tuple(Score(contender=name, value=value, **made) for name, value in values.items())  # type: ignore[arg-type]


def test_a_leak_is_doubted_by_name() -> None:
    """An error of nearly nothing, made of one input, is worth a question."""
    found = scores(candidate=1e-6, champion=0.5, base_rate=0.67, past_rate=0.5)
    said = too_good(found, {"reason": 0.99, "age": 0.01}, ("log_loss",))
    assert said.startswith(
        "too good to be true? Its log_loss is 0.0% of the best simple rule's; 99% of what it learned is"
    )
    assert "reason" in said
    assert "what it learned" not in too_good(found, {"reason": 0.4, "age": 0.4}, ("log_loss",))


@pytest.mark.parametrize(
    "values", [{"candidate": 0.4, "base_rate": 0.67}, {"candidate": 0.0}, {"candidate": 0.0, "rule": 0.0}]
)
def test_a_good_model_is_not_doubted(values: dict[str, float]) -> None:
    """Nor one that nothing is known to be compared with."""
    assert too_good(scores(**values), {}, ("log_loss",)) == ""


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_every_kind_and_metric_has_words(kind: str) -> None:
    """A planner reads no `average_precision_error`."""
    assert (kind_words(kind) is kind_words("forecast")) == (kind == "forecast")
    for metric in catalogue.metrics(kind):
        words = metric_words(metric)
        assert words.says, metric
        assert "_" not in words.label
