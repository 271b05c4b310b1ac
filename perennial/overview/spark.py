"""A series of figures as a small picture, in text or in points of a drawing; zero is always the floor."""

import math
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
GAP = "·"


def spark(values: Sequence[float], width: int = 0) -> str:
    """Return one character for each value: the full bar is the largest, and heights are in proportion to it.

    Args:
        values: >= 0; what is not finite becomes a dot.
        width: Only the last so many; 0 takes all.

    Example:
        >>> spark([0.2, 0.4, float("nan"), 0.8])
        '▂▄·█'
    """
    shown = values[-width:] if width else values
    top = max((v for v in shown if math.isfinite(v)), default=0.0)
    return "".join(_bar(v, top) for v in shown)


def _bar(value: float, top: float) -> str:
    if not math.isfinite(value):
        return GAP
    level = math.ceil(value / top * len(BARS)) if top > 0 else 1
    return BARS[min(max(level, 1), len(BARS)) - 1]


def spark_points(
    values: Sequence[float], width: float, height: float, top: float = 0.0
) -> tuple[tuple[float, float] | None, ...]:
    """Return where each value lies in a box, from its upper left corner; ``None`` where it is not finite.

    Args:
        values: >= 0, evenly spaced; the first lies on the left edge, the last on the right one.
        width: Of the box.
        height: Of the box: its lower edge is zero, its upper one the largest value.
        top: What the upper edge stands for, if that is more.
    """
    highest = max((v for v in (*values, top) if math.isfinite(v)), default=0.0) or 1.0
    step = width / max(len(values) - 1, 1)
    return tuple(
        (round(n * step, 2), round(height - max(v, 0.0) / highest * height, 2)) if math.isfinite(v) else None
        for n, v in enumerate(values)
    )
