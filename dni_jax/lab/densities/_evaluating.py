"""Densities and draws of many states, a block at a time on every device."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from dni_jax.devices import make_mesh
from dni_jax.lab.densities._bijection import Bijection, log_prob

_BLOCK = {"cpu": 512}  # states a device works on at a time: their activations stay in its cache
_BLOCK_ELSEWHERE = 32_768
_LEAST = 64


def log_prob_in_blocks(
    bijection: Bijection, states: Float[np.ndarray, "T N"], block: int | None = None
) -> Float[np.ndarray, " T"]:
    """Log-density of states, in nats; float32.

    Parameters
    ----------
    bijection
        To the standard normal.
    states
        float32.
    block
        States a device works on at a time; by default 512 on a CPU, 32,768 elsewhere. Fewer states take the next power
        of two, so that few programs are compiled.
    """
    devices = make_mesh("rows")
    most = block or _BLOCK.get(jax.default_backend(), _BLOCK_ELSEWHERE)
    each = min(most, max(_LEAST, 1 << (-(-len(states) // devices.size) - 1).bit_length()))
    n_blocks = -(-len(states) // (each * devices.size))
    padded = np.zeros((n_blocks * each * devices.size, states.shape[1]), states.dtype)
    padded[: len(states)] = states
    laid = padded.reshape(devices.size, n_blocks, each, -1)
    return np.asarray(_spread(bijection, laid, devices)).reshape(-1)[: len(states)]


@partial(jax.jit, static_argnames="devices")
def _spread(bijection: Bijection, states: Array, devices: Mesh) -> Array:
    def local(bijection: Bijection, states: Array) -> Array:
        return jax.lax.map(lambda block: log_prob(bijection, block), states[0])[None]

    spread = jax.shard_map(local, mesh=devices, in_specs=(P(), P("rows")), out_specs=P("rows"), check_vma=False)
    return spread(bijection, states)


def draw(bijection: Bijection, n: int, n_neurons: int, seed: int) -> Float[np.ndarray, "n N"]:
    """Draw states: the inverse of draws from the standard normal; float32."""
    return np.asarray(_draw(bijection, jax.random.key(seed), n, n_neurons))


@partial(jax.jit, static_argnames=("n", "n_neurons"))
def _draw(bijection: Bijection, key: Array, n: int, n_neurons: int) -> Array:
    return bijection.inverse(jax.random.normal(key, (n, n_neurons), jnp.float32))[0]
