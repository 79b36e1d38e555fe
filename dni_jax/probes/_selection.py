"""The best k neurons for each feature, chosen greedily from the Gram matrices of the joint probes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from dni_jax.probes._grams import Grams, JointData, grams, joint_data, r2
from dni_jax.probes._scores import Scores


@partial(jax.jit, static_argnames=("k", "n_folds"))
def _select(data: JointData, k: int, n_folds: int) -> tuple[Array, Array]:
    """Greedy choice by a pivoted Cholesky factorisation of each training set's Gram matrix."""
    held = grams(data, n_folds)
    train = held.without_each()
    xx, xy, _, x, y = train.centred()
    diagonal = jnp.diagonal(xx, axis1=1, axis2=2)
    n_neurons = diagonal.shape[1]

    def one(xx: Array, xy: Array, diagonal: Array, x: Array, y: Array, held: Grams) -> tuple[Array, Array]:
        least = 1e-10 * diagonal

        def step(state: tuple, number: Array) -> tuple[tuple, tuple]:
            columns, left, cross, chosen = state
            gain = jnp.where(left > least, cross**2 / jnp.where(left > least, left, 1.0), -1.0)
            best = jnp.argmax(gain).astype(jnp.int32)
            pivot = jnp.sqrt(jnp.maximum(left[best], 1e-300))
            column = (xx[best] - columns.T @ columns[:, best]) / pivot
            column = jnp.where(gain[best] > 0, column, 0.0)
            columns, chosen = columns.at[number].set(column), chosen.at[number].set(best)
            cross = cross - column * (cross[best] / pivot)
            left = (left - column**2).at[best].set(0.0)
            taken = jnp.arange(k, dtype=jnp.int32) <= number
            pairs = taken[:, None] & taken[None, :]
            spread = diagonal[chosen]
            sub = jnp.where(pairs, xx[chosen][:, chosen], 0.0) + jnp.diag(
                jnp.where(taken, 1e-10 * spread + 1e-300, 1.0)
            )
            w = jnp.linalg.solve(sub, jnp.where(taken, xy[chosen], 0.0))
            full = jnp.zeros(n_neurons + 1, jnp.float64).at[chosen].add(jnp.where(taken, w, 0.0)).at[-1].set(0.0)
            full = full.at[-1].set(y - full[:-1] @ x)
            single = Grams(held.zz[None], held.zy[None, :, None], held.yy[None, None])
            return (columns, left, cross, chosen), (best, r2(single, full[None, :, None])[0, 0])

        start = (jnp.zeros((k, n_neurons), jnp.float64), diagonal, xy, jnp.zeros(k, jnp.int32))
        return lax.scan(step, start, jnp.arange(k, dtype=jnp.int32))[1]

    features = jax.vmap(one, in_axes=(None, 1, None, None, 0, Grams(None, 1, 0)))  # type: ignore[arg-type]
    return jax.vmap(features)(xx, xy, diagonal, x, y, held)


def select_neurons(hidden: Any, labels: Any, folds: Any, k: int, *, neurons: Any = None) -> Scores:
    """Choose the k neurons that together predict each feature best, greedily, by least squares on each training set.

    Parameters
    ----------
    hidden, labels, folds, neurons
        As in `score_jointly`.
    k : int
        How many neurons to choose.

    Returns
    -------
    Scores
        "neurons" int64 (F, K, k), in order of choice, and "r2" float64 (k, F, K), held out, of the first 1 to k.

    Raises
    ------
    ValueError
        As `score_jointly`, and for a k that is not between 1 and the number of neurons.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import make_folds, select_neurons
    >>> hidden = np.random.default_rng(0).normal(size=(300, 5))
    >>> labels = 2 * hidden[:, [3]] - hidden[:, [1]]
    >>> select_neurons(hidden, labels, make_folds(300, k=2, scheme="shuffled"), 2)["neurons"][0].tolist()
    [[3, 1], [3, 1]]
    """
    data, n_folds = joint_data(hidden, labels, folds, neurons, False, "ols")
    n_neurons = data.z.shape[1] - 1
    if not 1 <= k <= n_neurons:
        raise ValueError(f"expected k from 1 to {n_neurons} neurons, got {k}")
    with jax.enable_x64(True):
        chosen, scored = _select(data, int(k), n_folds)
        order, score = np.asarray(chosen).astype(np.int64), np.asarray(scored)
    if neurons is not None:
        order = np.asarray(neurons)[order]
    result = {"neurons": np.moveaxis(order, 0, 1), "r2": score.transpose(2, 1, 0)}
    return Scores(result, {"k": int(k), "n_neurons": n_neurons})
