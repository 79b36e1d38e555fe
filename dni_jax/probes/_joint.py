"""Probes on all neurons together: ridge and logistic regression and greedy selection, from one Gram matrix per fold."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from dni_jax.probes import _check, _layout
from dni_jax.probes import _metrics as metrics
from dni_jax.probes._engine import Scores
from dni_jax.probes._plan import fits_at_once, get_platform, in_float64, map_some
from dni_jax.probes._ranks import tied_ranges
from dni_jax.probes._registry import PROBES
from dni_jax.probes._spec import ProbeSpec, as_spec


class Grams(NamedTuple):
    """Second moments of training or held-out sets, about one origin; z is the neurons and, last, a column of ones."""

    zz: Float[Array, "K N1 N1"]
    zy: Float[Array, "K N1 F"]
    yy: Float[Array, "K F"]

    def without_each(self) -> "Grams":
        """Return the sums over all sets but one."""
        others = 1.0 - jnp.eye(self.zz.shape[0], dtype=jnp.float64)
        return Grams(*(jnp.tensordot(others, part, axes=1) for part in self))

    def centered(self) -> tuple[Array, Array, Array, Array, Array]:
        """Return centered x'x, x'y and y'y, and the means of x and y, for each set."""
        n = self.zz[:, -1, -1]
        x, y = self.zz[:, :-1, -1] / n[:, None], self.zy[:, -1] / n[:, None]
        xx = self.zz[:, :-1, :-1] - n[:, None, None] * x[:, :, None] * x[:, None, :]
        xy = self.zy[:, :-1] - n[:, None, None] * x[:, :, None] * y[:, None, :]
        return xx, xy, self.yy - n[:, None] * y * y, x, y


class JointData(NamedTuple):
    """Positions in use, fold after fold: centered neurons with a column of ones, labels, and blocks of rows."""

    z: Float[Array, "T N1"]
    y: Float[Array, "T F"]
    fold_of: Int[Array, " T"]
    blocks: _layout.FoldBlocks


def works_at_once(spec: ProbeSpec, data: JointData) -> bool:
    """Return whether an accelerator holds a few copies of the positions, and works on all of them at once."""
    return get_platform(spec) == "gpu" and fits_at_once(spec, len(data.z), data.z.shape[1], data.y.shape[1])


def grams(data: JointData, n_folds: int, parallel: bool = False) -> Grams:
    """Compute the moments of each fold."""
    zz, zy = (_layout.fold_products(data.z, right, data.blocks, n_folds, parallel) for right in (data.z, data.y))
    yy = jax.ops.segment_sum(data.y * data.y, data.fold_of, num_segments=n_folds)
    return Grams(zz, zy, yy)


def ridge(train: Grams, alphas: Float[Array, " A"]) -> Float[Array, "A K N1 F"]:
    """Compute ridge coefficients for every alpha from one eigendecomposition per fold; the intercept, last, is free."""
    xx, xy, _, x, y = train.centered()
    values, vectors = jnp.linalg.eigh(xx)
    values = jnp.maximum(values, 0.0)
    rotated = jnp.einsum("kne,knf->kef", vectors, xy)
    least = 1e-12 * jnp.max(values, axis=1, keepdims=True)

    def solve(alpha: Array) -> Array:
        # Directions without spread get no weight, as in a pseudo-inverse.
        scale = jnp.where(values > least, 1.0 / jnp.where(values > least, values + alpha, 1.0), 0.0)
        w = jnp.einsum("kne,kef->knf", vectors, scale[:, :, None] * rotated)
        return jnp.concatenate([w, (y - jnp.einsum("kn,knf->kf", x, w))[:, None]], axis=1)

    return lax.map(solve, alphas)


def signed_labels(moments: Grams) -> Grams:
    """Return the moments of labels of -1 and 1, which RidgeClassifier fits, from those of 0 and 1."""
    return moments._replace(zy=2.0 * moments.zy - moments.zz[:, :, -1:])


