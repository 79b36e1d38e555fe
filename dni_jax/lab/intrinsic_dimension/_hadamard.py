"""The fast Walsh-Hadamard transform."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped


@jax.jit
def walsh_hadamard(x: Shaped[Array, "*batch n"]) -> Shaped[Array, "*batch n"]:
    """Multiply by the n x n Hadamard matrix of Sylvester's order, in n log2 n additions.

    The matrix has entries 1 and -1, is symmetric, and is n times its own inverse.

    Parameters
    ----------
    x
        Real numbers of any type; n is a power of two.

    Raises
    ------
    ValueError
        For another n.

    Examples
    --------
    >>> walsh_hadamard(jnp.asarray([1, 0, 1, 0])).tolist()
    [2, 2, 0, 0]
    """
    size = x.shape[-1]
    if size < 1 or size & (size - 1):
        raise ValueError(f"expected a last axis whose length is a power of two, got {size}: pad it with zeros")
    half = 1
    while half < size:
        pairs = x.reshape(*x.shape[:-1], size // (2 * half), 2, half)
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        x = jnp.stack([first + second, first - second], axis=-2).reshape(x.shape)
        half *= 2
    return x
