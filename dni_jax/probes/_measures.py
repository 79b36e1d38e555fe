"""Measures without a fit: how a neuron and a feature go together over all positions in use."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from dni_jax import devices
from dni_jax.probes import _check
from dni_jax.probes._counting import Counts, choose_levels, count, in_chunks, sample
from dni_jax.probes._result import Scores

MEASURES = ("auc", "pearson", "mutual_information", "jaccard", "cohens_d")


def measure_neurons(
    hidden: Any,
    labels: Any,
    used: Any = None,
    *,
    measures: tuple[str, ...] = MEASURES,
    n_bins: int = 512,
    n_information_bins: int = 16,
) -> Scores:
    """Measure every neuron against every binary feature, from one counting pass.

    Parameters
    ----------
    hidden : float array (T, N)
    labels : array (T, F) of 0 and 1
    used : bool array (T,), optional
        Positions to take; all by default.
    measures : tuple of str
        Of

        - "auc": chance that a positive lies above a negative, ties counting half (Mann-Whitney);
        - "pearson": correlation of the values with the labels;
        - "mutual_information": bits, from `n_information_bins` equally full levels, less the bias that a finite sample
          has, ``(levels - 1) (classes - 1) / (2 n ln 2)`` over occupied levels (Miller-Madow); at least 0;
        - "jaccard": intersection over union of the feature and the positions on one side of the best threshold;
        - "cohens_d": difference of the class means over the pooled standard deviation.
    n_bins : int
        Levels that "auc" and the others but the mutual information see; neurons with at most that many distinct
        values in the sample of levels are measured exactly.
    n_information_bins : int
        Levels of the mutual information.

    Returns
    -------
    Scores
        float64 (N, F) by measure. Without both classes, or for a constant neuron, "auc" and "jaccard" of a missing
        class, "pearson" and "cohens_d" are NaN: there is nothing to compare.

    Raises
    ------
    ValueError
        For shapes that do not match, values that are not finite, labels other than 0 and 1, or unknown measures.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import measure_neurons
    >>> x = np.arange(100.0)[:, None]
    >>> found = measure_neurons(x, x >= 50)
    >>> float(found["auc"][0, 0]), float(found["jaccard"][0, 0]), float(found["mutual_information"][0, 0].round(1))
    (1.0, 1.0, 0.9)
    """
    for name in measures:
        if name not in MEASURES:
            raise ValueError(f"expected measures among {', '.join(MEASURES)}, got {name!r}")
    hidden = _check.check_hidden(hidden)
    labels = _check.check_labels(labels, hidden.shape[0], True, "measures")
    folds = (
        np.zeros(len(labels), np.int32) if used is None else np.where(np.asarray(used, bool), 0, -1).astype(np.int32)
    )
    if folds.shape != (len(labels),) or (folds < 0).all():
        raise ValueError(
            f"expected used to pick positions of {len(labels)}, got shape {folds.shape}, {(folds == 0).sum()}"
        )
    counts = count(in_chunks(hidden, labels, folds), _levels(sample(hidden, folds), n_bins), 1)
    return measure_counts(counts, measures=measures, n_information_bins=n_information_bins)


def _levels(sample: Any, n_bins: int) -> Float[np.ndarray, "N B"]:
    """Equally full levels; every distinct value where a neuron has few."""
    levels = choose_levels(sample, n_bins)
    for row, column in zip(levels, np.asarray(sample).T, strict=True):
        distinct = np.unique(column)
        if len(distinct) <= n_bins:
            row[:] = distinct[-1]
            row[: len(distinct)] = distinct
    return levels


def measure_counts(counts: Counts, *, measures: tuple[str, ...] = MEASURES, n_information_bins: int = 16) -> Scores:
    """Measure from counts, over all folds together; as `measure_neurons`.

    Parameters
    ----------
    counts : Counts
        As from `count`.
    measures, n_information_bins
        As in `measure_neurons`.

    Returns
    -------
    Scores
        float64 (N, F) by measure.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import choose_levels, count, measure_counts
    >>> x = np.arange(64.0)[:, None]
    >>> counts = count([(x, x >= 32, np.zeros(64, int))], choose_levels(x, 64), n_folds=1)
    >>> float(measure_counts(counts, measures=("auc",))["auc"][0, 0])
    1.0
    """
    mesh = devices.make_mesh("neurons")
    n_neurons = len(counts.levels)
    with jax.enable_x64(True):
        levels, table = counts.padded(mesh.size)
        found = _measure(levels, table, n_information_bins, mesh)
        result = {name: np.asarray(found[name])[:n_neurons] for name in measures}
    attrs = {"n_bins": counts.levels.shape[1], "n_information_bins": n_information_bins}
    return Scores(result, attrs | {"n_positions": counts.n_positions})


@partial(jax.jit, static_argnames=("n_information_bins", "mesh"))
def _measure(levels: Array, table: Array, n_information_bins: int, mesh: Mesh) -> dict[str, Array]:
    def one(neuron: tuple) -> dict[str, Array]:
        levels, table = neuron
        table = jnp.sum(table, axis=1, dtype=jnp.int32)
        positive, everything = table[:, :-1], table[:, -1]
        x = levels - levels[levels.shape[0] // 2]
        return {
            "auc": _auc(positive, everything),
            "mutual_information": _information(positive, everything, n_information_bins),
            "jaccard": _jaccard(positive, everything),
            **_differences(x, positive, everything),
        }

    def shard(levels: Array, table: Array) -> dict[str, Array]:
        return lax.map(one, (levels, table))

    spec = PartitionSpec("neurons")
    sharded = jax.shard_map(shard, mesh=mesh, in_specs=(spec, spec), out_specs=spec, check_vma=False)
    return sharded(levels, table)


def _ratio(numerator: Array, denominator: Array) -> Array:
    return jnp.where(denominator > 0, numerator / jnp.where(denominator > 0, denominator, 1.0), jnp.nan)


def _auc(positive: Int[Array, "B F"], everything: Int[Array, " B"]) -> Float[Array, " F"]:
    p, n = positive.astype(jnp.float64), (everything[:, None] - positive).astype(jnp.float64)
    above = jnp.cumsum(n, axis=0) - n / 2.0
    return _ratio(jnp.sum(p * above, axis=0), jnp.sum(p, axis=0) * jnp.sum(n, axis=0))


def _information(positive: Int[Array, "B F"], everything: Int[Array, " B"], n_groups: int) -> Float[Array, " F"]:
    """Mutual information of label and level, levels joined into about equally full groups, less its bias."""
    middle = jnp.cumsum(everything) - (everything + 1) // 2
    n = jnp.sum(everything)
    group = (middle.astype(jnp.int64) * n_groups // n).astype(jnp.int32)
    p = jax.ops.segment_sum(positive, group, num_segments=n_groups).astype(jnp.float64)
    total = jax.ops.segment_sum(everything, group, num_segments=n_groups).astype(jnp.float64)[:, None]

    def entropy(cells: Array) -> Array:
        share = cells / jnp.sum(cells, axis=0)
        return -jnp.sum(jnp.where(share > 0, share * jnp.log2(jnp.where(share > 0, share, 1.0)), 0.0), axis=0)

    ones = jnp.sum(p, axis=0)
    classes = jnp.stack([ones, jnp.sum(total, axis=0) - ones])
    both = jnp.concatenate([p, total - p])
    occupied = jnp.sum(total > 0).astype(jnp.float64)
    n_classes = jnp.sum(classes > 0, axis=0).astype(jnp.float64)
    bias = (occupied - 1.0) * (n_classes - 1.0) / (2.0 * n.astype(jnp.float64) * jnp.log(2.0))
    return jnp.maximum(entropy(classes) + entropy(total) - entropy(both) - bias, 0.0)


def _jaccard(positive: Int[Array, "B F"], everything: Int[Array, " B"]) -> Float[Array, " F"]:
    """Best intersection over union of the positives with all positions above, or all below, a threshold."""
    hits, taken = jnp.cumsum(positive, axis=0), jnp.cumsum(everything)[:, None]
    positives, n = hits[-1], taken[-1]

    def overlap(hits: Array, taken: Array) -> Array:
        return hits.astype(jnp.float64) / jnp.maximum(positives + taken - hits, 1).astype(jnp.float64)

    best = jnp.maximum(jnp.max(overlap(hits, taken), axis=0), jnp.max(overlap(positives - hits, n - taken), axis=0))
    return jnp.where(positives > 0, best, jnp.nan)


def _differences(
    x: Float[Array, " B"], positive: Int[Array, "B F"], everything: Int[Array, " B"]
) -> dict[str, Float[Array, " F"]]:
    """Pearson's correlation and Cohen's d from each class's number, mean and spread."""

    def summary(counts: Array) -> tuple[Array, Array, Array]:
        weights = counts.astype(jnp.float64)
        n = jnp.sum(weights, axis=0)
        mean = x @ weights / jnp.maximum(n, 1.0)
        return n, mean, jnp.sum(weights * (x[:, None] - mean) ** 2, axis=0)

    n1, mean1, spread1 = summary(positive)
    n0, mean0, spread0 = summary(everything[:, None] - positive)
    gap, within = mean1 - mean0, spread1 + spread0
    between = gap**2 * n1 * n0 / (n1 + n0)
    both = (n1 > 0) & (n0 > 0)
    pearson = _ratio(gap * jnp.sqrt(n1 * n0 / (n1 + n0)), jnp.sqrt(jnp.where(both, within + between, 0.0)))
    pooled = jnp.where(both & (n1 + n0 > 2), within / jnp.maximum(n1 + n0 - 2.0, 1.0), 0.0)
    return {"pearson": pearson, "cohens_d": _ratio(gap, jnp.sqrt(pooled))}
