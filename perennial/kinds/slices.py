"""Parts of the assortment that are judged apart: static columns, and classes computed from training days."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from perennial.errors import ConfigError
from perennial.features.panel import Panel

NEW_DAYS = 56
"""A series whose first row is at most this old at the end of training is new."""

Labels = npt.NDArray[np.str_]


def slice_names(panel: Panel, end: int, wanted: Iterable[str]) -> dict[str, Labels]:
    """Return the label of every entity for each slice, using days up to column ``end``.

    Args:
        panel: Series and their static columns.
        end: Last training day.
        wanted: Static columns, or ``volume``, ``intermittency``, ``novelty``.

    Raises:
        ConfigError: A slice is neither.
    """
    return {name: _labels(panel, end, name) for name in dict.fromkeys(wanted)}


def _labels(panel: Panel, end: int, name: str) -> Labels:
    if name in COMPUTED:
        return COMPUTED[name](panel, end)
    if name in panel.static:
        labels = panel.static[name]
        return np.array([*labels.names, "unknown"], dtype=np.str_)[labels.codes]
    allowed = ", ".join([*panel.static, *COMPUTED])
    raise ConfigError(f"evaluation.slices: {name!r} is not one of {allowed}")


def volume(panel: Panel, end: int) -> Labels:
    """Return A for the best sellers that make up 80 % of units, B for the next 15 %, C for the rest."""
    units = np.nan_to_num(panel.y[:, : end + 1]).sum(axis=1, dtype=np.float64)
    order = np.argsort(-units, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(units[order])[:-1]]) / max(units.sum(), 1e-12)
    out = np.empty(len(units), dtype="<U1")
    out[order] = np.select([before < 0.8, before < 0.95], ["A", "B"], "C")
    return out


def intermittency(panel: Panel, end: int) -> Labels:
    """Return the demand class: smooth, erratic, intermittent, lumpy, or inactive without a sale.

    Source: Syntetos, Boylan & Croston 2005: mean interval between sales 1.32, squared coefficient of
    variation of their sizes 0.49.
    """
    y = panel.y[:, : end + 1]
    alive = np.isfinite(y) & (np.arange(end + 1) >= panel.started(end)[:, None])
    sale = alive & (y > 0)
    sales = np.maximum(sale.sum(axis=1), 1)
    size = np.where(sale, y, 0).astype(np.float64)
    mean = np.maximum(size.sum(axis=1) / sales, 1e-12)
    spread = (size**2).sum(axis=1) / sales / mean**2 - 1
    rare, varied = alive.sum(axis=1) / sales > 1.32, spread > 0.49
    known = [~sale.any(axis=1), rare & varied, rare, varied]
    return np.select(known, ["inactive", "lumpy", "intermittent", "erratic"], "smooth")


def novelty(panel: Panel, end: int) -> Labels:
    """Return ``new`` for series first seen in the last :data:`NEW_DAYS` training days or later, else ``old``."""
    return np.where(panel.first > end - NEW_DAYS, "new", "old")


COMPUTED: Mapping[str, Callable[[Panel, int], Labels]] = {
    "volume": volume,
    "intermittency": intermittency,
    "novelty": novelty,
}
