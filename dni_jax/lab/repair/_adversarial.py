"""Adversarial inputs by the fast gradient sign method (Goodfellow et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dni_jax.devices import use_all_cores
from dni_jax.lab.repair._targets import checked_labels

Scores = Callable[[Any], Float[Array, "T C"]]
Loss = Callable[[Any, Any], Float[Array, " T"]]


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
        For a negative epsilon, an empty range, inputs outside of it or not finite, or labels or scores that do not fit.

    Examples
    --------
    >>> scores = lambda x: jnp.stack([x.sum(axis=1), -x.sum(axis=1)], axis=1)
    >>> fgsm(scores, [[0.5, 0.05]], [0], epsilon=0.125).round(3).tolist()
    [[0.375, 0.0]]
    """
    use_all_cores()
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
    one = jax.eval_shape(scores, rows[:1])
    if len(one.shape) != 2:
        raise ValueError(f"expected scores of shape (B, C), a row per input, got {one.shape} for one input")
    classes = checked_labels(labels, one.shape[1], len(rows)).astype(np.int32)
    signs = [
        np.asarray(_signs(rows[start : start + batch], classes[start : start + batch], scores, loss))
        for start in range(0, len(rows), batch)
    ]
    return np.concatenate(signs)


@partial(jax.jit, static_argnames=("scores", "loss"))
def _signs(inputs: Any, labels: Any, scores: Scores, loss: Loss) -> Any:
    return jnp.sign(jax.grad(lambda x: loss(scores(x), labels).sum())(inputs))


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
