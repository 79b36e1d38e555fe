"""Hybrids: a network whose last layers are replaced by a support vector machine on its states."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC, LinearSVC

from dni_jax.devices import use_all_cores
from dni_jax.features import Labels
from dni_jax.lab.repair._head import HeadRepair
from dni_jax.lab.repair._large_machines import fit_linear_machines, fit_rbf_machines
from dni_jax.models import TrainedModel, record
from dni_jax.states import as_activations, read_hidden
from dni_jax.text import Corpus

KERNELS = ("linear", "rbf")
_BLOCK = 1_024  # states at a time
_MANY = 8_192  # up to this many states scikit-learn fits class after class; its kernel matrix has half a gigabyte


@jax.jit
def _linear_scores(rows: Float[Array, "T N"], weights: Float[Array, "C N"], bias: Float[Array, " C"]) -> Array:
    return rows @ weights.T + bias


@jax.jit
def _kernel_scores(
    rows: Float[Array, "T N"],
    center: Float[Array, " N"],
    centers: Float[Array, "S N"],
    coefficients: Float[Array, "C S"],
    bias: Float[Array, " C"],
    gamma: Float[Array, ""],
) -> Array:
    centered = rows - center
    squares = (centered**2).sum(axis=1)[:, None] + (centers**2).sum(axis=1)
    squares = squares - jnp.float32(2) * (centered @ centers.T)
    return jnp.exp(-gamma * jnp.maximum(squares, jnp.float32(0))) @ coefficients.T + bias


@dataclass(frozen=True, eq=False)
class Hybrid:
    """A body that computes states, and a support vector machine that classifies them; made by `fit_hybrid`.

    Attributes
    ----------
    body
        Maps inputs to states: a `TrainedModel`, which reads a corpus; a function of the inputs; or None, if the inputs
        are the states.
    kernel
        ``"linear"`` or ``"rbf"``.
    classes
        ``(C,)``: the labels, ascending; scores are in this order.
    bias
        float64 ``(C,)``.
    weights
        float64 ``(C, N)`` for a linear kernel, to pass to `repair_head` with ``bias``; else None.
    support
        float64 ``(S, N)`` for an RBF kernel: the support vectors of all classes; else None.
    coefficients
        float64 ``(C, S)``: the weight of each support vector in each score; else None.
    gamma
        The parameter of the kernel ``exp(-gamma |h - s|^2)``; else None.
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
        """Compute the scores of states ``(T, N)``, in float32; differentiable by JAX.

        Raises
        ------
        ValueError
            For states of another shape.
        """
        rows = states if isinstance(states, jax.Array) else np.asarray(states)
        n_neurons = (self.support if self.weights is None else self.weights).shape[1]  # type: ignore[union-attr]
        if rows.ndim != 2 or rows.shape[1] != n_neurons:
            raise ValueError(f"expected states of shape (T, {n_neurons}), as in training, got {rows.shape}")
        rows, bias = rows.astype(np.float32), self.bias.astype(np.float32)
        if self.weights is not None:
            return _linear_scores(rows, self.weights.astype(np.float32), bias)
        support, coefficients, gamma = self.support, self.coefficients, self.gamma
        assert support is not None  # an RBF kernel has all three
        assert coefficients is not None
        assert gamma is not None
        # Centered at the support vectors' mean, since |h|^2 + |s|^2 - 2 h s loses digits far from the origin.
        center = support.mean(axis=0)
        arrays = (center, support - center, coefficients, bias)
        return _kernel_scores(rows, *(array.astype(np.float32) for array in arrays), np.float32(gamma))

    def scores(self, inputs: Any) -> Float[Array, "T C"]:
        """Compute the scores of inputs; if the body is a function or None, `dni_jax.lab.repair.fgsm` accepts this."""
        return self.decision_function(self._states(inputs))

    def predict(self, inputs: Any) -> np.ndarray:
        """Return the class of each input ``(T,)``: that of the highest score.

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
            raise ValueError("expected at least one input, got none")
        scores = np.concatenate(blocks)
        if not np.isfinite(scores).all():
            raise ValueError("expected inputs with finite scores, got NaN or infinity: check the inputs")
        return self.classes[scores.argmax(axis=1)]

    def accuracy(self, inputs: Any, labels: Any) -> float:
        """Compute the share of inputs whose class is the label."""
        truth, used = _checked_labels(labels)
        predicted = self.predict(inputs)
        if truth.shape != predicted.shape:
            raise ValueError(f"expected labels of shape {predicted.shape}, got {truth.shape}")
        return float(np.mean(predicted[used] == truth[used]))

    def with_repair(self, fix: HeadRepair) -> Hybrid:
        """Return the hybrid with a repaired head.

        Raises
        ------
        ValueError
            For an RBF kernel, which has no weights, or a repair of a head of another shape.
        """
        if self.weights is None:
            raise ValueError(
                "expected a linear hybrid to repair, got an RBF one, which has no weights: fit kernel='linear'"
            )
        if fix.weights.shape != self.weights.shape:
            raise ValueError(f"expected a repair of weights {self.weights.shape}, got {fix.weights.shape}")
        return replace(self, weights=fix.weights, bias=fix.bias)

    def _states(self, inputs: Any) -> Any:
        if isinstance(self.body, TrainedModel):
            if not isinstance(inputs, Corpus):
                raise ValueError(f"expected a corpus for the network to read, got {type(inputs).__name__}")
            return record(self.body, inputs).hidden
        if self.body is not None:
            return self.body(inputs)
        # Arrays stay as they are: JAX may be differentiating.
        return inputs if isinstance(inputs, np.ndarray | jax.Array) else read_hidden(inputs)


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

    Multiclass problems are solved one-vs-rest. ``"linear"`` is scikit-learn's ``LinearSVC`` (squared hinge, the bias
    penalized like a weight): a head ``(C, N)`` like a network's, which `dni_jax.repair_head` can repair. scikit-learn's
    ``SVC`` would vote among pairs of classes, which is not such a head. ``"rbf"`` is a binary ``SVC`` for each class;
    its scores are smooth, and JAX differentiates through them. With more than 8,192 states, other solvers find the same
    optima, up to their tolerances.

    Parameters
    ----------
    model
        The body of the hybrid: a `TrainedModel`, to classify positions of a corpus; a function of JAX arrays from
        inputs ``(T, ...)`` to states ``(T, N)``, such as a Flax network without its last layers; or None, to classify
        states.
    states
        float ``(T, N)``, or ``Activations``: the body's states to train on; positions without a state are skipped.
    labels
        int ``(T,)``, or ``Labels`` of one binary feature: the classes, such as codes of the next symbol.
    kernel
        ``"linear"`` or ``"rbf"``.
    C
        scikit-learn's C: the cost of an error.
    gamma
        The RBF kernel's; None: scikit-learn's ``"scale"``, 1 / (N times the variance of all numbers in the states).
    seed
        Orders the states in liblinear's dual solver, which is used for fewer states than neurons; with more than 8,192
        states, draws the first working set of an RBF machine.

    Raises
    ------
    ValueError
        For another kernel, states or labels that do not fit or are not finite, fewer than two classes, or a C or a
        gamma that is not above 0.

    Examples
    --------
    >>> states = np.random.default_rng(0).normal(size=(200, 3))
    >>> ring = ((states**2).sum(axis=1) > 2.4).astype(int)
    >>> rbf, linear = fit_hybrid(None, states, ring, kernel="rbf"), fit_hybrid(None, states, ring)
    >>> rbf.accuracy(states, ring) > 0.95 > linear.accuracy(states, ring)
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
    rows, truth = _checked(states, labels)
    classes = np.unique(truth)
    if len(classes) < 2:
        raise ValueError(f"expected labels of at least two classes, got only {classes.tolist()}")
    positive = classes if len(classes) > 2 else classes[1:]  # of two classes, one's scores are minus the other's
    if kernel == "linear":
        weights, bias = _fit_linear(rows, [truth == name for name in positive], C, seed)
        return Hybrid(model, kernel, classes, _both_classes(bias, classes), weights=_both_classes(weights, classes))
    if gamma is None and not rows.var():
        raise ValueError("expected states that differ, got the same number everywhere, for which gamma has no scale")
    width = float(gamma) if gamma is not None else 1 / (rows.shape[1] * float(rows.var()))
    kept, coefficients, bias = _fit_rbf(rows, [truth == name for name in positive], C, width, seed)
    return Hybrid(
        model,
        kernel,
        classes,
        _both_classes(bias, classes),
        support=rows[kept],
        coefficients=_both_classes(coefficients, classes),
        gamma=width,
    )


def _fit_linear(rows: Any, targets: list[np.ndarray], C: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if len(rows) > _MANY:
        return fit_linear_machines(rows, np.stack(targets, axis=1), C)
    machines = [LinearSVC(C=C, dual="auto", random_state=seed, max_iter=10_000).fit(rows, one) for one in targets]
    return np.concatenate([one.coef_ for one in machines]), np.concatenate([one.intercept_ for one in machines])


def _fit_rbf(
    rows: Any, targets: list[np.ndarray], C: float, gamma: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of all support vectors, their coefficients for each class, and the biases."""
    if len(rows) > _MANY:
        return fit_rbf_machines(rows, np.stack(targets, axis=1), C, gamma, seed)
    kernel = rbf_kernel(rows, gamma=gamma)
    machines = [SVC(C=C, kernel="precomputed").fit(kernel, one) for one in targets]
    kept = np.unique(np.concatenate([one.support_ for one in machines]))
    coefficients = np.zeros((len(machines), len(kept)))
    for place, one in enumerate(machines):
        coefficients[place, np.searchsorted(kept, one.support_)] = one.dual_coef_[0]
    return kept, coefficients, np.concatenate([one.intercept_ for one in machines])