def r2(held: Grams, w: Float[Array, "K N1 F"]) -> Float[Array, "K F"]:
    """Compute the held-out R^2 of lines; NaN for constant labels."""
    fit = jnp.einsum("knf,knm,kmf->kf", w, held.zz, w)
    residual = held.yy - 2.0 * jnp.sum(w * held.zy, axis=1) + fit
    spread = held.centered()[2]
    return jnp.where(spread > 1e-12 * held.yy, 1.0 - residual / jnp.where(spread > 0, spread, 1.0), jnp.nan)


@contextmanager
def on_capable_device(spec: ProbeSpec) -> Iterator[None]:
    """Compute in float64, and on the host what a TPU would take minutes to compile: factorizations in float64."""
    with in_float64(on_host=get_platform(spec) == "tpu"):
        yield


def joint_data(
    hidden: Any, labels: Any, folds: Any, neurons: Any, classifies: bool, probe: str
) -> tuple[JointData, int]:
    """Check the arrays and lay out the positions in use; also return the number of folds. Needs 64-bit mode."""
    hidden = np.asarray(_check.check_hidden(hidden))
    labels = _check.check_labels(labels, hidden.shape[0], classifies, probe)
    folds = _check.check_folds(folds, *labels.shape)
    if folds.ndim == 2:
        raise ValueError(f"expected folds of shape ({len(folds)},) for all neurons together, got {folds.shape}")
    if neurons is not None:
        neurons = np.asarray(neurons)
        if neurons.ndim != 1 or neurons.dtype.kind not in "iu" or not len(neurons) or neurons.max() >= hidden.shape[1]:
            raise ValueError(f"expected neurons as indices below {hidden.shape[1]}, got {neurons}")
        hidden = hidden[:, neurons]
    used = _layout.used_positions(folds)
    fold_of, n_folds = folds[used], int(folds.max()) + 1
    x = hidden[used].astype(np.float64)
    z = np.concatenate([x - x.mean(0), np.ones((len(x), 1))], axis=1)
    y = labels[used].astype(np.float64)
    return JointData(*jax.device_put((z, y, fold_of, _layout.make_blocks(fold_of, n_folds)))), n_folds


JOINT = ("ridge", "logistic")
_MOST_STEPS, _TOLERANCE = 1_000, 1e-6
_STEPS_AT_ONCE = 25  # between two questions of the host whether an accelerator has finished


def fit_logistic(
    data: JointData, train: Grams, cost: Array, parallel: bool
) -> tuple[Float[Array, "K N1 F"], Float[Array, "K F"]]:
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

        parts = (jnp.arange(n_folds, dtype=jnp.int32), w)
        return map_some(lambda part: fold_gradient(*part), parts, parallel, 24 * data.y.size)

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

    def advance_often(state: tuple) -> tuple:
        return lax.fori_loop(0, _STEPS_AT_ONCE, lambda _, state: advance(state), state)

    start = jnp.zeros(train.zy.shape, jnp.float64)
    momentum = jnp.ones((n_folds, train.zy.shape[2]), jnp.float64)
    state = (start, start, momentum, jnp.zeros((), jnp.int32), jnp.full_like(momentum, jnp.inf))
    w, _, _, _, size = lax.while_loop(unfinished, advance_often if parallel else advance, state)
    return w, size


def decide(data: JointData, w: Float[Array, "K N1 F"], parallel: bool) -> Float[Array, "T F"]:
    """Return the decision value of each position under the training set that leaves its fold out."""

    def block(part: tuple) -> Array:
        rows, _, fold = part
        return data.z[rows] @ w[fold]

    values = map_some(block, data.blocks, parallel, 8 * data.blocks.rows.shape[1] * w.shape[1])
    target = jnp.where(data.blocks.real, data.blocks.rows, data.z.shape[0])
    flat = values.reshape(-1, w.shape[2])
    return jnp.zeros((data.z.shape[0], w.shape[2]), jnp.float64).at[target.reshape(-1)].set(flat, mode="drop")


