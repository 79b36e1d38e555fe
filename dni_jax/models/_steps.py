"""Gradient steps of one network or of many, as one compiled program spread over the devices."""

from __future__ import annotations

from collections.abc import Sequence
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
from dni_jax.models._network import Carries, compute_logits, compute_losses, network_scan, zero_carries
from dni_jax.models._state import TrainState
from dni_jax.models._weights import Weights
from dni_jax.settings import TrainPlan


class Batch(NamedTuple):
    """K steps of R symbols in B lanes for M models, each array ``(M, K, R, B)``."""

    codes: Any
    targets: Any
    weights: Any
    resets: Any


_MODELS = P("models")
_TEXT = Batch(*[P("models", None, None, "lanes")] * 4)
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

    Plans that differ in rate and seed get the same object, so that JAX finds the compiled step again.
    """
    return _optimizer(TrainPlan(**{**vars(plan), "learning_rate": 1.0, "seed": 0}))


@lru_cache(maxsize=8)
def _optimizer(plan: TrainPlan) -> optax.GradientTransformation:
    scale = {
        "adam": optax.scale_by_adam,
        "rmsprop": lambda: optax.scale_by_rms(decay=0.9, eps=1e-7, eps_in_sqrt=False),  # Keras' settings
    }[plan.optimizer]()
    clip = optax.clip_by_global_norm(plan.clip)
    return optax.chain(clip, scale, optax.scale_by_learning_rate(rate_schedule(plan)))


@partial(jax.jit, static_argnames=("optimizer", "lanes"))
def init_state(each: Sequence[Weights], optimizer: Any, lanes: int) -> TrainState:
    """Return the state in which networks of one shape start training, in so many lanes."""
    weights = jax.tree.map(lambda *parts: jnp.stack(parts), *each)
    zero = zero_carries(each[0], lanes)
    carries = jax.tree.map(lambda part: jnp.zeros((len(each), *part.shape)), zero)
    return TrainState(weights, jax.vmap(optimizer.init)(weights), carries)


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
        in_specs=(_STATE, _MODELS, _TEXT),
        out_specs=(_STATE, (_MODELS, _MODELS)),
        check_vma=False,
    )
    return spread(state, rates, batch)


def shard_state(state: TrainState, rates: Float[Array, " M"], devices: Mesh) -> tuple[TrainState, Float[Array, " M"]]:
    """Spread what a training starts from over the devices of all processes."""
    return processes.place(state, _STATE, devices), processes.place(rates, _MODELS, devices)


def shard_batch(batch: Batch, devices: Mesh) -> Batch:
    """Move a batch to the devices; each process moves only its own lanes and models."""
    return processes.place(batch, _TEXT, devices)


def _step(state: TrainState, batch: Batch, *, optimizer: Any, rate: Array) -> tuple[TrainState, tuple[Array, Array]]:
    """Take one step of one model on this device's lanes; gradients are summed over devices."""
    total = jax.lax.psum(batch.weights.sum(), "lanes")

    def loss_of(weights: Weights) -> tuple[Array, Carries]:
        hidden, last = network_scan(weights, batch.codes, batch.resets, state.carries)
        losses = compute_losses(compute_logits(weights, hidden), batch.targets)
        return (losses * batch.weights).sum() / jnp.maximum(total, 1.0), last

    (loss, carries), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.weights)
    loss, gradient = jax.lax.psum((loss, gradient), "lanes")
    with jax.numpy_dtype_promotion("standard"):  # Optax counts on it
        update, memory = optimizer.update(gradient, state.optimizer, state.weights)
        update = jax.tree.map(lambda change: rate * change, update)
        norm = optax.tree.norm(gradient)
    return TrainState(optax.apply_updates(state.weights, update), memory, carries), (loss, norm)
