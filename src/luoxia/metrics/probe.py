"""A linear classifier on features, in closed form: what judges whether samples show what was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RIDGE = 0.01
"""Weight of the squared coefficients, as a share of the number of examples."""


class LinearProbe:
    """Least squares on one-hot classes with a ridge, the features standardized.

    (Hastie et al. 2009, The Elements of Statistical Learning, section 4.2.)

    >>> import numpy as np
    >>> probe = LinearProbe(np.array([[0.0], [0.1], [1.0], [1.1]]), [0, 0, 1, 1], 2)
    >>> probe.predict(np.array([[-0.2], [2.0]])).tolist()
    [0, 1]
    """

    def __init__(self, features: ArrayLike, labels: ArrayLike, classes: int, ridge: float = RIDGE) -> None:
        """Fit features (n, d) to labels (n,) of 0 … ``classes`` − 1."""
        x = np.asarray(features, np.float64)
        self.center, spread = x.mean(0), x.std(0)
        self.scale = 1 / (np.where(spread > 1e-9, spread, np.inf) * np.sqrt(x.shape[1]))
        x = (x - self.center) * self.scale
        targets = np.eye(classes)[np.asarray(labels, np.int64)]
        self.base = targets.mean(0)
        # of whichever of the two systems is smaller: (XᵀX + r)⁻¹Xᵀ = Xᵀ(XXᵀ + r)⁻¹
        n, d = x.shape
        strength = ridge * n
        if d <= n:
            self.weights = np.linalg.solve(x.T @ x + strength * np.eye(d), x.T @ (targets - self.base))
        else:
            self.weights = x.T @ np.linalg.solve(x @ x.T + strength * np.eye(n), targets - self.base)

    def predict(self, features: ArrayLike) -> NDArray[np.int64]:
        """The class of each of the features (m, d) → (m,)."""
        x = (np.asarray(features, np.float64) - self.center) * self.scale
        found: NDArray[Any] = (x @ self.weights + self.base).argmax(1)
        return found.astype(np.int64)
