"""The kinds of density that can be asked for, each as the bijection that fitting starts from."""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Float

from dni_jax.lab.densities._bijection import Bijection
from dni_jax.lab.densities._compose import Chain, Permute
from dni_jax.lab.densities._coupling import Coupling
from dni_jax.lab.densities._gaussian import Gaussian, Whiten
from dni_jax.lab.densities._linear import PLU, QR
from dni_jax.lab.densities._planar import Planar
from dni_jax.lab.densities._sylvester import Sylvester

KINDS = ("gaussian", "realnvp", "planar", "sylvester", "plu", "qr")


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
    """Give the bijection of a kind, before it is fitted: each starts as the Gaussian of the states.

    Parameters
    ----------
    kind
        One of `KINDS`.
    states
        float32; their moments are taken.
    layers
        Couplings, planar or Sylvester maps.
    width, depth
        Of the hidden layers of a coupling's network.
    directions
        Of a Sylvester map, at most N.
    shrink
        Of the mean variance, added to every neuron's.
    seed
        Of the initial parameters.

    Raises
    ------
    ValueError
        For an unknown kind, counts below 1, or states of which the kind cannot be made.
    """
    if kind not in KINDS:
        raise ValueError(f"expected kind to be one of {KINDS}, got {kind!r}")
    if min(layers, width, depth, directions) < 1:
        raise ValueError(
            f"expected layers, width, depth and directions of at least 1, got {layers}, {width}, {depth}, {directions}"
        )
    moments = Gaussian.from_states(states, shrink)
    if kind in ("plu", "qr"):
        matrix = moments.whitening()
        linear = PLU if kind == "plu" else QR
        return linear.from_matrix(matrix, -matrix @ moments.mean)
    parts: list[Bijection] = [Whiten.from_gaussian(moments)]
    if kind == "gaussian":
        return parts[0]
    n_neurons = states.shape[1]
    for layer, key in enumerate(jax.random.split(jax.random.key(seed), layers)):
        if kind == "planar":
            parts.append(Planar.init(key, n_neurons))
        elif kind == "sylvester":
            parts.append(Sylvester.init(key, n_neurons, min(directions, n_neurons)))
        else:
            if layer % 2 == 0:
                parts.append(Permute.random(n_neurons, seed + layer))
            parts.append(Coupling.init(key, n_neurons, width, depth, swap=layer % 2 == 1))
    return Chain(tuple(parts))
