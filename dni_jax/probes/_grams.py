"""Second moments of all neurons together, fold by fold, and what follows from them without another pass."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from dni_jax.probes import _check, _layout


class Grams(NamedTuple):
    """Second moments of training or held-out sets, about one origin; z is the neurons and, last, a column of ones."""

    zz: Float[Array, "K N1 N1"]
    zy: Float[Array, "K N1 F"]
    yy: Float[Array, "K F"]

    def without_each(self) -> "Grams":
        """Return the sums over all sets but one."""
        others = 1.0 - jnp.eye(self.zz.shape[0], dtype=jnp.float64)
        return Grams(*(jnp.tensordot(others, part, axes=1) for part in self))

    def centred(self) -> tuple[Array, Array, Array, Array, Array]:
        """Return centred x'x, x'y and y'y, and the means of x and y, for each set."""
        n = self.zz[:, -1, -1]
        x, y = self.zz[:, :-1, -1] / n[:, None], self.zy[:, -1] / n[:, None]
        xx = self.zz[:, :-1, :-1] - n[:, None, None] * x[:, :, None] * x[:, None, :]
        xy = self.zy[:, :-1] - n[:, None, None] * x[:, :, None] * y[:, None, :]
        return xx, xy, self.yy - n[:, None] * y * y, x, y


class JointData(NamedTuple):
    """Positions in use, fold after fold: centred neurons with a column of ones, labels, and blocks of rows."""

    z: Float[Array, "T N1"]
    y: Float[Array, "T F"]
    fold_of: Int[Array, " T"]
    blocks: _layout.FoldBlocks


def grams(data: JointData, n_folds: int) -> Grams:
    """Compute the moments of each fold."""
    zz, zy = (_layout.fold_products(data.z, right, data.blocks, n_folds) for right in (data.z, data.y))
    yy = jax.ops.segment_sum(data.y * data.y, data.fold_of, num_segments=n_folds)
    return Grams(zz, zy, yy)


def ridge(train: Grams, alphas: Float[Array, " A"]) -> Float[Array, "A K N1 F"]:
    """Compute ridge coefficients for every alpha from one eigendecomposition per fold; the intercept, last, is free."""
    xx, xy, _, x, y = train.centred()
    values, vectors = jnp.linalg.eigh(xx)
    values = jnp.maximum(values, 0.0)
    rotated = jnp.einsum("kne,knf->kef", vectors, xy)
    least = 1e-12 * jnp.max(values, axis=1, keepdims=True)

    def solve(alpha: Array) -> Array:
        # Directions without spread get no weight, as in a pseudo-inverse.
        scale = jnp.where(values > least, 1.0 / jnp.where(values > least, values + alpha, 1.0), 0.0)
        w = jnp.einsum("kne,kef->knf", vectors, scale[:, :, None] * rotated)
        return jnp.concatenate([w, (y - jnp.einsum("kn,knf->kf", x, w))[:, None]], axis=1)

    return lax.map(solve, alphas)


def r2(held: Grams, w: Float[Array, "K N1 F"]) -> Float[Array, "K F"]:
    """Compute the held-out R^2 of lines; NaN for constant labels."""
    fit = jnp.einsum("knf,knm,kmf->kf", w, held.zz, w)
    residual = held.yy - 2.0 * jnp.sum(w * held.zy, axis=1) + fit
    spread = held.centred()[2]
    return jnp.where(spread > 1e-12 * held.yy, 1.0 - residual / jnp.where(spread > 0, spread, 1.0), jnp.nan)


def joint_data(
    hidden: Any, labels: Any, folds: Any, neurons: Any, classifies: bool, probe: str
) -> tuple[JointData, int]:
    """Check the arrays and lay out the positions in use; also return the number of folds."""
    hidden = np.asarray(_check.check_hidden(hidden))
    labels = _check.check_labels(labels, hidden.shape[0], classifies, probe)
    folds = _check.check_folds(folds, *labels.shape)
    if folds.ndim == 2:
        raise ValueError(f"expected folds of shape ({len(folds)},) for all neurons together, got {folds.shape}")
    if neurons is not None:
        neurons = np.asarray(neurons)
        if neurons.ndim != 1 or neurons.dtype.kind not in "iu" or not len(neurons) or neurons.max() >= hidden.shape[1]:
            raise ValueError(f"expected neurons as indices below {hidden.shape[1]}, got {neurons}")
        hidden = hidden[:, neurons]
    used = _layout.used_positions(folds)
    fold_of, n_folds = folds[used], int(folds.max()) + 1
    x = hidden[used].astype(np.float64)
    z = np.concatenate([x - x.mean(0), np.ones((len(x), 1))], axis=1)
    with jax.enable_x64(True):
        blocks = _layout.FoldBlocks(*map(jnp.asarray, _layout.make_blocks(fold_of, n_folds)))
        y = jnp.asarray(labels[used].astype(np.float64))
        return JointData(jnp.asarray(z), y, jnp.asarray(fold_of), blocks), n_folds
