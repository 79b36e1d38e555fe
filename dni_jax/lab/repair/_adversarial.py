"""Adversarial inputs by the fast gradient sign method (Goodfellow et al. 2015), at a fixed or at the smallest step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dni_jax.devices import use_all_cores
from dni_jax.lab.repair._targets import checked_labels

Scores = Callable[[Any], Float[Array, "T C"]]
Loss = Callable[[Any, Any], Float[Array, " T"]]

_LEAD = 1e-5  # of the largest score: by this another class must lead, so that rounding does not undo an adversarial


def cross_entropy(scores: Float[Array, "T C"], labels: Any) -> Float[Array, " T"]:
    """Compute minus the log-probability of each label, in nats; scores are logits."""
    return -jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1)[:, 0]


def fgsm(
    scores: Scores,
    inputs: Any,
    labels: Any,
    epsilon: float,
    low: float = 0.0,
    high: float = 1.0,
    *,
    minimal: bool = False,
    loss: Loss = cross_entropy,
    batch: int = 256,
) -> Float[np.ndarray, "T ..."]:
    """Move every number of an input by epsilon in the direction that increases the loss (Goodfellow et al. 2015).

    ``clip(x + epsilon * sign(d loss / d x), low, high)``: clipping to the valid range is part of the method, so a
    number near an end of it moves by less. Where the gradient is exactly 0, nothing moves; in float32 this also happens
    where a network is very confident.

    Parameters
    ----------
    scores
        A function of JAX arrays from inputs ``(B, ...)`` to scores ``(B, C)``, each row from its own input, such as a
        network's logits or `Hybrid.scores`.
    inputs
        float ``(T, ...)``; computed in float32.
    labels
        int ``(T,)``: the columns of the scores whose loss increases.
    epsilon
        In the unit of the inputs, 0 or more.
    low, high
        The valid range; infinite ends do not clip.
    minimal
        Move each input only as far as its class needs to change, and at most by epsilon; inputs whose class does not
        change stay as they are. This is how foolbox made adversarials in 2019, and so those of Guidotti & Leofante.
        `minimal_fgsm` also returns how far each was moved, and says what the search guarantees.
    loss
        Maps scores and labels to one number per input.
    batch
        Inputs at a time; memory holds what the network needs to differentiate through them.

    Returns
    -------
    float32 ``(T, ...)``.

    Raises
    ------
    ValueError
        For a negative epsilon, an empty range, inputs outside of it or not finite, or labels or scores that do not fit;
        for scores that JAX cannot differentiate, or gradients that are not finite. If `minimal`, also for an epsilon of
        0, or if the class of no input changes.

    Examples
    --------
    >>> scores = lambda x: jnp.stack([x.sum(axis=1), -x.sum(axis=1)], axis=1)
    >>> fgsm(scores, [[0.5, 0.05]], [0], epsilon=0.125).round(3).tolist()
    [[0.375, 0.0]]
    """
    use_all_cores()
    if minimal:
        return minimal_fgsm(scores, inputs, labels, (epsilon,), low, high, loss=loss, batch=batch).inputs_at(epsilon)
    if not epsilon >= 0 or not np.isfinite(epsilon):
        raise ValueError(f"expected a finite epsilon of 0 or more, got {epsilon}")
    rows = _checked(inputs, low, high)
    return np.clip(rows + np.float32(epsilon) * gradient_sign(scores, rows, labels, loss=loss, batch=batch), low, high)


def gradient_sign(
    scores: Scores, inputs: Any, labels: Any, *, loss: Loss = cross_entropy, batch: int = 256
) -> Float[np.ndarray, "T ..."]:
    """Return the signs that `fgsm` steps along, -1, 0 or 1 in float32: the same for every epsilon.

    Parameters and errors are those of `fgsm`.
    """
    rows = _checked(inputs, -np.inf, np.inf)
    if batch < 1:
        raise ValueError(f"expected a batch of at least 1, got {batch}")
    if not len(rows):
        return rows
    classes = _checked_classes(scores, rows, labels)
    signs = [
        np.asarray(_signs(rows[start : start + batch], classes[start : start + batch], scores, loss))
        for start in range(0, len(rows), batch)
    ]
    if not all(np.isfinite(one).all() for one in signs):
        raise ValueError("expected a network with finite gradients, got NaN: check its scores and the loss")
    return np.concatenate(signs)


@dataclass(frozen=True, eq=False)
class MinimalAttack:
    """For each input, the smallest step of the fast gradient sign method that changes its class; by `minimal_fgsm`.

    Attributes
    ----------
    inputs
        float32 ``(T, ...)``: unchanged.
    signs
        float32 ``(T, ...)``: the direction of each step, -1, 0 or 1.
    sizes
        float32 ``(T,)``: the smallest epsilon that was found; 0 where the input is misclassified as it is, infinity
        where no step up to the bound succeeds.
    epsilons
        Ascending; the last is the bound.
    low, high
        The valid range.
    """

    inputs: Float[np.ndarray, "T ..."] = field(repr=False)
    signs: Float[np.ndarray, "T ..."] = field(repr=False)
    sizes: Float[np.ndarray, " T"] = field(repr=False)
    epsilons: tuple[float, ...]
    low: float
    high: float

    def found(self, epsilon: float) -> Bool[np.ndarray, " T"]:
        """Return which inputs are misclassified after a step of at most epsilon, those that need no step included.

        Raises
        ------
        ValueError
            For an epsilon that is not among `epsilons`: a search up to it might have seen other steps.
        """
        if epsilon not in self.epsilons:
            raise ValueError(f"expected an epsilon among {self.epsilons}, got {epsilon}: search again with it")
        return self.sizes <= np.float32(epsilon)

    def inputs_at(self, epsilon: float) -> Float[np.ndarray, "T ..."]:
        """Return the inputs, each for which an adversarial was found replaced by it; float32 ``(T, ...)``."""
        found = self.found(epsilon)
        moved = self.inputs.copy()
        moved[found] = _step(self.inputs[found], self.signs[found], self.sizes[found], self.low, self.high)
        return moved

    def success_rate(self, epsilon: float) -> float:
        """Return the share of the correctly classified inputs for which an adversarial was found; NaN for none."""
        correct = self.sizes > 0
        return float(self.found(epsilon)[correct].mean()) if correct.any() else float("nan")


def minimal_fgsm(
    scores: Scores,
    inputs: Any,
    labels: Any,
    epsilons: Sequence[float],
    low: float = 0.0,
    high: float = 1.0,
    *,
    grid: int = 20,
    halvings: int = 6,
    loss: Loss = cross_entropy,
    batch: int = 256,
) -> MinimalAttack:
    """Search each input's smallest step along the sign of its gradient that changes its class.

    The direction of a step does not depend on its length, so the search is over one number for each input. Success need
    not be monotone in it: a class may change and change back. So the lengths of a grid are tried in ascending order,
    and the interval below the first that succeeds is halved.

    Guaranteed: the step of every finite size succeeds; none of the grid below it does; and a step that is shorter by
    ``width / 2**halvings`` does not, where ``width`` is the distance of two lengths of the grid. Not guaranteed: that
    no shorter step between two lengths of the grid succeeds. A step succeeds if another class leads the label's by more
    than 1e-5 of the largest score, so that rounding in a batch of another size does not undo it.

    Parameters
    ----------
    scores, inputs, labels, low, high, loss, batch
        As for `fgsm`.
    epsilons
        Ascending, above 0; the last is the bound. All are in the grid, so one search serves a bound at each of them.
    grid
        The number of lengths to try, at least; as many in the interval below each epsilon as in any other.
    halvings
        How often the interval is halved.

    Raises
    ------
    ValueError
        As for `fgsm`; for epsilons that are not above 0, finite and ascending, no input, or a step that succeeds
        nowhere.

    Examples
    --------
    >>> scores = lambda x: jnp.stack([x.sum(axis=1), -x.sum(axis=1)], axis=1)
    >>> attack = minimal_fgsm(scores, [[0.3, 0.1], [0.9, 0.9], [-0.1, 0.0]], [0, 0, 0], (0.1, 0.25), low=-1)
    >>> [round(float(size), 2) for size in attack.sizes]
    [0.2, inf, 0.0]
    >>> attack.found(0.1).tolist(), attack.found(0.25).tolist(), attack.success_rate(0.25)
    ([False, False, True], [True, False, True], 0.5)
    """
    use_all_cores()
    bounds = _checked_epsilons(epsilons)
    if grid < 1 or halvings < 0:
        raise ValueError(f"expected a grid of at least 1 and halvings of 0 or more, got {grid} and {halvings}")
    rows = _checked(inputs, low, high)
    if not len(rows):
        raise ValueError("expected at least one input to attack, got none")
    signs = gradient_sign(scores, rows, labels, loss=loss, batch=batch)
    classes = _checked_classes(scores, rows, labels)

    def succeeds(which: Int[np.ndarray, " K"], lengths: Float[np.ndarray, " K"]) -> Bool[np.ndarray, " K"]:
        found = [
            _misclassified(*_filled(rows, signs, classes, lengths, which, start, batch, low, high), scores)
            for start in range(0, len(which), batch)
        ]
        return np.concatenate(found)[: len(which)] if found else np.zeros(0, bool)

    sizes = np.full(len(rows), np.inf, np.float32)
    below = np.zeros(len(rows), np.float32)
    everywhere = np.arange(len(rows))
    sizes[everywhere[succeeds(everywhere, below)]] = 0
    for shorter, length in _pairs(bounds, grid):
        left = np.flatnonzero(np.isinf(sizes))
        hit = left[succeeds(left, np.full(len(left), length, np.float32))]
        sizes[hit], below[hit] = length, shorter
    if not np.isfinite(sizes).any():
        why = (
            "the gradient is 0 everywhere: check that the scores depend on the inputs, or scale them down"
            if not signs.any()
            else "raise the bound"
        )
        raise ValueError(f"expected an attack that succeeds on an input, got none up to epsilon {bounds[-1]}: {why}")
    moved = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    for _ in range(halvings):
        middle = (below[moved] + sizes[moved]) / np.float32(2)
        hit = succeeds(moved, middle)
        sizes[moved[hit]], below[moved[~hit]] = middle[hit], middle[~hit]
    return MinimalAttack(rows, signs, sizes, bounds, low, high)


def _pairs(bounds: tuple[float, ...], grid: int) -> list[tuple[np.float32, np.float32]]:
    """Return neighbors in the grid of lengths, ascending; every bound is in it."""
    each = -(-grid // len(bounds))
    lengths = [np.float32(0)]
    for start, stop in zip((0.0, *bounds), bounds, strict=False):
        lengths += [np.float32(one) for one in np.linspace(start, stop, each + 1)[1:]]
    return list(pairwise(lengths))


def _filled(
    rows: np.ndarray,
    signs: np.ndarray,
    classes: np.ndarray,
    lengths: np.ndarray,
    which: np.ndarray,
    start: int,
    batch: int,
    low: float,
    high: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch of moved inputs and their labels; the last one repeats a row, so that all compile once."""
    size = min(batch, len(rows))
    place = np.minimum(np.arange(start, start + size), len(which) - 1)
    chosen = which[place]
    return _step(rows[chosen], signs[chosen], lengths[place], low, high), classes[chosen]


