"""When a new model is wanted without anybody asking."""

from datetime import date

from perennial.config.operation import Retraining
from perennial.contracts import Health


def due(settings: Retraining, *, as_of: date, trained: date | None, health: Health, new_rows: int) -> str:
    """Return why a model should be trained as of a date; empty if it should not.

    Args:
        settings: The policy.
        as_of: Business date.
        trained: As-of date of the newest version, promoted or not; ``None`` before the first.
        health: What the monitor says.
        new_rows: Rows landed since then.

    Example:
        >>> due(Retraining(policy="every", days=7), as_of=date(2024, 1, 8), trained=date(2024, 1, 1),
        ...     health="healthy", new_rows=0)
        'the newest model is 7 days old (policy: every 7 days)'
    """
    if settings.policy == "never":
        return ""
    if trained is None:
        return "no model was ever trained"
    age = (as_of - trained).days
    if age <= 0:
        return ""
    if settings.new_rows is not None and new_rows >= settings.new_rows:
        return f"{new_rows:,} rows landed since the newest model (policy: {settings.new_rows:,})"
    if settings.policy == "daily":
        return "a new business date (policy: daily)"
    if settings.policy == "degraded" and health == "degraded" and age > settings.cooldown_days:
        return f"accuracy is degraded, and the newest model is {age} days old"
    if age >= settings.days:
        return f"the newest model is {age} days old (policy: every {settings.days} days)"
    return ""
