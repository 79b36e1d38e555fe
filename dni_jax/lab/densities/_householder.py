"""Orthogonal maps as products of reflections, applied to all states by three matrix products."""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float


def reflect(
    vectors: Float[Array, "M N"], x: Float[Array, "*batch N"], transposed: bool = False
) -> Float[Array, "*batch N"]:
    """Apply ``Q = H_1 H_2 ... H_M``, with ``H_i = I - 2 v_i v_i' / (v_i' v_i)``, or its transpose; O(M N) a state.

    Uses the compact form ``Q = I - V' S^-1 V``, S being the upper triangle of ``V V'`` with half its diagonal (Joffrain
    et al. 2006, "Accumulating Householder transformations, revisited").

    Parameters
    ----------
    vectors
        The M vectors, none of them 0.
    x
        States.
    transposed
        Whether to apply Q' instead, which undoes Q.
    """
    gram = vectors @ vectors.T
    s = jnp.triu(gram) - 0.5 * jnp.diag(jnp.diag(gram))
    within = (x @ vectors.T).reshape(-1, len(vectors)).T
    solved = solve_triangular(s, within, trans=1 if transposed else 0).T
    return x - solved.reshape(*x.shape[:-1], len(vectors)) @ vectors
