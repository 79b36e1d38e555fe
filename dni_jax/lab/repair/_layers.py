"""How far a change of the inputs moves each layer of a network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Layers = Callable[[Any], Mapping[str, Float[Array, "T ..."]]]


def relative_changes(
    layers: Layers, inputs: Any, changed: Any, *, batch: int = 256
) -> dict[str, Float[np.ndarray, " T"]]:
    """Compute how far each input's states move in each layer, relative to their size.

    ``||h(x') - h(x)||_2 / ||h(x)||_2`` for input x, changed input x' and the states h of a layer, flattened. A layer
    that amplifies an attack has a larger relative change than the one before it; compare with the same step in a random
    direction, which networks usually damp.

    Parameters
    ----------
    layers
        A function of JAX arrays from inputs ``(B, ...)`` to a mapping from names to states ``(B, ...)``.
    inputs, changed
        float ``(T, ...)``, of the same shape.
    batch
        Inputs at a time.

    Returns
    -------
    For each layer, in the order of the mapping, float64 ``(T,)``; NaN where the states of an input are all 0.

    Raises
    ------
    ValueError
        For inputs of different shapes, none, not finite, or a batch below 1.

    Examples
    --------
    >>> both = relative_changes(lambda x: {"input": x, "square": x**2}, [[1.0, 0.0]], [[2.0, 0.0]])
    >>> {name: change.tolist() for name, change in both.items()}
    {'input': [1.0], 'square': [3.0]}
    """
    before, after = np.asarray(inputs, np.float32), np.asarray(changed, np.float32)
    if before.shape != after.shape or before.ndim < 2 or not len(before):
        raise ValueError(
            f"expected at least one input (T, ...) and as many changed ones, got {before.shape} and {after.shape}"
        )
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("expected finite inputs, got NaN or infinity")
    if batch < 1:
        raise ValueError(f"expected a batch of at least 1, got {batch}")

    @jax.jit
    def measure(x: Any, y: Any) -> OrderedDict[str, tuple[Any, Any]]:
        was, now = layers(x), layers(y)
        flat = {name: (was[name].reshape(len(x), -1), now[name].reshape(len(x), -1)) for name in was}
        norms = ((name, (jnp.linalg.norm(b - a, axis=1), jnp.linalg.norm(a, axis=1))) for name, (a, b) in flat.items())
        return OrderedDict(norms)  # jax.jit sorts the keys of a plain dict

    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(before), batch):
        for name, (moved, size) in measure(before[start : start + batch], after[start : start + batch]).items():
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = np.asarray(moved, np.float64) / np.asarray(size, np.float64)
            found.setdefault(name, []).append(np.where(np.asarray(size) > 0, ratio, np.nan))
    return {name: np.concatenate(parts) for name, parts in found.items()}
