"""Inputs and objectives shared by the probes' tests."""

import numpy as np

METRICS = ("accuracy", "balanced_accuracy", "f1", "mcc", "auc")  # one order: a program is compiled for each

KINDS = (
    "random",
    "tied",
    "rounded",
    "constant",
    "separable",
    "one_positive",
    "imbalanced",
    "tiny",
    "large_offset",
    "outliers",
)


def problem(kind: str, seed: int, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return states (T, 3), labels (T, 3) and folds (T,) of one kind of difficulty."""
    rng = np.random.default_rng(seed)
    n, k = (12, 3) if kind == "tiny" else (240, 4)  # few shapes, so few compilations
    signal = rng.uniform(-2, 2, (3, 3))
    hidden = rng.normal(size=(n, 3)) * 10.0 ** rng.uniform(-2, 1)
    chance = rng.normal(size=(n, 3))
    scaled = hidden / hidden.std()
    labels = scaled @ signal + chance > rng.uniform(-1, 1, 3)
    if kind == "tied":
        hidden = rng.integers(-2, 3, (n, 3)).astype(float)
    elif kind == "rounded":
        hidden = np.round(scaled, 1)
    elif kind == "constant":
        hidden[:, 0], labels[:, 0], labels[:, 1] = 0.3, True, False
    elif kind == "separable":
        labels = scaled[:, [0, 1, 2]] > 0.2
        hidden = np.where(labels, hidden + hidden.std() * rng.uniform(0, 1), hidden)
    elif kind == "one_positive":
        labels[:] = False
        labels[rng.integers(0, n, 3), np.arange(3)] = True
    elif kind == "imbalanced":
        labels = rng.random((n, 3)) < 0.03
    elif kind == "tiny":
        labels[:] = False
        for feature in range(3):
            labels[rng.choice(n, 6, replace=False), feature] = True
    elif kind == "large_offset":
        hidden = scaled + 1000.0
    elif kind == "outliers":
        hidden[rng.integers(0, n, 2), :] *= 1e4
    folds = rng.permutation(np.arange(n) % k).astype(np.int32)
    return hidden.astype(dtype), labels, folds


def hinge_objective(
    x: np.ndarray, y: np.ndarray, weight: float, bias: float, C: float = 1.0, balanced: bool = False
) -> float:
    """SVC's primal objective."""
    x, sign = x.astype(np.float64), np.where(y, 1.0, -1.0)
    cost = np.full(len(x), float(C))
    if balanced:
        cost *= np.where(y, len(y) / (2 * y.sum()), len(y) / (2 * (~y).sum()))
    return 0.5 * weight**2 + float(np.sum(cost * np.maximum(0, 1 - sign * (weight * x + bias))))
