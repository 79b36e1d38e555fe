"""Gradient steps of one network or of many, as one compiled program spread over the devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from dni_jax import processes
from dni_jax.devices import map_models
from dni_jax.models._auxiliary import Readout, auxiliary_loss
from dni_jax.models._network import Carries, compute_logits, compute_losses, network_scan, zero_carries
from dni_jax.models._state import TrainState
from dni_jax.models._weights import Weights
from dni_jax.settings import TrainPlan


class Batch(NamedTuple):
    """K steps of R symbols in B lanes for M models, each array ``(M, K, R, B)``.

    With auxiliary targets also ``(M, K, R, B, A)``, and their weight at each symbol.
    """

    codes: Any
    targets: Any
    weights: Any
    resets: Any
    auxiliary: Any = None
    strength: Any = None


_MODELS = P("models")
_BY_LANE = P("models", None, None, "lanes")
_STATE = TrainState(_MODELS, _MODELS, P("models", "lanes"))  # type: ignore[arg-type]


def rate_schedule(plan: TrainPlan) -> optax.Schedule:
    """Return the learning rate by step, as a share of its highest value."""
    warm = min(plan.warmup, plan.steps // 10)
    rest = max(plan.steps - warm, 1)
    falling = {
        "cosine": lambda: optax.cosine_decay_schedule(1.0, rest, alpha=0.01),
        "linear": lambda: optax.linear_schedule(1.0, 0.01, rest),
        "constant": lambda: optax.constant_schedule(1.0),
    }[plan.schedule]()
    return optax.join_schedules([optax.linear_schedule(0.1, 1.0, warm), falling], [warm]) if warm else falling


def make_optimizer(plan: TrainPlan) -> optax.GradientTransformation:
    """Return Adam or RMSprop with clipping and a schedule, for a highest rate of 1.

    Plans that differ in what the optimizer does not use get the same object, so that JAX finds the compiled step again.
    """
    return _optimizer(replace(plan, learning_rate=1.0, seed=0, evaluate_every=1, patience=1))


@lru_cache(maxsize=8)
def _optimizer(plan: TrainPlan) -> optax.GradientTransformation:
    scale = {
        "adam": optax.scale_by_adam,
        "rmsprop": lambda: optax.scale_by_rms(decay=0.9, eps=1e-7, eps_in_sqrt=False),  # Keras' settings
    }[plan.optimizer]()
    clip = optax.clip_by_global_norm(plan.clip)
    return optax.chain(clip, scale, optax.scale_by_learning_rate(rate_schedule(plan)))


def _text_specs(batch: Batch) -> Batch:
    """Return how the arrays of a batch are spread: by models and lanes."""
    return Batch(*(None if part is None else _BY_LANE for part in batch))


@partial(jax.jit, static_argnames=("optimizer", "lanes", "n_targets"))
def init_state(each: Sequence[Weights], optimizer: Any, lanes: int, n_targets: int = 0) -> TrainState:
    """Return the state in which networks of one shape start training, in so many lanes.

    With auxiliary targets, the optimizer's state is a pair: Optax's own, and the readout of the targets.
    """
    weights = jax.tree.map(lambda *parts: jnp.stack(parts), *each)
    zero = zero_carries(each[0], lanes)
    carries = jax.tree.map(lambda part: jnp.zeros((len(each), *part.shape)), zero)
    if not n_targets:
        return TrainState(weights, jax.vmap(optimizer.init)(weights), carries)
    readout = Readout.init(each[0].sizes[-1], n_targets)
    readouts = jax.tree.map(lambda part: jnp.zeros((len(each), *part.shape)), readout)
    return TrainState(weights, (jax.vmap(optimizer.init)((weights, readouts)), readouts), carries)


@partial(jax.jit, static_argnames=("optimizer", "devices"), donate_argnums=0)
def take_steps(
    state: TrainState, rates: Float[Array, " M"], batch: Batch, optimizer: Any, devices: Mesh
) -> tuple[TrainState, tuple[Float[Array, "M K"], Float[Array, "M K"]]]:
    """Take K gradient steps of each model.

    Parameters
    ----------
    state
        The models' state; its arrays are donated.
    rates
        Each model's highest learning rate.
    batch
        The text; lanes are spread over devices, and so are models.
    optimizer
        From `make_optimizer`.
    devices
        A mesh with the axes ``models`` and ``lanes``.

    Returns
    -------
    The state after the steps; the loss of each step, and the gradient's norm before clipping.
    """

    def one(state: TrainState, rate: Array, batch: Batch) -> tuple[TrainState, tuple[Array, Array]]:
        return jax.lax.scan(partial(_step, optimizer=optimizer, rate=rate), state, batch)

    spread = jax.shard_map(
        map_models(one, devices),
        mesh=devices,
        in_specs=(_STATE, _MODELS, _text_specs(batch)),
        out_specs=(_STATE, (_MODELS, _MODELS)),
        check_vma=False,
    )
    return spread(state, rates, batch)


def shard_state(state: TrainState, rates: Float[Array, " M"], devices: Mesh) -> tuple[TrainState, Float[Array, " M"]]:
    """Spread what a training starts from over the devices of all processes."""
    return processes.place(state, _STATE, devices), processes.place(rates, _MODELS, devices)


def shard_batch(batch: Batch, devices: Mesh) -> Batch:
    """Move a batch to the devices; each process moves only its own lanes and models."""
    return processes.place(batch, _text_specs(batch), devices)


def _step(state: TrainState, batch: Batch, *, optimizer: Any, rate: Array) -> tuple[TrainState, tuple[Array, Array]]:
    """Take one step of one model on this device's lanes; gradients are summed over devices."""
    total = jax.lax.psum(batch.weights.sum(), "lanes")
    has_targets = batch.auxiliary is not None
    memory, readout = state.optimizer if has_targets else (state.optimizer, None)

    def loss_of(params: Any) -> tuple[Array, tuple[Array, Carries]]:
        weights, readout = params if has_targets else (params, None)
        hidden, last = network_scan(weights, batch.codes, batch.resets, state.carries)
        losses = compute_losses(compute_logits(weights, hidden), batch.targets)
        loss = (losses * batch.weights).sum() / jnp.maximum(total, 1.0)
        if readout is None:
            return loss, (loss, last)
        return loss + auxiliary_loss(readout, hidden, batch.auxiliary, batch.strength), (loss, last)

    params = (state.weights, readout) if has_targets else state.weights
    (_, (loss, carries)), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    loss, gradient = jax.lax.psum((loss, gradient), "lanes")
    with jax.numpy_dtype_promotion("standard"):  # Optax counts on it
        update, memory = optimizer.update(gradient, memory, params)
        update = jax.tree.map(lambda change: rate * change, update)
        norm = optax.tree.norm(gradient)
    params = optax.apply_updates(params, update)
    new = TrainState(params[0], (memory, params[1]), carries) if has_targets else TrainState(params, memory, carries)
    return new, (loss, norm)
