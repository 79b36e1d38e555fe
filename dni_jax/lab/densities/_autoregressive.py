"""The masked autoregressive flow, whose Jacobian is triangular."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_MAX_LOG_SCALE = 3.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Autoregressive:
    """``y_i = x_i exp(s_i(x_1 .. x_i-1)) + m_i(x_1 .. x_i-1)`` (Papamakarios, Pavlakou & Murray 2017).

    y_i depends on no later neuron, so the Jacobian is lower triangular and its log-determinant is the sum of s. All s
    and m come from one network of rectified linear layers, whose weights are masked as in MADE (Germain et al. 2015). A
    density needs one pass through it; a sample needs N passes, one neuron after the other. s is 3 tanh(. / 3), so that
    no state makes exp(s) overflow.

    Attributes
    ----------
    weights, biases
        The layers of the network, before the masks; the last one outputs s and m side by side.
    """

    weights: tuple[Float[Array, "_ _"], ...]
    biases: tuple[Float[Array, " _"], ...]

    @classmethod
    def init(cls, key: Array, n_neurons: int, width: int, depth: int) -> Autoregressive:
        """Initialize to the identity: float32, hidden layers as in He et al. (2015), the last layer 0.

        Raises
        ------
        ValueError
            For fewer than two neurons, of which none precedes another.
        """
        if n_neurons < 2:
            raise ValueError(f"expected at least 2 neurons, one after the other, got {n_neurons}: try kind='gaussian'")
        sizes = [n_neurons, *[width] * depth, 2 * n_neurons]
        keys = jax.random.split(key, depth)
        weights = [
            jax.random.normal(one, (a, b), jnp.float32) * np.float32(np.sqrt(2 / a))
            for one, (a, b) in zip(keys, itertools.pairwise(sizes[:-1]), strict=True)
        ]
        weights.append(jnp.zeros((sizes[-2], sizes[-1]), jnp.float32))
        return cls(tuple(weights), tuple(jnp.zeros(size, jnp.float32) for size in sizes[1:]))

    def forward(self, x: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map states to latents, with ``log |det dy/dx|``; one pass."""
        log_scale, shift = self._scale_and_shift(x)
        return x * jnp.exp(log_scale) + shift, log_scale.sum(-1)

    def inverse(self, y: Float[Array, "*batch N"]) -> tuple[Float[Array, "*batch N"], Float[Array, "*batch"]]:
        """Map latents to states, with ``log |det dx/dy|``; N passes."""

        def solve(i: Array, x: Array) -> Array:
            log_scale, shift = self._scale_and_shift(x)  # those of neuron i depend on neurons that are solved
            return x.at[..., i].set((y[..., i] - shift[..., i]) * jnp.exp(-log_scale[..., i]))

        x = jax.lax.fori_loop(0, y.shape[-1], solve, jnp.zeros_like(y))
        return x, -self._scale_and_shift(x)[0].sum(-1)

    def _scale_and_shift(self, x: Array) -> tuple[Array, Array]:
        masks = made_masks(x.shape[-1], [len(bias) for bias in self.biases[:-1]])
        weights = [jnp.where(mask, weight, 0) for weight, mask in zip(self.weights, masks, strict=True)]
        values = x
        for weight, bias in zip(weights[:-1], self.biases[:-1], strict=True):
            values = jax.nn.relu(values @ weight + bias)
        scale, shift = jnp.split(values @ weights[-1] + self.biases[-1], 2, axis=-1)
        return _MAX_LOG_SCALE * jnp.tanh(scale / _MAX_LOG_SCALE), shift


def made_masks(n: int, hidden: list[int], outputs: int = 2) -> list[Bool[np.ndarray, "_ _"]]:
    """Return the masks of a network with n inputs, through which output i sees inputs 0 to i - 1 only.

    Every unit has a number; one with number k sees inputs with numbers up to k, and hidden units with numbers up to k.
    An output sees hidden units with smaller numbers than its own.

    Parameters
    ----------
    n
        The inputs, in their order.
    hidden
        The widths of the hidden layers.
    outputs
        How many outputs there are per input; those of one kind are next to each other.

    Examples
    --------
    >>> first, last = made_masks(3, [4], outputs=1)
    >>> (first.astype(int) @ last).tolist()  # paths from each input to each output
    [[0, 2, 4], [0, 0, 2], [0, 0, 0]]
    """
    numbers = [np.arange(n), *(np.arange(width) % max(n - 1, 1) for width in hidden)]
    masks = [before[:, None] <= after for before, after in itertools.pairwise(numbers)]
    return [*masks, numbers[-1][:, None] < np.tile(np.arange(n), outputs)]
