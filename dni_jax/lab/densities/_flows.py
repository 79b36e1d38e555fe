"""The kinds of density: the bijection that each starts from, and its evaluation on many states."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from dni_jax.devices import make_mesh
from dni_jax.lab.densities._autoregressive import Autoregressive
from dni_jax.lab.densities._bijection import Bijection, Chain, Permute, log_prob
from dni_jax.lab.densities._coupling import Coupling
from dni_jax.lab.densities._linear import PLU, QR, Gaussian, Whiten
from dni_jax.lab.densities._planar import Planar, Sylvester

KINDS = ("gaussian", "realnvp", "planar", "sylvester", "plu", "qr", "maf")
_BLOCK = {"cpu": 512}  # states per device and step: their activations stay in the cache
_BLOCK_ELSEWHERE = 32_768
_MIN_BLOCK = 64


def init_flow(
    kind: str,
    states: Float[np.ndarray, "T N"],
    *,
    layers: int = 8,
    width: int = 256,
    depth: int = 2,
    directions: int = 16,
    shrink: float = 1e-3,
    seed: int = 0,
) -> Bijection:
    """Initialize the bijection of a kind: every kind starts as the Gaussian of the states.

    Parameters
    ----------
    kind
        One of `KINDS`.
    states
        float32; only their mean and covariance are used.
    layers
        The number of couplings, planar, Sylvester or autoregressive maps.
    width, depth
        The hidden layers of the network of a coupling or an autoregressive map.
    directions
        The directions of a Sylvester map, at most N.
    shrink
        This share of the mean variance is added to every variance.
    seed
        Draws the initial parameters.

    Raises
    ------
    ValueError
        For an unknown kind, counts below 1, or states from which the kind cannot be made.
    """
    if kind not in KINDS:
        raise ValueError(f"expected kind to be one of {KINDS}, got {kind!r}")
    if min(layers, width, depth, directions) < 1:
        raise ValueError(
            f"expected layers, width, depth and directions of at least 1, got {layers}, {width}, {depth}, {directions}"
        )
    gaussian = Gaussian.from_states(states, shrink)
    if kind in ("plu", "qr"):
        matrix = gaussian.whitening()
        linear = PLU if kind == "plu" else QR
        return linear.from_matrix(matrix, -matrix @ gaussian.mean)
    parts: list[Bijection] = [Whiten.from_gaussian(gaussian)]
    if kind == "gaussian":
        return parts[0]
    n_neurons = states.shape[1]
    for layer, key in enumerate(jax.random.split(jax.random.key(seed), layers)):
        if kind == "planar":
            parts.append(Planar.init(key, n_neurons))
        elif kind == "sylvester":
            parts.append(Sylvester.init(key, n_neurons, min(directions, n_neurons)))
        elif kind == "maf":
            if layer:  # what came last comes first
                parts.append(Permute(tuple(range(n_neurons))[::-1]))
            parts.append(Autoregressive.init(key, n_neurons, width, depth))
        else:
            if layer % 2 == 0:  # a pair of couplings moves both halves; then the halves are drawn again
                parts.append(Permute.random(n_neurons, seed + layer))
            parts.append(Coupling.init(key, n_neurons, width, depth, swap=layer % 2 == 1))
    return Chain(tuple(parts))


def log_prob_in_blocks(
    bijection: Bijection, states: Float[np.ndarray, "T N"], block: int | None = None
) -> Float[np.ndarray, " T"]:
    """Compute the log-density of many states on all devices, in nats; float32.

    Parameters
    ----------
    bijection
        Maps states to standard normal latents.
    states
        float32.
    block
        States that one device evaluates at a time; by default 512 on a CPU and 32,768 elsewhere. Fewer states use the
        next power of two, so that few programs are compiled.
    """
    devices = make_mesh("rows")
    largest = block or _BLOCK.get(jax.default_backend(), _BLOCK_ELSEWHERE)
    size = min(largest, max(_MIN_BLOCK, 1 << (-(-len(states) // devices.size) - 1).bit_length()))
    n_blocks = -(-len(states) // (size * devices.size))
    padded = np.zeros((n_blocks * size * devices.size, states.shape[1]), states.dtype)
    padded[: len(states)] = states
    by_device = padded.reshape(devices.size, n_blocks, size, -1)
    return np.asarray(_sharded_log_prob(bijection, by_device, devices)).reshape(-1)[: len(states)]


@partial(jax.jit, static_argnames="devices")
def _sharded_log_prob(bijection: Bijection, states: Array, devices: Mesh) -> Array:
    def local(bijection: Bijection, states: Array) -> Array:
        return jax.lax.map(lambda block: log_prob(bijection, block), states[0])[None]

    sharded = jax.shard_map(local, mesh=devices, in_specs=(P(), P("rows")), out_specs=P("rows"), check_vma=False)
    return sharded(bijection, states)


@partial(jax.jit, static_argnames=("n", "n_neurons"))
def sample(bijection: Bijection, key: Array, n: int, n_neurons: int) -> Float[Array, "n N"]:
    """Draw n states: the inverse of standard normal samples; float32."""
    return bijection.inverse(jax.random.normal(key, (n, n_neurons), jnp.float32))[0]
