"""Fitting a bijection: to states by maximum likelihood, or to a density that is known by reverse KL."""

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
    """One look at the validation states: after which step, and the mean log-densities in nats."""

    step: int
    training: float
    validation: float


class FitResult(NamedTuple):
    """A fitted bijection, of the best look, and all evaluations."""

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
    """Fit by maximum likelihood: the least forward KL from the states to the density.

    Adam on minibatches, gradients clipped at a norm of 10, the rate falling to 0 along a cosine. Stops after `patience`
    evaluations without a better mean log-density of the validation states; the start counts as the first look, so what is
    returned is never worse than it.

    Parameters
    ----------
    bijection
        Where to start.
    states, validation
        float32; what is learnt, and what stops the learning. Keep positions of a string together.
    steps, batch, learning_rate, evaluate_every, patience
        Of the optimizer; `evaluate_every` steps go through one compiled program.
    seed
        Of the minibatches.

    Raises
    ------
    ValueError
        Where the log-density is no longer finite.

    Examples
    --------
    >>> from dni_jax.lab.densities._linear import PLU
    >>> states = np.random.default_rng(0).normal(3.0, 2.0, (400, 1)).astype(np.float32)
    >>> start = PLU.from_matrix(np.eye(1), np.zeros(1))
    >>> found = fit(start, states, states, steps=600, learning_rate=0.05).bijection
    >>> mean, _ = found.inverse(jnp.zeros(1))
    >>> bool(abs(mean[0] - states.mean()) < 0.1)
    True
    """
    chunk = max(min(evaluate_every, steps), 1)
    optimizer = _optimizer(learning_rate, steps)
    carried = bijection, optimizer.init(jax.tree.leaves(bijection))
    rows, key = jnp.asarray(states), jax.random.key(seed)
    best = bijection
    evaluations = [Evaluation(0, float("nan"), mean_log_prob(bijection, validation))]
    _refuse_infinite(evaluations[-1].validation, 0)
    with bar("fitting a density", steps) as advance:
        for first in range(0, steps, chunk):
            last = min(first + chunk, steps)
            keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(first, last))
            carried, gained = _likelihood_steps(carried, rows, keys, optimizer, min(batch, len(states)))
            look = Evaluation(last, float(gained.mean()), mean_log_prob(carried[0], validation))
            _refuse_infinite(look.validation, look.step)
            evaluations.append(look)
            advance(look.step, partial(_note, look))
            highest = int(np.argmax([one.validation for one in evaluations]))
            if highest == len(evaluations) - 1:
                best = carried[0]
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
    """Fit to a density that is known up to a factor: the least reverse KL, from the bijection's density to it.

    Draws go through the inverse, so turn maps without a closed inverse round: ``Inverse(Planar.init(...))``.

    Parameters
    ----------
    bijection
        Where to start.
    log_density
        Gives float ``(B,)`` for states ``(B, N)``; differentiable.
    n_neurons
        N.
    steps, batch, learning_rate, seed
        Of the optimizer, and of the draws.

    Returns
    -------
    The fitted bijection; its one look holds the mean of ``log_density - log q`` over the last tenth of the steps, in
    both places: a lower bound of the log of the density's integral, reached where both are equal.

    Raises
    ------
    ValueError
        Where the bound is no longer finite.
    """
    optimizer = _optimizer(learning_rate, steps)
    keys = jax.random.split(jax.random.key(seed), steps)
    carried = bijection, optimizer.init(jax.tree.leaves(bijection))
    carried, bounds = _reverse_steps(carried, keys, log_density, optimizer, (batch, n_neurons))
    bound = float(bounds[-max(steps // 10, 1) :].mean())
    _refuse_infinite(bound, steps)
    return FitResult(carried[0], (Evaluation(steps, bound, bound),))


def mean_log_prob(bijection: Bijection, states: Float[np.ndarray, "T N"]) -> float:
    """Mean log-density of states, in nats; summed in float64."""
    blocks = range(0, len(states), _BLOCK)
    return float(np.concatenate([_log_prob(bijection, states[n : n + _BLOCK]) for n in blocks]).mean(dtype=np.float64))


_log_prob = jax.jit(log_prob)


@cache  # equal settings share a compiled program
def _optimizer(learning_rate: float, steps: int) -> Any:
    rate = optax.cosine_decay_schedule(learning_rate, steps)
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))


@partial(jax.jit, static_argnames=("optimizer", "batch"))
def _likelihood_steps(carried: Any, rows: Array, keys: Array, optimizer: Any, batch: int) -> tuple[Any, Array]:
    def step(old: Any, key: Array) -> tuple[Any, Array]:
        chosen = rows[jax.random.randint(key, (batch,), 0, len(rows))]
        return _step(old, lambda bijection: log_prob(bijection, chosen).mean(), optimizer)

    return jax.lax.scan(step, carried, keys)


@partial(jax.jit, static_argnames=("log_density", "optimizer", "shape"))
def _reverse_steps(
    carried: Any, keys: Array, log_density: Callable[[Array], Array], optimizer: Any, shape: tuple[int, int]
) -> tuple[Any, Array]:
    def step(old: Any, key: Array) -> tuple[Any, Array]:
        dtype = jax.tree.leaves(old[0])[0].dtype
        z = jax.random.normal(key, shape, dtype)
        return _step(old, lambda bijection: _bound(bijection, z, log_density), optimizer)

    return jax.lax.scan(step, carried, keys)


def _bound(bijection: Bijection, z: Array, log_density: Callable[[Array], Array]) -> Array:
    x, stretch = bijection.inverse(z)
    return (log_density(x) - (normal_log_prob(z) - stretch)).mean()


def _step(carried: Any, gain: Callable[[Any], Array], optimizer: Any) -> tuple[Any, Array]:
    """Climb one step."""
    bijection, state = carried
    gained, slope = jax.value_and_grad(gain)(bijection)
    leaves, tree = jax.tree.flatten(bijection)
    with jax.numpy_dtype_promotion("standard"):  # Optax divides its counts of steps
        updates, state = optimizer.update([-one for one in jax.tree.leaves(slope)], state, leaves)
    return (jax.tree.unflatten(tree, optax.apply_updates(leaves, updates)), state), gained


def _note(look: Evaluation) -> str:
    return f"{look.validation:.2f} nats a state"


def _refuse_infinite(value: float, step: int) -> None:
    if not np.isfinite(value):
        raise ValueError(
            f"expected finite log-densities, got {value} at step {step}: lower the learning rate, or look for states "
            "that are far from all others"
        )
