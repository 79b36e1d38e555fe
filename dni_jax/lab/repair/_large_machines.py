"""Support vector machines on many states: the optima of scikit-learn's, found faster.

Linear machines (squared hinge, the bias penalized) are fitted by Newton's method in the primal (Chapelle 2007): only
the states inside a class's margin enter its linear system, and its matrix is updated by the few that come and go. RBF
machines are fitted by chunking (Boser et al. 1992): libsvm fits a working set, states outside of it that violate the
margin join it, and the rest leaves, until there is no violation. A state outside has coefficient 0, which is optimal
where its margin is kept; so the optimum of the last working set is that of all states.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve
from sklearn.svm import SVC

_TOLERANCE = 1e-6  # of the first gradient; liblinear stops at 1e-4, but the last Newton steps are few
_NEWTON_STEPS = 200
_FIRST_SET = 4_000  # states in the first working set
_MARGIN = 1e-3  # libsvm's tolerance
_ROWS = 2_048  # states at a time
_ROUNDS = 50


def fit_linear_machines(
    states: Float[np.ndarray, "T N"], positive: Bool[np.ndarray, "T C"], C: float
) -> tuple[Float[np.ndarray, "C N"], Float[np.ndarray, " C"]]:
    """Minimize ``(|w|^2 + b^2) / 2 + C sum_t max(0, 1 - y_t (w x_t + b))^2`` for each class.

    Returns weights and biases.
    """
    x = np.ones((len(states), states.shape[1] + 1))
    x[:, :-1] = states
    y = np.where(positive, 1.0, -1.0)
    gram = x.T @ x
    # Newton's first step, from weights of 0: every state is inside every margin, so one factor serves all classes.
    first = _solve_positive(gram.copy(), 1 / (2 * C), x.T @ y)
    fitted = np.stack([_fit_linear_machine(x, y[:, c], first[:, c], gram, C) for c in range(y.shape[1])])
    return fitted[:, :-1].copy(), fitted[:, -1].copy()


def _fit_linear_machine(
    x: Float[np.ndarray, "T M"],
    y: Float[np.ndarray, " T"],
    direction: Float[np.ndarray, " M"],
    gram: Float[np.ndarray, "M M"],
    C: float,
) -> Float[np.ndarray, " M"]:
    """Return the weights of one class, by Newton steps from 0; ``direction`` is the first, ``gram`` is ``x.T @ x``."""
    counted = np.ones(len(x), bool)  # the states of which `gram` is the Gram matrix
    share = float(np.mean(y > 0))
    rare = max(min(share, 1 - share), 1 / len(y))
    least = _TOLERANCE * rare * np.linalg.norm(2 * C * (y @ x))
    weights, scores = np.zeros(x.shape[1]), np.zeros(len(x))
    for _ in range(_NEWTON_STEPS):
        moved = x @ direction
        length = _line_search(weights, direction, y, scores, moved, C)
        weights, scores = weights + length * direction, scores + length * moved
        slack = np.maximum(1 - y * scores, 0)
        inside = slack > 0
        near, bound = x[inside], (y * slack)[inside]
        gradient = weights - 2 * C * (bound @ near)
        if np.linalg.norm(gradient) <= least:
            return weights
        # The direction d solves (I + 2 C X' X) d = -gradient, X being the states inside the margin.
        if len(near) < x.shape[1] / 2:  # Woodbury's identity: a smaller system
            direction = near.T @ _solve_positive(near @ near.T, 1 / (2 * C), near @ gradient) - gradient
        else:
            gram, counted = _gram_of(x, inside, gram, counted), inside
            direction = _solve_positive(gram.copy(), 1 / (2 * C), -gradient / (2 * C))
    raise ValueError("the support vector machines did not converge: scale the states, or lower C")


def _gram_of(
    x: Float[np.ndarray, "T M"],
    rows: Bool[np.ndarray, " T"],
    gram: Float[np.ndarray, "M M"],
    counted: Bool[np.ndarray, " T"],
) -> Float[np.ndarray, "M M"]:
    """Return the Gram matrix of some rows; from that of others, where fewer came and went than there are."""

    def product(some: Bool[np.ndarray, " T"]) -> Float[np.ndarray, "M M"]:
        states = x[some]
        return states.T @ states

    came, went = rows & ~counted, counted & ~rows
    return product(rows) if came.sum() + went.sum() >= rows.sum() else gram + product(came) - product(went)


def _solve_positive(
    gram: Float[np.ndarray, "M M"], ridge: float, right: Float[np.ndarray, " M *K"]
) -> Float[np.ndarray, " M *K"]:
    """Solve ``(gram + ridge I) d = right``; overwrites ``gram``."""
    gram[np.diag_indices(len(gram))] += ridge
    return solve(gram, right, assume_a="pos", overwrite_a=True, check_finite=False)


def _line_search(
    weights: Float[np.ndarray, " M"],
    direction: Float[np.ndarray, " M"],
    y: Float[np.ndarray, " T"],
    scores: Float[np.ndarray, " T"],
    moved: Float[np.ndarray, " T"],
    C: float,
) -> float:
    """Find the zero of the slope along a direction: it is convex and piecewise quadratic, so Newton finds it."""
    length, along, square = 1.0, weights @ direction, direction @ direction
    for _ in range(20):
        slack = np.maximum(1 - y * (scores + length * moved), 0)
        slope = along + length * square - 2 * C * (slack @ (y * moved))
        change = slope / (square + 2 * C * (moved[slack > 0] ** 2).sum())
        length = max(length - change, 0.0)
        if abs(change) < 1e-3:
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
            kernel = _rbf_kernel(x[rows], squares[rows], x[rows], squares[rows], gamma)
            machine = SVC(C=C, kernel="precomputed", cache_size=1_000).fit(kernel, positive[rows, c])
            del kernel  # the largest array there is
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
        scores[block] = _rbf_kernel(x[block], squares[block], support, squares[kept], gamma) @ weights
    return scores


def _rbf_kernel(
    x: Float[np.ndarray, "T N"],
    x_squares: Float[np.ndarray, " T"],
    z: Float[np.ndarray, "S N"],
    z_squares: Float[np.ndarray, " S"],
    gamma: float,
) -> Float[np.ndarray, "T S"]:
    """Compute ``exp(-gamma |x - z|^2)`` in float32, which is twice as fast as scikit-learn's."""
    exponent = x @ z.T
    exponent *= np.float32(2 * gamma)
    exponent -= np.float32(gamma) * x_squares[:, None]
    exponent -= np.float32(gamma) * z_squares
    return np.exp(np.minimum(exponent, 0, out=exponent), out=exponent)
