"""Probes on all neurons together: ridge and logistic regression, from one Gram matrix per fold."""

import warnings
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from dni_jax.probes import _metrics as metrics
from dni_jax.probes._grams import Grams, JointData, grams, joint_data, r2, ridge
from dni_jax.probes._ranks import tied_ranges
from dni_jax.probes._registry import PROBES
from dni_jax.probes._scores import Scores
from dni_jax.probes._spec import ProbeSpec, as_spec

JOINT = ("ridge", "logistic")
_MOST_STEPS, _TOLERANCE = 1_000, 1e-6


def _logistic(data: JointData, train: Grams, cost: Array) -> tuple[Float[Array, "K N1 F"], Float[Array, "K F"]]:
    """Logistic regression by accelerated descent in the metric of Böhning's bound, one factor a fold for all features.

    The Hessian is at most ``I + cost / 4 * z'z``; steps in that metric never overshoot. Nesterov's momentum restarts
    where it points uphill. Bohning (1992), Ann. Inst. Statist. Math. 44; O'Donoghue and Candes (2015).
    Returns the weights, and the size of each fit's last step against its largest weight.
    """
    n_folds, n_columns = train.zz.shape[:2]
    penalty = jnp.ones(n_columns, jnp.float64).at[-1].set(0.0)
    bound = cost / 4.0 * train.zz + jnp.diag(penalty + 1e-10)
    factor = jnp.linalg.cholesky(bound)

    def gradient(w: Float[Array, "K N1 F"]) -> Array:
        def fold_gradient(fold: Array, w: Array) -> Array:
            slope = jnp.where((data.fold_of != fold)[:, None], jax.nn.sigmoid(data.z @ w) - data.y, 0.0)
            return cost * (data.z.T @ slope) + penalty[:, None] * w

        return lax.map(lambda part: fold_gradient(*part), (jnp.arange(n_folds, dtype=jnp.int32), w))

    def unfinished(state: tuple) -> Array:
        return (state[3] < _MOST_STEPS) & (jnp.max(state[4]) > _TOLERANCE)

    def advance(state: tuple) -> tuple:
        w, ahead, momentum, n_steps, _ = state
        g = gradient(ahead)
        new = ahead - jax.vmap(lambda f, g: jax.scipy.linalg.cho_solve((f, True), g))(factor, g)
        uphill = jnp.sum(g * (new - w), axis=1) > 0
        grown = (1.0 + jnp.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
        push = jnp.where(uphill, 0.0, (momentum - 1.0) / grown)
        step = new - w
        size = jnp.max(jnp.abs(step), axis=1) / (1.0 + jnp.max(jnp.abs(new), axis=1))
        return new, new + push[:, None] * step, jnp.where(uphill, 1.0, grown), n_steps + 1, size

    start = jnp.zeros(train.zy.shape, jnp.float64)
    momentum = jnp.ones((n_folds, train.zy.shape[2]), jnp.float64)
    state = (start, start, momentum, jnp.zeros((), jnp.int32), jnp.full_like(momentum, jnp.inf))
    w, _, _, _, size = lax.while_loop(unfinished, advance, state)
    return w, size


def _decide(data: JointData, w: Float[Array, "K N1 F"]) -> Float[Array, "T F"]:
    """Decision value of each position under the training set that leaves its fold out."""

    def block(part: tuple) -> Array:
        rows, _, fold = part
        return data.z[rows] @ w[fold]

    values = lax.map(block, data.blocks)
    target = jnp.where(data.blocks.real, data.blocks.rows, data.z.shape[0])
    flat = values.reshape(-1, w.shape[2])
    return jnp.zeros((data.z.shape[0], w.shape[2]), jnp.float64).at[target.reshape(-1)].set(flat, mode="drop")


def _class_scores(data: JointData, decision: Float[Array, "T F"], names: tuple[str, ...], n_folds: int) -> dict:
    y, predicted = data.y > 0.5, decision > 0

    def count(mask: Array) -> Array:
        return jax.ops.segment_sum(mask.astype(jnp.int32), data.fold_of, num_segments=n_folds)

    counts = metrics.Confusion(
        count(y & predicted), count(~y & predicted), count(y & ~predicted), count(~y & ~predicted)
    )
    scores = {name: metrics.FROM_COUNTS[name](counts) for name in names if name != "auc"}
    if "auc" in names:
        held = count(jnp.ones_like(y))[:, 0]
        before = (jnp.cumsum(held) - held)[data.fold_of]

        def rank_sum(column: tuple) -> Array:
            value, y = column
            # Sorting by fold first makes ranks within folds differences of positions.
            order = jnp.lexsort((value, data.fold_of))
            v, f = value[order], data.fold_of[order]
            first, after = tied_ranges((v[1:] != v[:-1]) | (f[1:] != f[:-1]))
            ranks = (first + after + 1).astype(jnp.float64) / 2.0 - before[order].astype(jnp.float64)
            return jax.ops.segment_sum(jnp.where(y[order], ranks, 0.0), f, num_segments=n_folds)

        sums = lax.map(rank_sum, (decision.T, y.T)).T
        scores["auc"] = metrics.auc(sums, counts, jnp.ones_like(sums))
    return scores


@partial(jax.jit, static_argnames=("probe", "names", "n_folds"))
def _score(
    data: JointData, strengths: Float[Array, " A"], probe: str, names: tuple[str, ...], n_folds: int
) -> tuple[dict[str, Float[Array, "A K F"]], Float[Array, "A K F"]]:
    """Scores, and the size of each logistic fit's last step (0 for those solved directly)."""
    held = grams(data, n_folds)
    train = held.without_each()
    last_step = jnp.zeros((len(strengths), *train.yy.shape), jnp.float64)
    if probe == "logistic":
        lines, last_step = lax.map(lambda cost: _logistic(data, train, cost), strengths)
    elif "r2" in names:
        lines = ridge(train, strengths)
    else:
        signs = train._replace(zy=2.0 * train.zy - train.zz[:, :, -1:])  # labels of -1 and +1
        lines = ridge(signs, strengths)

    def one(w: Array) -> dict[str, Array]:
        if "r2" in names:
            return {"r2": r2(held, w)}
        return _class_scores(data, _decide(data, w), names, n_folds)

    return lax.map(one, lines), last_step


def score_jointly(
    hidden: Any,
    labels: Any,
    folds: Any,
    *,
    probe: str | ProbeSpec = "ridge",
    neurons: Any = None,
    **settings: Any,
) -> Scores:
    """Score one probe on all neurons together, for every feature and fold.

    Parameters
    ----------
    hidden, labels, folds
        As in `score_neurons`; folds (T,). Memory is about ``16 * T * N`` bytes.
    probe : {"ridge", "logistic"}, or ProbeSpec
        RidgeClassifier (Ridge for continuous labels or ``metrics=("r2",)``) or LogisticRegression.
    neurons : integer array, optional
        The group of neurons to take; all by default.
    settings
        `metrics`, `C` and `alpha` as in `ProbeSpec`. Of the metrics for continuous labels only r2; several alphas share
        one factorisation.

    Returns
    -------
    Scores
        float64 (F, K) by metric. R^2 of constant held-out labels is NaN, as is AUC without both classes.
        ``attrs["unfinished"]`` counts the logistic fits that were stopped short of their optimum.

    Warns
    -----
    ConvergenceWarning
        scikit-learn's, where logistic fits were stopped after 1,000 steps.

    Raises
    ------
    ValueError
        As `score_neurons`.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import make_folds, score_jointly
    >>> hidden = np.random.default_rng(0).normal(size=(300, 5))
    >>> labels = hidden[:, :1] + hidden[:, 1:2] > 0
    >>> scores = score_jointly(hidden, labels, make_folds(300, k=3, scheme="shuffled"))
    >>> bool(scores["accuracy"].min() > 0.9)
    True
    """
    spec = as_spec(probe, settings, ("metrics", "C", "alpha"))
    if spec.probe not in JOINT:
        raise ValueError(f"expected probe to be one of {', '.join(JOINT)} for all neurons together, got {spec.probe!r}")
    default, spec = spec.metrics is None, spec.resolve(labels)
    names = ("r2",) if default and not spec.classifies else spec.names
    if "pearson" in names:
        accepted = ", ".join(PROBES[spec.probe].metrics[:-1])
        raise ValueError(f"expected metrics among {accepted} for all neurons together, got {names}")
    data, n_folds = joint_data(hidden, labels, folds, neurons, spec.classifies, spec.probe)
    with jax.enable_x64(True):
        strengths = jnp.asarray(spec.strengths, jnp.float64)
        scores, last_step = _score(data, strengths, spec.probe, names, n_folds)
        result = {name: np.swapaxes(np.asarray(score), 1, 2) for name, score in scores.items()}
        steps = np.asarray(last_step)
    if not spec.several:
        result = {name: score[0] for name, score in result.items()}
    unfinished = _warn_of_unfinished(steps)
    about = {"probe": spec.probe, "C": spec.C, "alpha": spec.alpha}
    return Scores(result, about | {"n_neurons": data.z.shape[1] - 1, "unfinished": unfinished})


def _warn_of_unfinished(last_step: Float[np.ndarray, "A K F"]) -> int:
    """Count the fits that were stopped short of their optimum, and warn of them."""
    unfinished = int((last_step > _TOLERANCE).sum())
    if unfinished:
        from sklearn.exceptions import ConvergenceWarning

        warnings.warn(
            f"{unfinished} of {last_step.size} joint logistic fits still moved by up to {last_step.max():.1g} of their "
            f"largest weight after {_MOST_STEPS} steps: labels that are nearly separable need a smaller C",
            ConvergenceWarning,
            stacklevel=3,
        )
    return unfinished
