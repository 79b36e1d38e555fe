"""Input checks of the probes: every error names the argument, what was expected, and what was passed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dni_jax.probes._registry import PROBES

_CHECKED = 2**18  # values at a time, whose answers stay in the cache

Chunk = tuple[Any, Any, Any]  # states, labels and folds of some positions


def check_hidden(hidden: Any, widen: bool = True) -> np.ndarray | jax.Array:
    """Return floating states (T, N), finite everywhere; integers become float64, half precision float32 if `widen`."""
    if not isinstance(hidden, jax.Array):
        hidden = np.asarray(hidden)
    if hidden.ndim != 2 or 0 in hidden.shape:
        raise ValueError(f"expected hidden of shape (T, N), at least one of each, got {hidden.shape}")
    if hidden.dtype.kind in "biu":
        return np.asarray(hidden).astype(np.float64)
    if not jnp.issubdtype(hidden.dtype, jnp.floating):
        raise ValueError(f"expected hidden of a real floating type, got {hidden.dtype}; try hidden.astype('float32')")
    if hidden.dtype.itemsize < 4 and (widen or hidden.dtype != np.float16):
        hidden = hidden.astype(np.float32)
    if not _all_finite(hidden):
        t, n = np.argwhere(~np.isfinite(np.asarray(hidden)))[0]
        raise ValueError(
            f"expected finite hidden, got {np.asarray(hidden)[t, n]} at position {t}, neuron {n}; "
            "leave such positions out with fold -1 only after replacing their values"
        )
    return hidden


def _all_finite(values: np.ndarray | jax.Array) -> bool:
    """Whether there is no NaN and no infinity, asked of the accelerator that holds the values, or row by row."""
    if isinstance(values, jax.Array) and any(device.platform != "cpu" for device in values.devices()):
        with jax.enable_x64(True):
            return bool(_finite(values))
    values = np.asarray(values)
    rows = max(1, _CHECKED // values[0].size)
    return all(np.isfinite(values[first : first + rows]).all() for first in range(0, len(values), rows))


@jax.jit
def _finite(values: jax.Array) -> jax.Array:
    return jnp.isfinite(values).all()


def check_labels(labels: Any, n_positions: int, binary: bool, purpose: str) -> np.ndarray:
    """Return labels (T, F): bool for binary probes, unchanged for continuous ones.

    `purpose` is the name of a probe, or a phrase that says in errors what needs binary labels.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape[0] != n_positions or labels.shape[1] == 0:
        hint = "; try labels[:, None]" if labels.ndim == 1 else ""
        raise ValueError(f"expected labels of shape ({n_positions}, F) to match hidden, got {labels.shape}{hint}")
    if labels.dtype.kind not in "biuf" and not jnp.issubdtype(labels.dtype, jnp.floating):
        raise ValueError(f"expected labels of a boolean, integer or floating type, got {labels.dtype}")
    if labels.dtype == bool:
        return labels
    if labels.dtype.kind not in "iu" and not _all_finite(labels):
        t, f = np.argwhere(~np.isfinite(labels.astype(np.float64)))[0]
        raise ValueError(f"expected finite labels, got {labels[t, f]} at position {t}, feature {f}")
    if not binary:
        return labels
    fits = (labels == 0) | (labels == 1)
    if not fits.all():
        t, f = np.argwhere(~fits)[0]
        what = f'probe="{purpose}"' if purpose in PROBES else purpose
        raise ValueError(
            f"expected labels of 0 and 1 for {what}, got {labels[t, f]} in feature column {f}; "
            'try probe="ols" for continuous labels'
        )
    return labels == 1


def is_binary(labels: Any) -> bool:
    """Whether all labels are 0 or 1."""
    labels = np.asarray(labels)
    return bool(labels.dtype == bool or ((labels == 0) | (labels == 1)).all())


def check_batch(name: str, value: int | None) -> None:
    """Raise a ValueError for a batch size below 1."""
    if value is not None and (isinstance(value, bool) or value < 1):
        raise ValueError(f"expected {name} to be None or a whole number >= 1, got {value!r}")


def check_folds(folds: Any, n_positions: int, n_features: int) -> np.ndarray:
    """Return int32 folds, (T,) or (T, F), in which every fold 0..K-1 occurs and K is at least 2."""
    folds = np.asarray(folds)
    if folds.shape not in ((n_positions,), (n_positions, n_features)):
        raise ValueError(
            f"expected folds of shape ({n_positions},) or ({n_positions}, {n_features}), got {folds.shape}"
        )
    if folds.dtype.kind not in "iu":
        raise ValueError(f"expected integer folds, got {folds.dtype}; try make_folds(n_positions, k=20)")
    columns = folds.reshape(n_positions, -1)
    k = int(folds.max(initial=-1)) + 1
    for number, column in enumerate(columns.T):
        where = f" in column {number}" if folds.ndim == 2 else ""
        if (column < -1).any():
            raise ValueError(f"expected folds >= -1, got {column.min()}{where}; only -1 marks positions not used")
        present = np.flatnonzero(np.bincount(column + 1)[1:])
        if len(present) < 2:
            raise ValueError(f"expected at least 2 folds, got {len(present)}{where}; one leaves nothing to train on")
        if len(present) != k:
            missing = sorted(set(range(k)) - set(present.tolist()))[:5]
            raise ValueError(f"expected every fold from 0 to {k - 1} to hold a position, got none in {missing}{where}")
    return folds.astype(np.int32)


def check_fold_sizes(sizes: np.ndarray) -> None:
    """Raise a ValueError for counts in which a fold holds no position."""
    empty = np.flatnonzero(sizes == 0)
    if len(empty):
        raise ValueError(f"expected every fold to hold a position, got none in {empty[:5].tolist()}")


def check_chunk(
    chunk: Chunk, number: int, shape: tuple[int, int, int], binary: bool, widen: bool = False
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Check one chunk as whole arrays are checked; `shape` is (N, F, K). Half precision stays unless `widen`."""
    n_neurons, n_features, n_folds = shape
    hidden, labels, folds = chunk
    try:
        hidden = check_hidden(hidden, widen)
        labels = check_labels(labels, hidden.shape[0], binary, "counting classes")
    except ValueError as error:
        raise ValueError(f"chunk {number}: {error}") from error
    folds = np.asarray(folds)
    for name, expected, array in (("neurons", n_neurons, hidden), ("features", n_features, labels)):
        if array.shape[1] != expected:
            raise ValueError(f"chunk {number}: expected {expected} {name} as in the sample, got {array.shape[1]}")
    if folds.shape != (len(hidden),) or folds.dtype.kind not in "iu":
        raise ValueError(f"chunk {number}: expected integer folds ({len(hidden)},), got {folds.dtype} {folds.shape}")
    if folds.max(initial=-1) >= n_folds or folds.min(initial=0) < -1:
        raise ValueError(f"chunk {number}: expected folds from -1 to {n_folds - 1}, got {folds.min()} to {folds.max()}")
    return hidden, labels, folds.astype(np.int32)