def class_scores(
    data: JointData, decision: Float[Array, "T F"], names: tuple[str, ...], n_folds: int, parallel: bool
) -> dict:
    """Return held-out scores of classes (K, F) by metric."""
    y, predicted = data.y > 0.5, decision > 0

    def count(mask: Array) -> Array:
        held = jax.ops.segment_sum(mask.astype(jnp.int32), data.fold_of, num_segments=n_folds)
        return held.astype(jnp.float64)

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

        sums = map_some(rank_sum, (decision.T, y.T), parallel, 64 * len(y)).T
        scores["auc"] = metrics.auc(sums, counts, jnp.ones_like(sums))
    return scores


@partial(jax.jit, static_argnames=("probe", "names", "n_folds", "parallel"))
def _score(
    data: JointData, strengths: Float[Array, " A"], probe: str, names: tuple[str, ...], n_folds: int, parallel: bool
) -> tuple[dict[str, Float[Array, "A K F"]], Float[Array, "A K F"]]:
    """Scores, and the size of each logistic fit's last step (0 for those solved directly)."""
    held = grams(data, n_folds, parallel)
    train = held.without_each()
    last_step = jnp.zeros((len(strengths), *train.yy.shape), jnp.float64)
    if probe == "logistic":
        lines, last_step = lax.map(lambda cost: fit_logistic(data, train, cost, parallel), strengths)
    elif "r2" in names:
        lines = ridge(train, strengths)
    else:
        lines = ridge(signed_labels(train), strengths)

    def one(w: Array) -> dict[str, Array]:
        if "r2" in names:
            return {"r2": r2(held, w)}
        return class_scores(data, decide(data, w, parallel), names, n_folds, parallel)

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
        `metrics`, `C`, `alpha` and `plan` as in `ProbeSpec`. Of the metrics for continuous labels only r2; several
        alphas share one factorization.

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
    spec = as_spec(probe, settings, ("metrics", "C", "alpha", "plan"))
    if spec.probe not in JOINT:
        raise ValueError(f"expected probe to be one of {', '.join(JOINT)} for all neurons together, got {spec.probe!r}")
    default, spec = spec.metrics is None, spec.resolve(labels)
    names = ("r2",) if default and not spec.classifies else spec.names
    if "pearson" in names:
        accepted = ", ".join(PROBES[spec.probe].metrics[:-1])
        raise ValueError(f"expected metrics among {accepted} for all neurons together, got {names}")
    with on_capable_device(spec):
        data, n_folds = joint_data(hidden, labels, folds, neurons, spec.classifies, spec.probe)
        parallel = works_at_once(spec, data)
        strengths = np.asarray(spec.strengths, np.float64)
        scores, last_step = _score(data, strengths, spec.probe, names, n_folds, parallel)
        result = {name: np.swapaxes(np.asarray(score), 1, 2) for name, score in scores.items()}
        steps = np.asarray(last_step)
    if not spec.several:
        result = {name: score[0] for name, score in result.items()}
    unfinished = warn_of_unfinished(steps)
    about = {"probe": spec.probe, "C": spec.C, "alpha": spec.alpha}
    return Scores(result, about | {"n_neurons": data.z.shape[1] - 1, "unfinished": unfinished})


def warn_of_unfinished(last_step: Float[np.ndarray, "A K F"]) -> int:
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


