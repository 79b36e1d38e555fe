"""One probe on each of many small sets of values: several neurons, or one neuron at several positions."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from dni_jax.probes import _check, _layout
from dni_jax.probes._engine import Scores
from dni_jax.probes._joint import (
    JOINT,
    Grams,
    JointData,
    class_scores,
    decide,
    fit_logistic,
    grams,
    on_capable_device,
    r2,
    ridge,
    signed_labels,
    warn_of_unfinished,
)
from dni_jax.probes._plan import get_platform, map_some
from dni_jax.probes._spec import ProbeSpec, as_spec

_NEWTON_COLUMNS = 24  # with more, the products of all pairs of columns take too much memory
_MOST_STEPS, _TOLERANCE = 60, 1e-8
_CERTAIN = 30.0  # the decision value where the training set has one class only


def score_sets(
    hidden: Any,
    labels: Any,
    folds: Any,
    sets: Any,
    lags: Any = 0,
    *,
    probe: str | ProbeSpec = "ridge",
    **settings: Any,
) -> Scores:
    """Score one probe on each of many sets of values, for every feature and fold.

    The sets share everything but their columns, and go through one compiled program.

    Parameters
    ----------
    hidden, labels, folds
        As in `score_neurons`; folds (T,).
    sets : int (G, D)
        The neurons of each of G sets; all have D columns. A neuron may occur several times, with different lags.
    lags : int, broadcast to (G, D)
        Column d of set g at position t is ``hidden[t - lags[g, d], sets[g, d]]``.
    probe : {"ridge", "logistic"}, or ProbeSpec
        RidgeClassifier (Ridge for continuous labels or ``metrics=("r2",)``) or LogisticRegression.
    settings
        `metrics`, `C`, `alpha` (a single one) and `plan` as in `ProbeSpec`. Of the metrics for continuous labels only
        r2.

    Returns
    -------
    Scores
        float64 (G, F, K) by metric. R^2 of constant held-out labels is NaN, as is AUC without both classes.
        ``attrs["unfinished"]`` counts the logistic fits that were stopped short of their optimum.

    Warns
    -----
    ConvergenceWarning
        scikit-learn's, where logistic fits were stopped.

    Raises
    ------
    ValueError
        As `score_jointly`; for sets of unknown neurons, and for a lag longer than the text.

    Examples
    --------
    The label is the sign of a neuron's change, which neither state alone predicts:

    >>> import numpy as np
    >>> from dni_jax.probes import make_folds, score_sets
    >>> hidden = np.random.default_rng(0).normal(size=(300, 2))
    >>> labels = np.diff(hidden[:, 1], prepend=0.0)[:, None] > 0
    >>> folds = make_folds(300, k=3, scheme="shuffled")
    >>> folds[0] = -1  # has no position before it
    >>> found = score_sets(hidden, labels, folds, [[0, 0], [1, 1]], [0, 1])["auc"].mean(axis=(1, 2))
    >>> bool(found[0] < 0.6), bool(found[1] > 0.99)
    (True, True)
    """
    spec = as_spec(probe, settings, ("metrics", "C", "alpha", "plan"))
    if spec.probe not in JOINT or spec.several:
        raise ValueError(f"expected {' or '.join(JOINT)} with one penalty, got {spec.probe!r} with alpha={spec.alpha}")
    default, spec = spec.metrics is None, spec.resolve(labels)
    names = ("r2",) if default and not spec.classifies else spec.names
    if "pearson" in names:
        raise ValueError(f"expected r2 for continuous labels of a joint probe, got {names}")
    hidden = np.asarray(_check.check_hidden(hidden))
    labels = _check.check_labels(labels, len(hidden), spec.classifies, spec.probe)
    folds = _check.check_folds(folds, *labels.shape)
    if folds.ndim == 2:
        raise ValueError(f"expected folds of shape ({len(folds)},) for a joint probe, got {folds.shape}")
    columns, before = _check_sets(sets, lags, hidden.shape[1])
    used = _layout.used_positions(folds)
    at = used[:, None] - np.unique(before)
    if at.min() < 0 or at.max() >= len(hidden):
        raise ValueError(
            f"expected lags that stay within the {len(hidden)} positions, got lags {before.min()} to {before.max()} at "
            f"positions {used.min()} to {used.max()}: leave the positions at the edges out, with fold -1"
        )
    fold_of, n_folds = folds[used], int(folds.max()) + 1
    with on_capable_device(spec):
        y = labels[used].astype(np.float64)
        rows = (hidden.astype(np.float64), used, y, fold_of, _layout.make_blocks(fold_of, n_folds))
        arrays = (*jax.device_put((rows, columns, before)), float(spec.strengths[0]))
        parallel = get_platform(spec) == "gpu"
        scores, last_step = _score_sets(*arrays, spec.probe, names, n_folds, parallel)
        result = {name: np.swapaxes(np.asarray(score), 1, 2) for name, score in scores.items()}
        steps = np.asarray(last_step)
    about = {"probe": spec.probe, "C": spec.C, "alpha": spec.alpha}
    return Scores(result, about | {"n_columns": columns.shape[1], "unfinished": warn_of_unfinished(steps)})


def _check_sets(sets: Any, lags: Any, n_neurons: int) -> tuple[Int[np.ndarray, "G D"], Int[np.ndarray, "G D"]]:
    columns = np.asarray(sets)
    fits = columns.ndim == 2 and columns.size and columns.dtype.kind in "iu"
    if not fits or columns.min() < 0 or columns.max() >= n_neurons:
        what = f"{columns.dtype} {columns.shape}" if not fits else f"{columns.min()} to {columns.max()}"
        raise ValueError(f"expected sets (G, D) of neurons from 0 to {n_neurons - 1}, got {what}")
    before = np.asarray(lags)
    if before.dtype.kind not in "iu":
        raise ValueError(f"expected lags in whole positions, got {before.dtype}")
    return columns.astype(np.int32), np.broadcast_to(before, columns.shape).astype(np.int32)


@partial(jax.jit, static_argnames=("probe", "names", "n_folds", "parallel"))
def _score_sets(
    rows: tuple,
    columns: Int[Array, "G D"],
    lags: Int[Array, "G D"],
    strength: Float[Array, ""],
    probe: str,
    names: tuple[str, ...],
    n_folds: int,
    parallel: bool,
) -> tuple[dict[str, Float[Array, "G K F"]], Float[Array, "G K F"]]:
    """Scores, and the size of each logistic fit's last step (0 for those solved directly)."""
    hidden, used, y, fold_of, blocks = rows

    def one(of_set: tuple[Array, Array]) -> tuple[dict[str, Array], Array]:
        neurons, before = of_set
        x = hidden[used[:, None] - before, neurons]
        z = jnp.concatenate([x - x.mean(0), jnp.ones((x.shape[0], 1), jnp.float64)], axis=1)
        data = JointData(z, y, fold_of, blocks)
        held = grams(data, n_folds, parallel)
        train = held.without_each()
        last_step = jnp.zeros(train.yy.shape, jnp.float64)
        if probe == "logistic" and z.shape[1] <= _NEWTON_COLUMNS:
            w, last_step = _newton_folds(data, train, strength, parallel)
        elif probe == "logistic":
            w, last_step = fit_logistic(data, train, strength, parallel)
        else:
            w = ridge(train if "r2" in names else signed_labels(train), strength[None])[0]
        if "r2" in names:
            return {"r2": r2(held, w)}, last_step
        return class_scores(data, decide(data, w, parallel), names, n_folds, parallel), last_step

    # A set takes its columns, or with Newton's method those of all pairs, and a few arrays of the labels' size.
    n_columns = columns.shape[1] + 1
    widest = n_columns**2 if probe == "logistic" and n_columns <= _NEWTON_COLUMNS else n_columns
    bytes_each = 8 * y.shape[0] * (widest + 4 * n_folds * y.shape[1])
    return map_some(one, (columns, lags), parallel, bytes_each)


