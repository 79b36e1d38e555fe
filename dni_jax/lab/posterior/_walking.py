"""Chains of a network's weights: training's own steps, with a sampler where training has Adam."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from dni_jax.devices import make_grid
from dni_jax.lab.posterior._plan import SamplerConfig
from dni_jax.lab.posterior._samplers import SAMPLERS
from dni_jax.lab.posterior._schedules import cyclical, polynomial
from dni_jax.models import (
    TrainState,
    TrainConfig,
    TrainedModel,
    Weights,
    init_state,
    make_batches,
    make_lanes,
    named_arrays,
    take_steps,
)
from dni_jax.progress import bar
from dni_jax.text import Corpus

_CHUNK = 10  # steps in one call of the compiled program
_NOTHING = optax.identity()  # one object, so that compiled programs are found again
_DAMPED = ("psgld", "santa")  # their damping is told for the gradient of one symbol, as in the papers


class Target(NamedTuple):
    """What a chain is to draw from, and how; one number a chain.

    Attributes
    ----------
    step_size
        Of the first step.
    symbols
        How many the text has: the mean gradient times this is an estimate of the whole text's.
    precision
        1 over the prior's variance.
    """

    step_size: Any
    symbols: Any
    precision: Any


class _Memory(NamedTuple):
    target: Target
    sampler: Any


class Walk(NamedTuple):
    """Where M chains have been.

    Attributes
    ----------
    weights
        float32 ``(D, M, ...)``: the D draws of each.
    stayed
        bool ``(M,)``: False for chains that have run away: weights that are not finite, or a loss on their own text
        beyond twice that of equal probabilities. An LSTM's outputs are bounded, so that its weights may grow and grow.
    train_loss
        float ``(D, M)``: the mean loss of the steps up to each draw, nats a symbol.
    """

    weights: Weights
    stayed: Bool[np.ndarray, " M"]
    train_loss: Float[np.ndarray, "D M"]


class Sampler(NamedTuple):
    """An Optax transformation whose state also holds what differs from chain to chain.

    Attributes
    ----------
    init, update
        As Optax wants them; `update` takes the mean gradient of some text's loss, as training makes it.
    start
        ``start(weights, key=, target=)`` gives the state of a chain of its own; `init` that of one that stays in place.
    """

    init: Any
    update: Any
    start: Any


def make_sampler(plan: SamplerConfig) -> Sampler:
    """Give the sampler of a plan; plans that sample alike give one and the same: a compiled step is found again."""
    options = tuple(sorted(plan.options.items()))
    length = plan.length if plan.schedule != "constant" else 1
    return _sampler(plan.sampler, plan.schedule, length, float(plan.temperature), options)


@lru_cache(maxsize=16)
def _sampler(name: str, schedule: str, length: int, temperature: float, options: tuple[Any, ...]) -> Sampler:
    shares: dict[str, Any] = {
        "constant": lambda: lambda count: 1.0,
        "polynomial": lambda: polynomial(1.0, offset=length),
        "cyclical": lambda: cyclical(1.0, length),
    }
    share = shares[schedule]()

    def made(target: Target, key: Array) -> Any:
        given: dict[str, Any] = dict(options)
        if name in _DAMPED:
            given["damping"] = given.get("damping", 1e-5) * target.symbols
        return SAMPLERS[name](lambda count: target.step_size * share(count), key=key, temperature=temperature, **given)

    def start(params: Any, key: Array, target: Target) -> _Memory:
        return _Memory(target, made(target, key).init(params))

    def init(params: Any) -> _Memory:
        zero = jnp.zeros(())
        return start(params, jax.random.key(0), Target(zero, zero, zero))

    def update(gradient: Any, memory: _Memory, params: Any) -> tuple[Any, _Memory]:
        target = memory.target
        whole = jax.tree.map(lambda g, w: target.symbols * g + target.precision * w, gradient, params)
        change, after = made(target, memory.sampler.key).update(whole, memory.sampler, params)
        return change, memory._replace(sampler=after)

    return Sampler(init, update, start)


def count_symbols(corpus: Corpus) -> int:
    """How many symbols of a text are predicted."""
    return int(make_lanes(corpus, 1).weights.sum())


def walk(
    model: TrainedModel,
    corpus: Corpus,
    plan: SamplerConfig,
    step_sizes: Sequence[float],
    seeds: Sequence[int],
    progress: bool = True,
) -> Walk:
    """Let M chains go from one network's weights over the corpus' training strings, as one program.

    Parameters
    ----------
    model
        Where they start.
    corpus
        What they learn from.
    plan
        How they go.
    step_sizes, seeds
        One a chain; the first seed decides the order of the text, which is the same for all.
    progress
        Whether to show a bar.

    Raises
    ------
    ValueError
        For a step size that is not positive and finite.
    """
    if not len(step_sizes) or not all(0 < step < math.inf for step in step_sizes):
        raise ValueError(f"expected step sizes above 0, got {list(step_sizes)}")
    text, n_chains, sampler = model.encode(corpus).train, len(step_sizes), make_sampler(plan)
    state = _begin(model, plan, sampler, step_sizes, seeds, count_symbols(text))
    reading = TrainConfig(steps=plan.steps, batch=plan.batch, window=plan.window, seed=seeds[0]).plan(1)
    chunk, rates = math.gcd(_CHUNK, plan.thin, plan.burn_in), jnp.ones(n_chains)
    devices = make_grid(n_chains, plan.batch)
    draws: list[Weights] = []
    losses: list[np.ndarray] = []
    recent: list[Any] = []
    step = 0
    with bar("sampling", plan.steps, progress) as advance:
        for batch in make_batches(text, [reading] * n_chains, 0, chunk):
            state, (loss, _) = take_steps(state, rates, batch, sampler, devices)
            recent.append(loss)
            step += chunk
            advance(step, lambda loss=loss: f"loss {float(np.nanmean(np.asarray(loss)[:, -1])):.3f}")  # type: ignore[misc]
            if step <= plan.burn_in or (step - plan.burn_in) % plan.thin:
                continue
            draws.append(jax.device_get(state.weights))
            losses.append(np.concatenate(jax.device_get(recent), axis=1).mean(1))
            recent = []
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *draws)
    loss_of_draws = np.stack(losses)
    calm = (loss_of_draws < 2 * math.log(len(model.vocabulary))).all(0)
    return Walk(stacked, calm & _finite(stacked, n_chains), loss_of_draws)


def _begin(
    model: TrainedModel,
    plan: SamplerConfig,
    sampler: Sampler,
    step_sizes: Sequence[float],
    seeds: Sequence[int],
    symbols: int,
) -> TrainState:
    n_chains = len(step_sizes)
    state = init_state([model.weights] * n_chains, _NOTHING, plan.batch)
    fill = partial(jnp.full, n_chains, dtype=jnp.float32)
    target = Target(jnp.asarray(step_sizes, jnp.float32), fill(symbols), fill(plan.prior_sd**-2))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    return state._replace(optimizer=jax.vmap(sampler.start)(state.weights, keys, target))


def _finite(weights: Weights, n_chains: int) -> Bool[np.ndarray, " M"]:
    each = [np.isfinite(a).reshape(len(a), n_chains, -1) for a in named_arrays(weights).values()]
    rows = np.concatenate([one.swapaxes(0, 1).reshape(n_chains, -1) for one in each], axis=1)
    return np.asarray(rows.all(axis=1))
