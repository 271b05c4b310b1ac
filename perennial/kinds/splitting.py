"""Where training ends and which windows judge."""

from datetime import date, timedelta

from perennial.config.models import Pipeline
from perennial.contracts import Split, Window
from perennial.errors import TrainingError
from perennial.features import Panel


def windows(cfg: Pipeline, as_of: date) -> tuple[Window, ...]:
    """Return the test windows of a run on ``as_of``, in order of origin."""
    return tuple(
        Window(origin=as_of - timedelta(days=left), horizon=min(cfg.forecast.horizon, left))
        for left in range(cfg.split.holdout, 0, -cfg.split.step)
    )


def split(data: Panel, cfg: Pipeline) -> Split:
    """Divide history into training days and rolling-origin test windows.

    Raises:
        TrainingError: There are fewer days of history than are held out.
    """
    as_of, held = data.as_of, cfg.split.holdout
    train_end = as_of - timedelta(days=held + cfg.split.gap)
    end = data.column(train_end)
    if end < 0:
        raise TrainingError(
            f"{cfg.pipeline}: {data.n_days} days of history, but split.holdout + split.gap is "
            f"{held + cfg.split.gap}; wait for more history or hold out less"
        )
    new = data.entities[data.first > end]
    return Split(
        train_end=train_end, windows=windows(cfg, as_of), entities=data.n_entities, new_entities=tuple(map(str, new))
    )
