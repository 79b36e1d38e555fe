"""One assignment of folds on the exact engine: lay out the positions, run the jitted call, put the axes in order."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from dni_jax import devices
from dni_jax.probes import _bits, _layout
from dni_jax.probes._engine import Data, Plan, run


def run_column(
    hidden: Any, labels: Shaped[np.ndarray, "T F"], folds: np.ndarray, strength: tuple[float, ...], plan: Plan
) -> dict[str, Float[np.ndarray, "..."]]:
    """Run one fold assignment; returns (A, N, F, K) scores, A strengths, and the (F, K) baseline."""
    used = _layout.used_positions(folds)
    fold_of = folds[used]
    mesh = devices.make_mesh("neurons")
    if not plan.classifies and jax.default_backend() == "cpu":
        mesh = devices.make_mesh(
            "neurons", 1
        )  # a product already uses all cores; slicing the states would cost more than it
    with jax.enable_x64(True):
        data = _shared_data(labels, used, fold_of, strength, plan)
        scores = {key: np.asarray(score) for key, score in run(hidden, data, plan, mesh).items()}
    if plan.classifies:
        scores["baseline"] = _majority_baseline(labels[used], fold_of, plan.n_folds)
    n_features = labels.shape[1]
    scores = {key: np.swapaxes(score, -1, -2)[..., :n_features, :] for key, score in scores.items()}
    return {key: score if key == "baseline" else np.swapaxes(score, 0, 1) for key, score in scores.items()}


def _shared_data(
    labels: np.ndarray, used: np.ndarray, fold_of: np.ndarray, strength: tuple[float, ...], plan: Plan
) -> Data:
    n_features = labels.shape[1]
    blocks = _layout.make_blocks(fold_of, plan.n_folds)
    label_bits, fold_bits, valid = (np.zeros((0,) * axes, np.uint64) for axes in (3, 2, 1))
    grouped = labels
    if plan.classifies:
        n_groups = -(-n_features // plan.feature_batch)
        grouped = np.pad(labels[used], ((0, 0), (0, n_groups * plan.feature_batch - n_features)))
        grouped = np.stack(np.split(grouped, n_groups, axis=1))
        label_bits = np.stack([_bits.pack_columns(group) for group in grouped])
        fold_bits, valid = _layout.pack_folds(fold_of, plan.n_folds), _layout.valid_words(len(used))
    return Data(
        used=jnp.asarray(used),
        fold_of=jnp.asarray(fold_of),
        label_bits=jnp.asarray(label_bits),
        fold_bits=jnp.asarray(fold_bits),
        valid=jnp.asarray(valid),
        labels=jax.device_put(grouped),  # shares the caller's memory where it can; the call ends before it returns
        rows=jnp.asarray(blocks.rows),
        real=jnp.asarray(blocks.real),
        block_fold=jnp.asarray(blocks.fold),
        strength=jnp.asarray(strength, jnp.float64),
    )


def _majority_baseline(
    labels: Bool[np.ndarray, "T F"], fold_of: Int[np.ndarray, " T"], n_folds: int
) -> Float[np.ndarray, "K F"]:
    """Held-out accuracy of the training set's majority class, class 0 in a tie."""
    n = np.bincount(fold_of, minlength=n_folds)[:, None]
    positives = np.stack([np.count_nonzero(labels[fold_of == fold], axis=0) for fold in range(n_folds)])
    majority = 2 * (positives.sum(0) - positives) > n.sum() - n
    return np.where(majority, positives, n - positives) / n