def _both_classes(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return values if len(classes) > 2 else np.concatenate([-values, values])


def _starts(rows: Any) -> range:
    return range(0, len(rows), _BLOCK)


def _checked(states: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return states as float64 and labels, without positions that lack one of them."""
    activations = as_activations(states)
    rows = read_hidden(activations).astype(np.float64, copy=False)
    truth, used = _checked_labels(labels)
    if not rows.size:
        raise ValueError(f"expected states of shape (T, N), got {rows.shape}")
    if truth.shape != (len(rows),):
        raise ValueError(f"expected labels of shape ({len(rows)},), one per state, got {truth.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("expected finite states, got NaN or infinity")
    used = used if activations.mask is None else used & activations.mask
    return rows[used], truth[used]


def _checked_labels(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as integers, and a mask of where they are known."""
    if isinstance(labels, Labels):
        if labels.kinds != ("binary",):
            raise ValueError(f"expected labels of one binary feature, got {labels!r}: pass labels.select(name)")
        return labels.columns[0].astype(np.int64), labels.mask
    truth = np.asarray(labels)
    if truth.ndim != 1 or truth.dtype.kind not in "iub":
        raise ValueError(f"expected integer labels of shape (T,), got {truth.dtype} {truth.shape}")
    return truth.astype(np.int64), np.ones(len(truth), bool)