def _step(rows: np.ndarray, signs: np.ndarray, lengths: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(rows + lengths.reshape(-1, *[1] * (rows.ndim - 1)) * signs, low, high)


def _misclassified(inputs: np.ndarray, labels: np.ndarray, scores: Scores) -> Bool[np.ndarray, " B"]:
    found = np.array(_scores(inputs, scores))
    if not np.isfinite(found).all():
        raise ValueError("expected finite scores, got NaN or infinity: check the network")
    least = _LEAD * np.abs(found).max(axis=1)
    own = found[np.arange(len(found)), labels]
    found[np.arange(len(found)), labels] = -np.inf
    return found.max(axis=1) - own > least


@partial(jax.jit, static_argnames="scores")
def _scores(inputs: Any, scores: Scores) -> Any:
    return scores(inputs)


@partial(jax.jit, static_argnames=("scores", "loss"))
def _signs(inputs: Any, labels: Any, scores: Scores, loss: Loss) -> Any:
    return jnp.sign(jax.grad(lambda x: loss(scores(x), labels).sum())(inputs))


def _checked_epsilons(epsilons: Sequence[float]) -> tuple[float, ...]:
    bounds = tuple(float(one) for one in epsilons)
    if not bounds or not np.isfinite(bounds).all() or bounds[0] <= 0 or any(np.diff(bounds) <= 0):
        raise ValueError(f"expected finite epsilons above 0 in ascending order, got {bounds}")
    return bounds


def _checked_classes(scores: Scores, rows: np.ndarray, labels: Any) -> Int[np.ndarray, " T"]:
    """Return labels as int32, checked against the shape of the scores."""
    try:
        one = jax.eval_shape(scores, rows[:1])
    except jax.errors.JAXTypeError as error:
        raise ValueError(
            f"expected scores that JAX can differentiate, made of jax.numpy, got a function that needs numbers where "
            f"JAX passes tracers: {str(error).splitlines()[0]}"
        ) from error
    if len(one.shape) != 2:
        raise ValueError(f"expected scores of shape (B, C), a row per input, got {one.shape} for one input")
    if not jnp.issubdtype(one.dtype, jnp.floating):
        raise ValueError(f"expected scores that have gradients, got {one.dtype}: decisions have none, logits have")
    return checked_labels(labels, one.shape[1], len(rows)).astype(np.int32)


def _checked(inputs: Any, low: float, high: float) -> Float[np.ndarray, "T ..."]:
    if not low < high:
        raise ValueError(f"expected a range with low below high, got low={low} and high={high}")
    rows = np.asarray(inputs, np.float32)
    if rows.ndim < 2:
        raise ValueError(f"expected inputs of shape (T, ...), got {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError("expected finite inputs, got NaN or infinity")
    if len(rows) and (rows.min() < low or rows.max() > high):
        raise ValueError(
            f"expected inputs from {low} to {high}, got {rows.min()} to {rows.max()}: scale them, or pass low=, high="
        )
    return rows
