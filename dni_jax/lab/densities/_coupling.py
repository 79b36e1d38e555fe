"""RealNVP's affine coupling."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_MAX_LOG_SCALE = 3.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Coupling:
    """``y_A = x_A; y_B = x_B exp(s(x_A)) + m(x_A)`` (Dinh et al. 2017, section 3.2).

    The Jacobian is triangular, whatever s and m are, so they can be a neural network that is never inverted. Both come
    from one network of rectified linear layers. s is 3 tanh(. / 3), so that no state makes exp(s) overflow.

    Attributes
    ----------
    weights, biases
        The layers of the network; the last one outputs s and m side by side.
    swap
        False: A is the first half of the neurons; True: the second.
    """

    weights: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, " _"], ...]
    swap: bool = field(metadata={"static": True})

    @classmethod
    def init(cls, key: Array, n_neurons: int, width: int, depth: int, swap: bool) -> Coupling:
        """Initialize to the identity: float32, hidden layers as in He et al. (2015), the last layer 0.

        Raises
        ------
        ValueError
            For fewer than two neurons, which have no halves.
        """
        if n_neurons < 2:
            raise ValueError(f"expected at least 2 neurons to couple, got {n_neurons}: try kind='gaussian'")
        first = n_neurons // 2
        fixed, moved = (n_neurons - first, first) if swap else (first, n_neurons - first)
        sizes = [fixed, *[width] * depth, 2 * moved]
        keys = jax.random.split(key, depth)
        weights = [
            jax.random.normal(one, (a, b), jnp.float32) * np.float32(np.sqrt(2 / a))
            for one, a, b in zip(keys, sizes[:-2], sizes[1:-1], strict=True)
        ]
        weights.append(jnp.zeros((sizes[-2], sizes[-1]), jnp.float32))
        return cls(tuple(weights), tuple(jnp.zeros(size, jnp.float32) for size in sizes[1:]), swap)

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``: a sum over half of the neurons."""
        fixed, moved = self._split(x)
        log_scale, shift = self._scale_and_shift(fixed)
        return self._join(fixed, moved * jnp.exp(log_scale) + shift), log_scale.sum(-1)

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``; as fast as `forward`."""
        fixed, moved = self._split(y)
        log_scale, shift = self._scale_and_shift(fixed)
        return self._join(fixed, (moved - shift) * jnp.exp(-log_scale)), -log_scale.sum(-1)

    def _split(self, x: Array) -> tuple[Array, Array]:
        first = x.shape[-1] // 2
        halves = x[..., :first], x[..., first:]
        return halves[::-1] if self.swap else halves

    def _join(self, fixed: Array, moved: Array) -> Array:
        return jnp.concatenate((moved, fixed) if self.swap else (fixed, moved), axis=-1)

    def _scale_and_shift(self, fixed: Array) -> tuple[Array, Array]:
        values = fixed
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values = jax.nn.relu(values @ weight + bias)
        values = values @ self.weights[-1] + self.biases[-1]
        scale, shift = jnp.split(values, 2, axis=-1)
        return _MAX_LOG_SCALE * jnp.tanh(scale / _MAX_LOG_SCALE), shift