@partial(jax.jit, static_argnames=("k", "n_folds", "parallel"))
def _select(data: JointData, k: int, n_folds: int, parallel: bool) -> tuple[Array, Array]:
    """Greedy choice by a pivoted Cholesky factorization of each training set's Gram matrix."""
    held = grams(data, n_folds, parallel)
    train = held.without_each()
    xx, xy, _, x, y = train.centered()
    diagonal = jnp.diagonal(xx, axis1=1, axis2=2)
    n_neurons = diagonal.shape[1]

    def one(xx: Array, xy: Array, diagonal: Array, x: Array, y: Array, held: Grams) -> tuple[Array, Array]:
        least = 1e-10 * diagonal

        def step(state: tuple, number: Array) -> tuple[tuple, tuple]:
            columns, left, cross, chosen = state
            gain = jnp.where(left > least, cross**2 / jnp.where(left > least, left, 1.0), -1.0)
            best = jnp.argmax(gain).astype(jnp.int32)
            pivot = jnp.sqrt(jnp.maximum(left[best], 1e-300))
            column = (xx[best] - columns.T @ columns[:, best]) / pivot
            column = jnp.where(gain[best] > 0, column, 0.0)
            columns, chosen = columns.at[number].set(column), chosen.at[number].set(best)
            cross = cross - column * (cross[best] / pivot)
            left = (left - column**2).at[best].set(0.0)
            taken = jnp.arange(k, dtype=jnp.int32) <= number
            pairs = taken[:, None] & taken[None, :]
            spread = diagonal[chosen]
            sub = jnp.where(pairs, xx[chosen][:, chosen], 0.0) + jnp.diag(
                jnp.where(taken, 1e-10 * spread + 1e-300, 1.0)
            )
            w = jnp.linalg.solve(sub, jnp.where(taken, xy[chosen], 0.0))
            full = jnp.zeros(n_neurons + 1, jnp.float64).at[chosen].add(jnp.where(taken, w, 0.0)).at[-1].set(0.0)
            full = full.at[-1].set(y - full[:-1] @ x)
            single = Grams(held.zz[None], held.zy[None, :, None], held.yy[None, None])
            return (columns, left, cross, chosen), (best, r2(single, full[None, :, None])[0, 0])

        start = (jnp.zeros((k, n_neurons), jnp.float64), diagonal, xy, jnp.zeros(k, jnp.int32))
        return lax.scan(step, start, jnp.arange(k, dtype=jnp.int32))[1]

    features = jax.vmap(one, in_axes=(None, 1, None, None, 0, Grams(None, 1, 0)))  # type: ignore[arg-type]
    return jax.vmap(features)(xx, xy, diagonal, x, y, held)


def select_neurons(hidden: Any, labels: Any, folds: Any, k: int, *, neurons: Any = None) -> Scores:
    """Choose the k neurons that together predict each feature best, greedily, by least squares on each training set.

    Parameters
    ----------
    hidden, labels, folds, neurons
        As in `score_jointly`.
    k : int
        How many neurons to choose.

    Returns
    -------
    Scores
        "neurons" int64 (F, K, k), in order of choice, and "r2" float64 (k, F, K), held out, of the first 1 to k.

    Raises
    ------
    ValueError
        As `score_jointly`, and for a k that is not between 1 and the number of neurons.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import make_folds, select_neurons
    >>> hidden = np.random.default_rng(0).normal(size=(300, 5))
    >>> labels = 2 * hidden[:, [3]] - hidden[:, [1]]
    >>> select_neurons(hidden, labels, make_folds(300, k=2, scheme="shuffled"), 2)["neurons"][0].tolist()
    [[3, 1], [3, 1]]
    """
    spec = ProbeSpec("ols")
    with on_capable_device(spec):
        data, n_folds = joint_data(hidden, labels, folds, neurons, False, spec.probe)
        n_neurons = data.z.shape[1] - 1
        if not 1 <= k <= n_neurons:
            raise ValueError(f"expected k from 1 to {n_neurons} neurons, got {k}")
        chosen, scored = _select(data, int(k), n_folds, works_at_once(spec, data))
        order, score = np.asarray(chosen).astype(np.int64), np.asarray(scored)
    if neurons is not None:
        order = np.asarray(neurons)[order]
    result = {"neurons": np.moveaxis(order, 0, 1), "r2": score.transpose(2, 1, 0)}
    return Scores(result, {"k": int(k), "n_neurons": n_neurons})
