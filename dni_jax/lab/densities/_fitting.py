"""Fit a bijection: to states by maximum likelihood, or to a known density by reverse KL."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from dni_jax.lab.densities._bijection import Bijection, log_prob, normal_log_prob
from dni_jax.progress import bar

_BLOCK = 2_048  # validation states at a time


class Evaluation(NamedTuple):
    """Mean log-densities after some steps, in nats, of training minibatches and of the validation states."""

    step: int
    training: float
    validation: float


class FitResult(NamedTuple):
    """The bijection of the best evaluation, and all evaluations."""

    bijection: Any
    evaluations: tuple[Evaluation, ...]


def fit(
    bijection: Bijection,
    states: Float[np.ndarray, "T N"],
    validation: Float[np.ndarray, "U N"],
    *,
    steps: int = 2_000,
    batch: int = 256,
    learning_rate: float = 1e-3,
    evaluate_every: int = 100,
    patience: int = 5,
    seed: int = 0,
) -> FitResult:
    """Fit by maximum likelihood, which minimizes the forward KL from the states to the density.

    Uses Adam on minibatches, with gradients clipped at a norm of 10 and a learning rate that falls to 0 along a cosine.
    Stops after `patience` evaluations without a higher mean log-density of the validation states. The start counts as
    the first evaluation, so the result is never worse than the start.

    Parameters
    ----------
    bijection
        Where to start.
    states, validation
        float32: what to fit, and what stops the fit. Keep the positions of one string together.
    steps, batch, learning_rate, evaluate_every, patience
        Settings of the optimizer; `evaluate_every` steps run in one call of the compiled program.
    seed
        Draws the minibatches.

    Raises
    ------
    ValueError
        If the log-density is no longer finite.

    Examples
    --------
    >>> from dni_jax.lab.densities import PLU
    >>> states = np.random.default_rng(0).normal(3.0, 2.0, (400, 1)).astype(np.float32)
    >>> start = PLU.from_matrix(np.eye(1), np.zeros(1))
    >>> fitted = fit(start, states, states, steps=600, learning_rate=0.05).bijection
    >>> mean, _ = fitted.inverse(jnp.zeros(1))
    >>> bool(abs(mean[0] - states.mean()) < 0.1)
    True
    """
    chunk = max(min(evaluate_every, steps), 1)
    optimizer = _optimizer(learning_rate, steps)
    carry = bijection, optimizer.init(jax.tree.leaves(bijection))
    rows, key = jnp.asarray(states), jax.random.key(seed)
    best = bijection
    evaluations = [Evaluation(0, float("nan"), _mean_log_prob(bijection, validation))]
    _raise_if_diverged(evaluations[-1].validation, 0)
    with bar("fitting a density", steps) as advance:
        for first in range(0, steps, chunk):
            last = min(first + chunk, steps)
            keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(first, last))
            carry, training = _likelihood_steps(carry, rows, keys, optimizer, min(batch, len(states)))
            latest = Evaluation(last, float(training.mean()), _mean_log_prob(carry[0], validation))
            _raise_if_diverged(latest.validation, latest.step)
            evaluations.append(latest)
            advance(latest.step, partial("{0.validation:.2f} nats per state".format, latest))
            highest = int(np.argmax([one.validation for one in evaluations]))
            if highest == len(evaluations) - 1:
                best = carry[0]
            elif len(evaluations) - 1 - highest >= patience:
                break
    return FitResult(best, tuple(evaluations))


def fit_reverse(
    bijection: Bijection,
    log_density: Callable[[Array], Array],
    n_neurons: int,
    *,
    steps: int = 1_000,
    batch: int = 256,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> FitResult:
    """Fit to a density that is known up to a factor, by minimizing the reverse KL from the bijection's density to it.

    Samples go through `inverse`. Swap maps whose inverse has no closed form: ``Inverse(Planar.init(...))``.

    Parameters
    ----------
    bijection
        Where to start.
    log_density
        Maps states ``(B, N)`` to float ``(B,)``; differentiable.
    n_neurons
        N.
    steps, batch, learning_rate
        Settings of the optimizer.
    seed
        Draws the samples.

    Returns
    -------
    The fitted bijection. Its one evaluation holds, in both fields, the mean of ``log_density - log q`` over the last
    tenth of the steps: a lower bound on the log of the density's integral, tight where both densities are equal.

    Raises
    ------
    ValueError
        If the bound is no longer finite.
    """
    optimizer = _optimizer(learning_rate, steps)
    keys = jax.random.split(jax.random.key(seed), steps)
    carry = bijection, optimizer.init(jax.tree.leaves(bijection))
    carry, bounds = _reverse_steps(carry, keys, log_density, optimizer, (batch, n_neurons))
    bound = float(bounds[-max(steps // 10, 1) :].mean())
    _raise_if_diverged(bound, steps)
    return FitResult(carry[0], (Evaluation(steps, bound, bound),))


def _mean_log_prob(bijection: Bijection, states: Float[np.ndarray, "T N"]) -> float:
    """Compute the mean log-density of states, in nats; summed in float64."""
    blocks = range(0, len(states), _BLOCK)
    values = np.concatenate([_log_prob(bijection, states[start : start + _BLOCK]) for start in blocks])
    return float(values.mean(dtype=np.float64))


_log_prob = jax.jit(log_prob)


@cache  # equal settings give the same object, which is a static argument of the compiled steps
def _optimizer(learning_rate: float, steps: int) -> Any:
    rate = optax.cosine_decay_schedule(learning_rate, steps)
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))


@partial(jax.jit, static_argnames=("optimizer", "batch"))
def _likelihood_steps(carry: Any, rows: Array, keys: Array, optimizer: Any, batch: int) -> tuple[Any, Array]:
    def step(carry: Any, key: Array) -> tuple[Any, Array]:
        chosen = rows[jax.random.randint(key, (batch,), 0, len(rows))]
        return _ascend(carry, lambda bijection: log_prob(bijection, chosen).mean(), optimizer)

    return jax.lax.scan(step, carry, keys)


@partial(jax.jit, static_argnames=("log_density", "optimizer", "shape"))
def _reverse_steps(
    carry: Any, keys: Array, log_density: Callable[[Array], Array], optimizer: Any, shape: tuple[int, int]
) -> tuple[Any, Array]:
    def step(carry: Any, key: Array) -> tuple[Any, Array]:
        z = jax.random.normal(key, shape, jax.tree.leaves(carry[0])[0].dtype)

        def bound(bijection: Bijection) -> Array:
            x, log_det = bijection.inverse(z)
            return (log_density(x) - (normal_log_prob(z) - log_det)).mean()

        return _ascend(carry, bound, optimizer)

    return jax.lax.scan(step, carry, keys)


def _ascend(carry: Any, objective: Callable[[Any], Array], optimizer: Any) -> tuple[Any, Array]:
    """Take one gradient step that increases the objective."""
    bijection, state = carry
    value, gradient = jax.value_and_grad(objective)(bijection)
    leaves, tree = jax.tree.flatten(bijection)
    with jax.numpy_dtype_promotion("standard"):  # Optax divides its integer step counts
        updates, state = optimizer.update([-one for one in jax.tree.leaves(gradient)], state, leaves)
    return (jax.tree.unflatten(tree, optax.apply_updates(leaves, updates)), state), value


def _raise_if_diverged(value: float, step: int) -> None:
    if not np.isfinite(value):
        raise ValueError(
            f"expected finite log-densities, got {value} at step {step}: lower the learning rate, or remove states "
            "that are far from all others"
        )
