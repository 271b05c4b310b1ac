"""A result that is too good to be true mostly is: something was known that will not be known in time."""

from collections.abc import Mapping, Sequence

from perennial.config.models import Pipeline
from perennial.contracts import Score
from perennial.evaluation.gates import CANDIDATE, CHAMPION

LOSSES = frozenset(
    (
        *("wape", "mae", "rmse", "mase", "rmsse", "wrmsse", "pinball"),
        *("brier", "log_loss", "auc_error", "average_precision_error"),
    )
)
"""What is zero for somebody who knows what will happen; a bias or a share of errors can be zero by itself."""
TOO_GOOD = 0.02
"""Error as a share of the best simple rule's, below which somebody should ask why."""
MOST = 0.5
"""Share of what a model has learned that makes one input worth naming."""


def against_rules(cfg: Pipeline) -> tuple[str, ...]:
    """Return the metrics by which the gates of a pipeline compare with simple rules."""
    return tuple(dict.fromkeys(gate.metric for gate in cfg.gates if gate.against == "baseline"))


def too_good(scores: Sequence[Score], importance: Mapping[str, float], metrics: Sequence[str]) -> str:
    """Return why a candidate's figures deserve a second look; empty if they do not.

    Args:
        scores: Overall figures of the candidate and of simple rules.
        importance: Share of what the candidate has learned, by input.
        metrics: From :func:`against_rules`.
    """
    for metric in metrics:
        if metric not in LOSSES:
            continue
        found = {s.contender: s.value for s in scores if s.part == "overall" and s.metric == metric}
        rules = [value for name, value in found.items() if name not in (CANDIDATE, CHAMPION) and value > 0]
        if CANDIDATE in found and rules and found[CANDIDATE] < TOO_GOOD * min(rules):
            first = max(importance, key=importance.__getitem__, default="")
            why = f"; {importance[first]:.0%} of what it learned is {first}" if importance.get(first, 0) > MOST else ""
            return (
                f"too good to be true? Its {metric} is {found[CANDIDATE] / min(rules):.1%} of the best simple rule's"
                f"{why}. See that nothing it is given is known only afterwards"
            )
    return ""
