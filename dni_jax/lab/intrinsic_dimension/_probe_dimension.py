"""The intrinsic dimension of a feature: how many random directions of the states its probe needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from dni_jax.devices import use_all_cores
from dni_jax.features import Labels
from dni_jax.inspection import check_states, folds_of
from dni_jax.lab.intrinsic_dimension._logistic import Whitened, fit_logistic, whiten
from dni_jax.lab.intrinsic_dimension._result import bracket_of, smallest_reaching

METRICS = ("auc", "balanced_accuracy")
_DECISIONS_AT_ONCE = 2**26  # in one call of the compiled program


class _Split(NamedTuple):
    """States in random directions, and the training and held-out positions."""

    states: Float[np.ndarray, "T N"]
    whitened: Whitened
    train: Bool[np.ndarray, " T"]
    held_out: Bool[np.ndarray, " T"]


def measure_probe_dimension(
    states: Any,
    labels: Labels,
    dims: Sequence[int] | None = None,
    *,
    target: float = 0.9,
    repeats: int = 3,
    metric: str = "auc",
    C: float = 1.0,
    alpha: float = 1.0,
    class_weight: str | None = None,
    folds: int | np.ndarray = 4,
    groups: np.ndarray | None = None,
    min_gain: float = 0.05,
    seed: int = 0,
) -> xr.Dataset:
    """Measure how many random directions of the states suffice to decode each feature: its probe's intrinsic dimension.

    The weights of a linear probe are ``P z`` with an N x d matrix P of random orthogonal directions, so that it reads d
    random mixtures of the neurons, ``P' h``. A feature that any few mixtures decode is spread over the states'
    strongest directions; one that needs nearly all N hides in a few weak ones. The dimension is the smallest d that
    reaches the share `target` of the way from chance to the probe of all neurons (d90 of Li et al. 2018, for a probe).

    Parameters
    ----------
    states
        ``Activations``, or an array ``(T, N)``.
    labels
        The features' labels on the same positions.
    dims
        The dimensions to try, up to N; by default powers of two, the midpoints between them, and N.
    target
        The share of the way from chance (AUC and balanced accuracy .5, R^2 0) to all N that defines the dimension.
    repeats
        How often to draw directions; repetition r is scored on fold r (modulo their number). Within a repetition, the
        first d directions are the same for all dimensions and features. The dimension is that of the mean score.
    metric : {"auc", "balanced_accuracy"}
        The score of binary features on held-out positions; continuous ones use R^2.
    C, class_weight
        Those of scikit-learn's logistic regression; `class_weight` is None or "balanced".
    alpha
        The penalty of ridge regression, for continuous features.
    folds
        The number of folds, into which whole strings are dealt; or int ``(T,)``, -1 for positions to skip.
    groups
        int ``(T,)``: the string of each position; taken from `states` if they are ``Activations``.
    min_gain
        A feature that the probe of all N neurons does not decode by this much above chance has no dimension.
    seed
        Draws directions and folds.

    Returns
    -------
    Dataset with ``score`` ``(feature, dim, repeat)``; and ``(feature,)``: ``full``, the mean score of all N neurons;
    ``threshold``; ``dimension``, NaN if there is none; ``below``, the next smaller of `dims`, or 0. The dimension lies
    above ``below``. A score is NaN where one class is missing, in the held-out fold or in the training positions; one
    such repetition makes ``full`` NaN, and the feature has no dimension. The attribute ``unfinished`` counts fits that
    stopped before they converged.

    Raises
    ------
    ValueError
        For invalid settings, states that are not finite, and as `dni_jax.inspect` does.

    Examples
    --------
    >>> import dni_jax as dni
    >>> corpus = dni.languages.get("parentheses").sample(100, seed=0)
    >>> labels = dni.char_feature("digit", str.isdigit).label(corpus)
    >>> hidden = np.random.default_rng(0).normal(size=(corpus.n_positions, 6))
    >>> hidden[:, 4] += 9.0 * labels["digit"]
    >>> found = measure_probe_dimension(hidden, labels, (1, 6), groups=corpus.string_ids)
    >>> float(found["full"][0]) > 0.99, 1 <= float(found["dimension"][0]) <= 6
    (True, True)
    """
    use_all_cores()
    hidden = check_states(states, labels)
    _check(target, repeats, metric, class_weight, C, alpha)
    tried = _dims(dims, hidden.shape[1])
    dealt = folds_of(states, labels, folds, groups, seed)
    used = dealt >= 0
    hidden, values, dealt = hidden[used].astype(np.float64), labels.values[used].astype(np.float64), dealt[used]
    n_folds = _check_used(hidden, dealt)
    binary = np.asarray([kind == "binary" for kind in labels.kinds], bool)
    every = (*tried.tolist(), *([] if tried[-1] == hidden.shape[1] else [hidden.shape[1]]))
    score = np.full((len(labels), len(every), repeats), np.nan)
    unfinished = 0
    for repeat in range(repeats):
        split = _split(hidden, dealt == repeat % n_folds, np.random.default_rng((seed, repeat)))
        if binary.any():
            score[binary, :, repeat], stopped = _score_binary(split, values[:, binary], every, metric, C, class_weight)
            unfinished += stopped
        if (~binary).any():
            score[~binary, :, repeat] = _score_continuous(split, values[:, ~binary], every, alpha)
    attrs = {"metric": metric, "target": target, "unfinished": unfinished}
    return _summarize(labels, tried, score, np.where(binary, 0.5, 0.0), target, min_gain, attrs)


def _dims(dims: Sequence[int] | None, n_neurons: int) -> Int[np.ndarray, " d"]:
    if dims is None:
        powers = 2 ** np.arange(n_neurons.bit_length())
        steps = np.concatenate([powers, 3 * powers[:-1] // 2, [1, n_neurons]])
        return np.unique(steps[steps <= n_neurons])
    given = np.asarray(dims)
    whole = given.ndim == 1 and given.size > 0 and given.dtype.kind in "iu"
    if not whole or len(set(given.tolist())) < given.size or given.min() < 1 or given.max() > n_neurons:
        raise ValueError(f"expected different integer dims from 1 to the number of neurons, {n_neurons}, got {dims!r}")
    return np.sort(given)


def _check(target: float, repeats: int, metric: str, class_weight: str | None, C: float, alpha: float) -> None:
    if not 0 < target <= 1:
        raise ValueError(f"expected a target above 0 and up to 1, got {target}")
    if repeats < 1:
        raise ValueError(f"expected repeats of at least 1, got {repeats}")
    if metric not in METRICS:
        raise ValueError(f"expected metric among {', '.join(METRICS)}, got {metric!r}")
    if class_weight not in (None, "balanced"):
        raise ValueError(f'expected class_weight to be None or "balanced", got {class_weight!r}')
    if not 0 < C < np.inf or not 0 <= alpha < np.inf:
        raise ValueError(f"expected C above 0 and alpha of at least 0, got {C} and {alpha}")


def _check_used(hidden: np.ndarray, folds: np.ndarray) -> int:
    """Return the number of folds."""
    sizes = np.bincount(folds)
    if len(sizes) < 2 or not sizes.all():
        raise ValueError(f"expected at least 2 folds, none of them empty, got positions {sizes.tolist()} by fold")
    if not np.isfinite(hidden).all():
        raise ValueError("expected finite states, got NaN or infinity")
    return len(sizes)


def _split(hidden: np.ndarray, held_out: np.ndarray, rng: np.random.Generator) -> _Split:
    """Rotate states by a random orthogonal matrix.

    The Q of a normal random matrix, with the signs of R's diagonal moved into Q, is uniform over all rotations
    (Mezzadri 2007).
    """
    q, r = np.linalg.qr(rng.normal(size=(hidden.shape[1],) * 2))
    rotated = hidden @ (q * np.sign(np.diagonal(r)))
    return _Split(rotated, whiten(rotated, ~held_out), ~held_out, held_out)


def _score_binary(
    split: _Split, labels: np.ndarray, dims: tuple[int, ...], metric: str, C: float, class_weight: str | None
) -> tuple[Float[np.ndarray, "F d"], int]:
    """Return the scores of logistic regression on held-out positions, and how many fits did not converge."""
    train = labels[split.train]
    size = np.stack([(train == 0).sum(0), (train == 1).sum(0)]).astype(np.float64)
    known = (size > 0).all(0)
    costs = np.full(size.shape, C)
    if class_weight == "balanced":
        costs = C * len(train) / (2 * np.maximum(size, 1))
    columns, held_out = (jnp.asarray(split.whitened.columns[rows]) for rows in (split.train, split.held_out))
    scores, stopped = np.full((labels.shape[1], len(dims)), np.nan), 0
    for some in _blocks(np.flatnonzero(known), max(1, _DECISIONS_AT_ONCE // (len(train) * len(dims)))):
        z, b, unconverged = fit_logistic(
            columns,
            jnp.asarray(split.whitened.penalty),
            jnp.asarray(train[:, some], jnp.float32),
            jnp.asarray(costs[:, some], jnp.float32),
            dims,
        )
        stopped += int(np.asarray(unconverged).sum())
        for place, (weights, bias) in enumerate(zip(z, b, strict=True)):
            decision = np.asarray(held_out @ weights + bias)
            scores[some, place] = _score_decisions(decision, labels[split.held_out][:, some] > 0, metric)
    return scores, stopped


def _blocks(columns: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for first in range(0, len(columns), size):
        yield columns[first : first + size]


def _score_decisions(decision: np.ndarray, truth: Bool[np.ndarray, "T F"], metric: str) -> Float[np.ndarray, " F"]:
    """Compute the AUC or balanced accuracy of each column; NaN without both classes."""
    positive, negative = truth.sum(0).astype(np.float64), (~truth).sum(0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        if metric == "balanced_accuracy":
            true_positive, true_negative = ((decision > 0) & truth).sum(0), ((decision <= 0) & ~truth).sum(0)
            return (true_positive / positive + true_negative / negative) / 2
        ranks = (rankdata(decision, axis=0) * truth).sum(0)
        return (ranks - positive * (positive + 1) / 2) / (positive * negative)


def _score_continuous(
    split: _Split, labels: np.ndarray, dims: tuple[int, ...], alpha: float
) -> Float[np.ndarray, "F d"]:
    """Compute the R^2 of ridge regression on held-out positions."""
    x, y = split.states[split.train], labels[split.train]
    mean_x, mean_y = x.mean(0), y.mean(0)
    gram, cross = (x - mean_x).T @ (x - mean_x), (x - mean_x).T @ (y - mean_y)
    held_out, truth = split.states[split.held_out] - mean_x, labels[split.held_out]
    spread = ((truth - truth.mean(0)) ** 2).sum(0)
    scores = np.full((labels.shape[1], len(dims)), np.nan)
    for place, d in enumerate(dims):
        # Least squares rather than solve: the system is singular if neurons are collinear and alpha is 0.
        weights = np.linalg.lstsq(gram[:d, :d] + alpha * np.eye(d), cross[:d], rcond=None)[0]
        error = ((truth - mean_y - held_out[:, :d] @ weights) ** 2).sum(0)
        scores[spread > 0, place] = 1 - error[spread > 0] / spread[spread > 0]
    return scores


def _summarize(
    labels: Labels,
    dims: Int[np.ndarray, " d"],
    score: Float[np.ndarray, "F d1 R"],
    chance: Float[np.ndarray, " F"],
    target: float,
    min_gain: float,
    attrs: dict[str, Any],
) -> xr.Dataset:
    measured = np.isfinite(score).all(1)
    total = np.where(measured[:, None, :], score, 0.0).sum(2)
    mean = np.where(measured.any(1)[:, None], total / np.maximum(measured.sum(1), 1)[:, None], np.nan)
    full = mean[:, -1]
    threshold = chance + target * (full - chance)
    dimension, below = np.full(len(full), np.nan), np.full(len(full), np.nan)
    for feature in np.flatnonzero(full - chance >= min_gain):
        found = smallest_reaching(dims, mean[feature, : len(dims)], threshold[feature])
        dimension[feature] = np.nan if found is None else found
        below[feature] = bracket_of(dims, found, 0)[0]
    by_feature = {"full": full, "threshold": threshold, "dimension": dimension, "below": below}
    return xr.Dataset(
        {
            "score": (("feature", "dim", "repeat"), score[:, : len(dims)]),
            **{name: ("feature", values) for name, values in by_feature.items()},
        },
        coords={"feature": list(labels.names), "dim": dims, "kind": ("feature", list(labels.kinds))},
        attrs=attrs,
    )
