"""A network whose last layers are replaced by a support vector machine on its states."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC, LinearSVC

from dni_jax.devices import use_all_cores
from dni_jax.features import Labels
from dni_jax.lab.repair._repaired import HeadRepair
from dni_jax.models import TrainedModel, record
from dni_jax.text import Corpus

KERNELS = ("linear", "rbf")
_BLOCK = 1_024  # states at a time
_TOGETHER = 8_192  # states whose kernel is computed once for all classes: half a gigabyte


@dataclass(frozen=True, eq=False)
class Hybrid:
    """A body that gives states, and a support vector machine that decides on them; made by `hybrid`.

    Attributes
    ----------
    body
        What turns inputs into states: a `TrainedModel`, which reads a corpus; a function from inputs to states; or
        None, where the inputs are the states.
    kernel
        ``"linear"`` or ``"rbf"``.
    classes
        ``(C,)``: the labels there are, ascending; scores are in this order.
    bias
        float64 ``(C,)``.
    weights
        float64 ``(C, N)`` of a linear machine, to pass to `repair_head` with ``bias``; else None.
    support
        float64 ``(S, N)``: of an RBF machine, the states that any class's machine keeps; else None.
    coefficients
        float64 ``(C, S)``: what each of them adds to each score; else None.
    gamma
        Of ``exp(-gamma |h - s|^2)``; else None.
    """

    body: Any = field(repr=False)
    kernel: str
    classes: np.ndarray
    bias: Float[np.ndarray, " C"] = field(repr=False)
    weights: Float[np.ndarray, "C N"] | None = field(default=None, repr=False)
    support: Float[np.ndarray, "S N"] | None = field(default=None, repr=False)
    coefficients: Float[np.ndarray, "C S"] | None = field(default=None, repr=False)
    gamma: float | None = None

    def decision_function(self, states: Any) -> Float[Array, "T C"]:
        """Give the scores of states ``(T, N)``: a function of JAX arrays that can be differentiated; float32.

        Raises
        ------
        ValueError
            For states of another shape.
        """
        rows = jnp.asarray(states, jnp.float32)
        n_neurons = (self.support if self.weights is None else self.weights).shape[1]  # type: ignore[union-attr]
        if rows.ndim != 2 or rows.shape[1] != n_neurons:
            raise ValueError(f"expected states of shape (T, {n_neurons}), as the machine learnt from, got {rows.shape}")
        bias = jnp.asarray(self.bias, jnp.float32)
        if self.weights is not None:
            return rows @ jnp.asarray(self.weights.T, jnp.float32) + bias
        # Both are laid around the support vectors' mean, so that little is lost in the difference of squares.
        support, coefficients, gamma = self.support, self.coefficients, self.gamma
        assert support is not None  # a machine without weights has all three
        assert coefficients is not None
        assert gamma is not None
        middle = support.mean(axis=0)
        kept = jnp.asarray(support - middle, jnp.float32)
        moved = rows - jnp.asarray(middle, jnp.float32)
        squares = (moved**2).sum(axis=1)[:, None] + (kept**2).sum(axis=1) - jnp.float32(2) * (moved @ kept.T)
        near = jnp.exp(jnp.float32(-gamma) * jnp.maximum(squares, jnp.float32(0)))
        return near @ jnp.asarray(coefficients.T, jnp.float32) + bias

    def scores(self, inputs: Any) -> Float[Array, "T C"]:
        """Give the scores of inputs; with a function or nothing as the body, `dni_jax.lab.repair.fgsm` can take this."""
        return self.decision_function(self._states(inputs))

    def predict(self, inputs: Any) -> np.ndarray:
        """Give the class of each input ``(T,)``: that of the highest score.

        Raises
        ------
        ValueError
            For no inputs, another shape, or scores that are not finite.
        """
        if callable(self.body):
            blocks = [np.asarray(self.scores(inputs[start : start + _BLOCK])) for start in _starts(inputs)]
        else:
            states = self._states(inputs)
            blocks = [np.asarray(self.decision_function(states[start : start + _BLOCK])) for start in _starts(states)]
        if not blocks:
            raise ValueError("expected at least one input to decide on, got none")
        scores = np.concatenate(blocks)
        if not np.isfinite(scores).all():
            raise ValueError("expected inputs with finite scores, got NaN or infinity: see whether the inputs hold any")
        return self.classes[scores.argmax(axis=1)]

    def accuracy(self, inputs: Any, labels: Any) -> float:
        """Give the share of inputs whose class is the label."""
        right, used = _checked_labels(labels)
        found = self.predict(inputs)
        if right.shape != found.shape:
            raise ValueError(f"expected labels of shape {found.shape}, got {right.shape}")
        return float(np.mean(found[used] == right[used]))

    def with_repair(self, fix: HeadRepair) -> Hybrid:
        """Give the same hybrid with a repaired head.

        Raises
        ------
        ValueError
            For an RBF machine, which has no head of weights, or a repair of a head of another shape.
        """
        if self.weights is None:
            raise ValueError(
                "expected a linear hybrid to repair, got an RBF one: it has no weights; kernel='linear' has"
            )
        if fix.weights.shape != self.weights.shape:
            raise ValueError(f"expected a repair of weights {self.weights.shape}, got {fix.weights.shape}")
        return replace(self, weights=fix.weights, bias=fix.bias)

    def _states(self, inputs: Any) -> Any:
        if isinstance(self.body, TrainedModel):
            if not isinstance(inputs, Corpus):
                raise ValueError(f"expected a corpus for the network to read, got {type(inputs).__name__}")
            return record(self.body, inputs).hidden
        return self.body(inputs) if self.body is not None else getattr(inputs, "hidden", inputs)


def fit_hybrid(
    model: Any,
    states: Any,
    labels: Any,
    kernel: str = "linear",
    *,
    C: float = 1.0,
    gamma: float | None = None,
    seed: int = 0,
) -> Hybrid:
    """Replace a network's last layers by a support vector machine on its states (Guidotti & Leofante 2019).

    Every class has a machine of its own, against all others. ``"linear"`` is scikit-learn's ``LinearSVC`` (squared
    hinge, the bias penalised like a weight): a head ``(C, N)`` as a network's, which `dni_jax.repair_head` can repair.
    scikit-learn's ``SVC`` would decide by votes among pairs of classes, which is no such head. ``"rbf"`` is a binary
    ``SVC`` for each class; its scores are smooth, and JAX differentiates through them.

    Parameters
    ----------
    model
        What gives the states: a `TrainedModel`, then the hybrid reads a corpus; a function of JAX arrays from inputs
        ``(T, ...)`` to states ``(T, N)``, such as a Flax network without its last layers, then it reads such inputs; or
        None, then it reads states.
    states
        float ``(T, N)``, or ``Activations``: what the model gave, to learn from; those without a state are left out.
    labels
        int ``(T,)``, or ``Labels`` of one binary feature: the classes, such as codes of the next symbol.
    kernel
        ``"linear"`` or ``"rbf"``.
    C
        The machine's C: the price of an error.
    gamma
        Of the RBF kernel; None: scikit-learn's ``"scale"``, 1 / (N times the variance of all numbers in the states).
    seed
        Orders the states where liblinear's dual solver, for fewer states than neurons, draws them.

    Raises
    ------
    ValueError
        For another kernel, states or labels that do not fit or are not finite, fewer than two classes, or a C or
        gamma that is not above 0.

    Examples
    --------
    >>> states = np.random.default_rng(0).normal(size=(200, 3))
    >>> ring = ((states**2).sum(axis=1) > 2.4).astype(int)
    >>> curved, straight = fit_hybrid(None, states, ring, kernel="rbf"), fit_hybrid(None, states, ring)
    >>> curved.accuracy(states, ring) > 0.95 > straight.accuracy(states, ring)
    True
    """
    use_all_cores()
    if kernel not in KERNELS:
        raise ValueError(f"expected a kernel among {KERNELS}, got {kernel!r}")
    if model is not None and not isinstance(model, TrainedModel) and not callable(model):
        raise ValueError(f"expected a TrainedModel, a function or None, got {type(model).__name__}")
    if isinstance(gamma, str):
        raise ValueError(f'expected gamma as a number, or None for scikit-learn\'s "scale", got {gamma!r}')
    if not C > 0 or (gamma is not None and not gamma > 0):
        raise ValueError(f"expected a C and a gamma above 0, got {C} and {gamma}")
    rows, right = _checked(states, labels)
    classes = np.unique(right)
    if len(classes) < 2:
        raise ValueError(f"expected labels of at least two classes, got only {classes.tolist()}")
    each = classes if len(classes) > 2 else classes[1:]  # the machines of two classes are each other's mirror
    if kernel == "linear":
        weights, bias = _linear(rows, [right == name for name in each], C, seed)
        return Hybrid(model, kernel, classes, _mirrored(bias, classes), weights=_mirrored(weights, classes))
    if gamma is None and not rows.var():
        raise ValueError("expected states that differ, got the same number everywhere: no width of the kernel fits")
    width = float(gamma) if gamma is not None else 1 / (rows.shape[1] * float(rows.var()))
    kept, coefficients, bias = _rbf(rows, [right == name for name in each], C, width)
    return Hybrid(
        model,
        kernel,
        classes,
        _mirrored(bias, classes),
        support=rows[kept],
        coefficients=_mirrored(coefficients, classes),
        gamma=width,
    )


def _linear(rows: Any, each: list[np.ndarray], C: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    machines = [LinearSVC(C=C, dual="auto", random_state=seed, max_iter=10_000).fit(rows, one) for one in each]
    return np.concatenate([one.coef_ for one in machines]), np.concatenate([one.intercept_ for one in machines])


def _rbf(rows: Any, each: list[np.ndarray], C: float, gamma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the rows that any machine keeps, each machine's coefficients of them, and biases."""
    if len(rows) <= _TOGETHER:
        near = rbf_kernel(rows, gamma=gamma)
        machines = [SVC(C=C, kernel="precomputed").fit(near, one) for one in each]
    else:
        machines = [SVC(C=C, kernel="rbf", gamma=gamma, cache_size=500).fit(rows, one) for one in each]
    kept = np.unique(np.concatenate([one.support_ for one in machines]))
    coefficients = np.zeros((len(machines), len(kept)))
    for place, one in enumerate(machines):
        coefficients[place, np.searchsorted(kept, one.support_)] = one.dual_coef_[0]
    return kept, coefficients, np.concatenate([one.intercept_ for one in machines])


def _mirrored(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return values if len(classes) > 2 else np.concatenate([-values, values])


def _starts(rows: Any) -> range:
    return range(0, len(rows), _BLOCK)


def _checked(states: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give states as float64 and labels, without positions that have none."""
    rows = np.asarray(getattr(states, "hidden", states), np.float64)
    right, used = _checked_labels(labels)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"expected states of shape (T, N), got {rows.shape}")
    if right.shape != (len(rows),):
        raise ValueError(f"expected labels of shape ({len(rows)},), one a state, got {right.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("expected finite states, got NaN or infinity")
    mask = getattr(states, "mask", None)
    used = used if mask is None else used & mask
    return rows[used], right[used]


def _checked_labels(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Give labels as integers, and where there are any."""
    if isinstance(labels, Labels):
        if labels.kinds != ("binary",):
            raise ValueError(
                f"expected labels of one binary feature, got {labels!r}: labels.select(name) takes one out"
            )
        return labels.columns[0].astype(np.int64), labels.mask
    right = np.asarray(labels)
    if right.ndim != 1 or right.dtype.kind not in "iub":
        raise ValueError(f"expected integer labels of shape (T,), got {right.dtype} {right.shape}")
    return right.astype(np.int64), np.ones(len(right), bool)