def _newton_folds(
    data: JointData, train: Grams, cost: Float[Array, ""], parallel: bool
) -> tuple[Float[Array, "K N1 F"], Float[Array, "K F"]]:
    """Logistic regression of each training set, from the optimum of all positions: three or four steps are left."""
    n_folds, n_columns = train.zz.shape[:2]
    row, column = np.triu_indices(n_columns)
    pairs = data.z[:, row] * data.z[:, column]
    everything = jnp.ones(data.z.shape[0], jnp.float64)
    start, _ = _newton(data, pairs, everything, cost, jnp.zeros(train.zy.shape[1:], jnp.float64))

    def one(fold: Array) -> tuple[Array, Array]:
        return _newton(data, pairs, (data.fold_of != fold).astype(jnp.float64), cost, start)

    return map_some(one, jnp.arange(n_folds, dtype=jnp.int32), parallel, 32 * data.y.size)


def _newton(
    data: JointData, pairs: Float[Array, "T P"], keep: Float[Array, " T"], cost: Array, start: Float[Array, "N1 F"]
) -> tuple[Float[Array, "N1 F"], Float[Array, " F"]]:
    """Newton's method for all features; a step that does not lower the objective is halved."""
    n_columns = start.shape[0]
    row, column = np.triu_indices(n_columns)
    penalty = jnp.ones(n_columns, jnp.float64).at[-1].set(0.0)
    of_class = (keep @ data.y, keep.sum())
    # Without both classes the intercept has no optimum.
    one_class = (of_class[0] == 0) | (of_class[0] == of_class[1])
    certain = jnp.zeros_like(start).at[-1].set(jnp.where(of_class[0] > 0, _CERTAIN, -_CERTAIN))

    def objective(w: Array, decision: Array) -> Array:
        loss = keep @ (jax.nn.softplus(decision) - data.y * decision)
        return cost * loss + 0.5 * jnp.sum(penalty[:, None] * w * w, axis=0)

    def unfinished(state: tuple) -> Array:
        return (state[4] < _MOST_STEPS) & (jnp.max(state[3]) > _TOLERANCE)

    def advance(state: tuple) -> tuple:
        best, lowest, w, size, n_steps = state
        decision = data.z @ w
        now = objective(w, decision)
        better = now <= lowest + 1e-12 * jnp.abs(lowest)
        p = jax.nn.sigmoid(decision)
        gradient = cost * (data.z.T @ (keep[:, None] * (p - data.y))) + penalty[:, None] * w
        curved = cost * (pairs.T @ (keep[:, None] * p * (1.0 - p)))
        hessian = jnp.zeros((n_columns, n_columns, w.shape[1]), jnp.float64)
        hessian = hessian.at[row, column].set(curved).at[column, row].set(curved)
        hessian = jnp.moveaxis(hessian, 2, 0) + jnp.diag(penalty + 1e-10)
        step = jnp.linalg.solve(hessian, gradient.T[:, :, None])[:, :, 0].T
        following = jnp.where(better, w - step, 0.5 * (best + w))
        moved = jnp.max(jnp.abs(following - jnp.where(better, w, best)), axis=0)
        size = moved / (1.0 + jnp.max(jnp.abs(following), axis=0))
        return (
            jnp.where(better, w, best),
            jnp.where(better, now, lowest),
            following,
            jnp.where(one_class, 0.0, size),
            n_steps + 1,
        )

    n_features = start.shape[1]
    infinite = jnp.full(n_features, jnp.inf, jnp.float64)
    state = (start, infinite, start, infinite, jnp.zeros((), jnp.int32))
    _, _, w, size, _ = lax.while_loop(unfinished, advance, state)
    return jnp.where(one_class, certain, w), size
