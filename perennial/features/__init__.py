"""From rows to the matrix a model sees: one dense panel, one function that builds features from it.

:func:`read_panel` gathers a snapshot into a :class:`Panel`; :func:`design` computes the features of any
(entity, origin, horizon) from it. Training, evaluation and scoring all call the same ``design``.
"""

from perennial.features.design import as_known, design, feature_names, level_names
from perennial.features.gather import read_panel
from perennial.features.panel import Covariate, Labels, Panel, Rows

__all__ = ["Covariate", "Labels", "Panel", "Rows", "as_known", "design", "feature_names", "level_names", "read_panel"]
