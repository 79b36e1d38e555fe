"""Support vector machines on many states: the optima of scikit-learn's, found for all classes at once.

Linear machines (squared hinge, the bias penalized) are fitted by Newton's method in the primal (Chapelle 2007): only
the states inside a class's margin enter its linear system, and after two or three steps these are few. RBF machines are
fitted by chunking (Boser et al. 1992): libsvm fits a working set, states outside of it that violate the margin join it,
and the rest leaves, until there is no violation. A state outside has coefficient 0, which is optimal where its margin
is kept; so the optimum of the last working set is that of all states.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

_TOLERANCE = 1e-4  # of the first gradient, as liblinear's
_NEWTON_STEPS = 200
_FIRST_SET = 4_000  # states in the first working set
_MARGIN = 1e-3  # libsvm's tolerance
_ROWS = 2_048  # states at a time
_ROUNDS = 50


def fit_linear_machines(
    states: Float[np.ndarray, "T N"], positive: Bool[np.ndarray, "T C"], C: float
) -> tuple[Float[np.ndarray, "C N"], Float[np.ndarray, " C"]]:
    """Minimize ``(|w|^2 + b^2) / 2 + C sum_t max(0, 1 - y_t (w x_t + b))^2`` for each class; return weights and biases.

    Scores are computed in float32, steps in float64.
    """
    x = np.ones((len(states), states.shape[1] + 1), np.float32)
    x[:, :-1] = states
    y = np.where(positive, np.float32(1), np.float32(-1))
    weights = np.zeros((x.shape[1], y.shape[1]))
    scores = np.zeros(y.shape, np.float32)
    least = _TOLERANCE * np.minimum(positive.sum(axis=0), (~positive).sum(axis=0)).clip(1) / len(x)
    first = None
    for _ in range(_NEWTON_STEPS):
        slack = np.maximum(1 - y * scores, 0)
        inside = np.flatnonzero(slack.any(axis=1))
        near = x if len(inside) == len(x) else x[inside]
        gradient = weights - 2 * C * (near.T @ (y * slack)[inside]).astype(np.float64)
        size = np.linalg.norm(gradient, axis=0)
        first = size if first is None else first
        going = size > least * first
        if not going.any():
            break
        direction = np.zeros_like(weights)
        direction[:, going] = _newton_direction(near, slack[np.ix_(inside, going)] > 0, -gradient[:, going], C)
        moved = x @ direction.astype(np.float32)
        length = _line_search(weights, direction, y, scores, moved, C)
        weights = weights + length * direction
        scores = x @ weights.astype(np.float32)
    else:
        raise ValueError("the support vector machines did not converge: scale the states, or lower C")
    return weights[:-1].T.copy(), weights[-1].copy()


def _newton_direction(
    x: Float[np.ndarray, "T M"], active: Bool[np.ndarray, "T K"], right: Float[np.ndarray, "M K"], C: float
) -> Float[np.ndarray, "M K"]:
    """Solve ``(I + 2 C X' A X) d = right`` for each class, in float64."""
    if active.all():  # the first step, from weights of 0: one factor serves every class
        return _solve_ridge(x, right, C)
    return np.stack([_solve_ridge(x[rows], right[:, c], C) for c, rows in enumerate(active.T)], axis=1)


def _solve_ridge(
    x: Float[np.ndarray, "S M"], right: Float[np.ndarray, " M *K"], C: float
) -> Float[np.ndarray, " M *K"]:
    """Solve ``(I + 2 C X' X) d = right`` by a factor of M rows, or of S where there are fewer states than that."""
    rows = x.astype(np.float64)
    if len(rows) < rows.shape[1]:  # Woodbury's identity
        return right - rows.T @ _solve_positive(rows @ rows.T, 1 / (2 * C), rows @ right)
    return _solve_positive(rows.T @ rows, 1 / (2 * C), right / (2 * C))


def _solve_positive(
    gram: Float[np.ndarray, "M M"], ridge: float, right: Float[np.ndarray, " M *K"]
) -> Float[np.ndarray, " M *K"]:
    gram[np.diag_indices(len(gram))] += ridge
    return solve(gram, right, assume_a="pos", overwrite_a=True, check_finite=False)


def _line_search(
    weights: Float[np.ndarray, "M C"],
    direction: Float[np.ndarray, "M C"],
    y: Float[np.ndarray, "T C"],
    scores: Float[np.ndarray, "T C"],
    moved: Float[np.ndarray, "T C"],
    C: float,
) -> Float[np.ndarray, " C"]:
    """Find the zero of the slope along each direction: it is convex and piecewise quadratic, so Newton finds it."""
    length = np.ones(y.shape[1])
    along, squares = (weights * direction).sum(axis=0), (direction**2).sum(axis=0)
    for _ in range(10):
        slack = np.maximum(1 - y * (scores + length.astype(np.float32) * moved), 0).astype(np.float64)
        slope = along + length * squares - 2 * C * (slack * (y * moved)).sum(axis=0)
        curvature = squares + 2 * C * ((slack > 0) * moved.astype(np.float64) ** 2).sum(axis=0)
        change = np.where(curvature > 0, slope / np.where(curvature > 0, curvature, 1), 0.0)
        length = np.maximum(length - change, 0.0)
        if (np.abs(change) < 1e-3).all():
            break
    return length


def fit_rbf_machines(
    states: Float[np.ndarray, "T N"], positive: Bool[np.ndarray, "T C"], C: float, gamma: float, seed: int
) -> tuple[Int[np.ndarray, " S"], Float[np.ndarray, "C S"], Float[np.ndarray, " C"]]:
    """Return the rows of all support vectors, their coefficients for each class, and the biases."""
    n_classes = positive.shape[1]
    x = (states - states.mean(axis=0)).astype(np.float32)  # centered: squares of large numbers lose digits
    squares = (x * x).sum(axis=1)
    signs = np.where(positive, 1.0, -1.0)
    start = np.random.default_rng(seed).permutation(len(x))[:_FIRST_SET]
    working = [_with_both_classes(start, positive[:, c]) for c in range(n_classes)]
    coefficients, bias = np.zeros((len(x), n_classes)), np.zeros(n_classes)
    going = np.ones(n_classes, bool)
    for _ in range(_ROUNDS):
        for c in np.flatnonzero(going):
            rows = working[c]
            kernel = rbf_kernel(states[rows], gamma=gamma)
            machine = SVC(C=C, kernel="precomputed", cache_size=1_000).fit(kernel, positive[rows, c])
            coefficients[:, c] = 0.0
            coefficients[rows[machine.support_], c] = machine.dual_coef_[0]
            bias[c] = machine.intercept_[0]
        scores = _rbf_scores(x, squares, coefficients[:, going], gamma) + bias[going]
        for place, c in enumerate(np.flatnonzero(going)):
            margin = signs[:, c] * scores[:, place]
            inside = np.zeros(len(x), bool)
            inside[working[c]] = True
            violated = ~inside & (margin < 1 - 2 * _MARGIN)
            if not violated.any():
                going[c] = False
                continue
            # Near the margin a state may soon be needed again.
            working[c] = np.flatnonzero(violated | (inside & ((coefficients[:, c] != 0) | (margin < 1.2))))
        if not going.any():
            kept = np.flatnonzero(coefficients.any(axis=1))
            return kept, coefficients[kept].T.copy(), bias
    raise ValueError("the support vector machines did not converge: take fewer states, or lower C")


def _with_both_classes(rows: Int[np.ndarray, " K"], positive: Bool[np.ndarray, " T"]) -> Int[np.ndarray, " L"]:
    """Add states of a rare class that the draw may have missed."""
    return np.unique(np.concatenate([rows, np.flatnonzero(positive)[:10], np.flatnonzero(~positive)[:10]]))


def _rbf_scores(
    x: Float[np.ndarray, "T N"], squares: Float[np.ndarray, " T"], coefficients: Float[np.ndarray, "T K"], gamma: float
) -> Float[np.ndarray, "T K"]:
    kept = np.flatnonzero(coefficients.any(axis=1))
    support, weights = x[kept], coefficients[kept].astype(np.float32)
    scores = np.empty((len(x), weights.shape[1]))
    for start in range(0, len(x), _ROWS):
        block = slice(start, start + _ROWS)
        distances = squares[block, None] + squares[kept] - 2 * (x[block] @ support.T)
        scores[block] = np.exp(np.float32(-gamma) * np.maximum(distances, 0)) @ weights
    return scores
