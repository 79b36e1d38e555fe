"""A network's parameters as one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@dataclass(frozen=True, eq=False)
class Flat:
    """How a pytree and its vector of D numbers belong together; leaves of whole numbers stay as they are.

    Attributes
    ----------
    vector
        float32 ``(D,)``: the floating leaves one after the other.
    leaves, structure
        The pytree.
    """

    vector: Float[Array, " D"]
    leaves: tuple[Any, ...]
    structure: Any

    @classmethod
    def of(cls, params: Any) -> Flat:
        """Take a pytree apart.

        Raises
        ------
        ValueError
            Where there is nothing to train, or a leaf is neither float32 nor of whole numbers, or not finite.
        """
        leaves, structure = jax.tree.flatten(params)
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            _check_leaf(jax.tree_util.keystr(path), leaf)
        arrays = [jnp.ravel(jnp.asarray(leaf)) for leaf in leaves if _trains(leaf)]
        if not sum(array.size for array in arrays):
            raise ValueError("expected params with floating numbers to train, got none: see nnx.split or module.init")
        return cls(jnp.concatenate(arrays), tuple(leaves), structure)

    @property
    def size(self) -> int:
        """D."""
        return int(self.vector.shape[0])

    def restore(self, vector: Float[Array, " D"]) -> Any:
        """Give the pytree of a vector."""
        leaves, place = [], 0
        for leaf in self.leaves:
            if not _trains(leaf):
                leaves.append(leaf)
                continue
            leaves.append(vector[place : place + np.size(leaf)].reshape(np.shape(leaf)))
            place += np.size(leaf)
        return jax.tree.unflatten(self.structure, leaves)


def _trains(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _check_leaf(name: str, leaf: Any) -> None:
    if not isinstance(leaf, (jax.Array, np.ndarray)):
        raise ValueError(f"expected params to be a pytree of arrays, got {type(leaf).__name__} at {name}")
    if not _trains(leaf):
        return
    if leaf.dtype != np.float32:
        raise ValueError(f"expected params of float32, got {leaf.dtype} at {name}: cast them, and back in loss")
    bad = int((~np.isfinite(np.asarray(leaf))).sum())
    if bad:
        raise ValueError(f"expected finite params, got {bad} of {leaf.size} numbers NaN or infinite at {name}")
