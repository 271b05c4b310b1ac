"""Losses with a log link whose Newton steps are bounded, so that boosting on sparse counts cannot diverge.

A leaf of rows that are all predicted as almost zero has almost no curvature. One large sale in it makes the Newton
step, the sum of the residuals over the sum of the curvatures, thousands wide on the log scale, and every row that later
falls into the leaf is predicted as infinite. Where the curvature of a row is at least ``|residual| / LONGEST``, no
leaf's step is longer than ``LONGEST``; leaves whose step would have been much shorter hardly notice. LightGBM and
XGBoost damp their Poisson losses too (``poisson_max_delta_step``, ``max_delta_step``, both 0.7 unless told otherwise);
scikit-learn has no such setting.
"""

from typing import Any

import numpy as np
from sklearn._loss.loss import HalfGammaLoss, HalfPoissonLoss

LONGEST = 0.7
"""Largest step of a leaf before the learning rate, on the log scale."""


class _Damped:
    """Raises the curvature to what keeps the step bounded."""

    def gradient_hessian(self, *args: Any, **kwargs: Any) -> Any:
        """Return gradient and curvature of each row, shape (n_rows,)."""
        gradient, hessian = super().gradient_hessian(*args, **kwargs)  # type: ignore[misc]
        np.maximum(hessian, np.abs(gradient) / LONGEST, out=hessian)
        return gradient, hessian


class _DampedPoisson(_Damped, HalfPoissonLoss):  # type: ignore[misc]
    pass


class _DampedGamma(_Damped, HalfGammaLoss):  # type: ignore[misc]
    pass


LOSSES = {"poisson": _DampedPoisson, "gamma": _DampedGamma}
"""By the name that scikit-learn gives the loss."""
