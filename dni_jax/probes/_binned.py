"""The binned engine: any number of positions in a fixed amount of memory.

Each neuron is rounded to levels chosen beforehand, and positions are counted by (level, fold, feature). The probes
are then solved exactly on the rounded neurons; the cost after the counting does not grow with the positions.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from dni_jax import devices
from dni_jax.probes import _binned_neuron as _binned
from dni_jax.probes import _check, _held_out
from dni_jax.probes import _metrics as metrics
from dni_jax.probes._counting import Counts
from dni_jax.probes._neuron import direction
from dni_jax.probes._registry import PROBES
from dni_jax.probes._result import Scores


@dataclass(frozen=True)
class _Plan:
    probe: str
    metrics: tuple[str, ...]
    balanced: bool


def score_counts(
    counts: Counts,
    *,
    probe: str = "svm",
    metrics: tuple[str, ...] | None = None,
    C: float = 1.0,
    alpha: Any = 1.0,
    class_weight: str | None = None,
) -> Scores:
    """Fit and score on counts; as `score_neurons`, for classifying probes.

    Parameters
    ----------
    counts : Counts
        Every fold must hold a position.
    probe, metrics, C, alpha, class_weight
        As in `score_neurons`.

    Returns
    -------
    Scores
        As from `score_neurons`. In ``attrs``, "auc_error" bounds the rounding's effect on any AUC of a neuron: half
        the share of held-out pairs within one level. "accuracy_error" estimates that on accuracy: the largest share of
        held-out positions in the two levels next to a threshold.

    Raises
    ------
    ValueError
        For a fold without a position, or a probe that does not classify.

    Examples
    --------
    >>> import numpy as np
    >>> from dni_jax.probes import choose_levels, count, score_counts
    >>> x = np.random.default_rng(0).normal(size=(1000, 1))
    >>> counts = count([(x, x > 0, np.arange(1000) % 4)], choose_levels(x), n_folds=4)
    >>> bool(score_counts(counts)["accuracy"].min() > 0.97)
    True
    """
    scores = fit_counts(counts, probe, metrics, C, alpha, class_weight)
    return Scores({key: scores[key] for key in scores if key not in ("weight", "bias")}, scores.attrs)


def fit_counts(
    counts: Counts, probe: str, metrics: tuple[str, ...] | None, C: float, alpha: Any, class_weight: str | None
) -> Scores:
    """Fit and score on counts, keeping the lines as "weight" and "bias"."""
    chosen, metrics, classifies = _check.check_probe(probe, metrics, np.zeros((1, 1), bool))
    if not classifies:
        raise ValueError(
            f'expected a classifying probe and its metrics for binned counts, got probe="{probe}", {metrics}'
        )
    strengths = _check.check_strength(chosen, C, alpha)
    balanced = _check.check_class_weight(class_weight, classifies)
    sizes = np.asarray(counts.counts[0, :, :, -1]).sum(0, dtype=np.int64)
    _check.check_fold_sizes(sizes)
    mesh = devices.make_mesh("neurons")
    n_neurons = len(counts.levels)
    with jax.enable_x64(True):
        levels, table = counts.padded(mesh.size)
        plan = _Plan(probe, metrics, balanced)
        scores = _score(levels, table, jnp.asarray(strengths, jnp.float64), plan, mesh)
        # (neuron, strength, fold, feature) -> (strength, neuron, feature, fold)
        result = {key: np.asarray(part)[:n_neurons].transpose(1, 0, 3, 2) for key, part in scores.items()}
    errors = {key: float(np.nanmax(result.pop(key), initial=0.0)) for key in ("auc_error", "accuracy_error")}
    if np.ndim(alpha) == 0:
        result = {key: value[0] for key, value in result.items()}
    result["baseline"] = _baseline(np.asarray(counts.counts[0]).sum(0, dtype=np.int64))
    attrs = {"probe": probe, "engine": "binned", "n_bins": counts.levels.shape[1], "C": float(C), "alpha": alpha}
    attrs |= {"class_weight": str(class_weight), "n_devices": mesh.size, **errors}
    return Scores(result, attrs)


@partial(jax.jit, static_argnames=("plan", "mesh"))
def _score(levels: Array, table: Array, strengths: Array, plan: _Plan, mesh: Mesh) -> dict[str, Array]:
    probe = PROBES[plan.probe]
    assert probe.classify is not None

    def one(neuron: tuple) -> dict[str, Array]:
        levels, table = neuron
        binned = _binned.bin_neuron(levels, table[:, :, :-1], table[:, :, -1])
        rank_sum, tied = _binned.rank_sums(binned), _binned.tied_pairs(binned)

        def solve(strength: Array) -> dict[str, Array]:
            fit = probe.classify(binned, strength, plan.balanced)  # type: ignore[misc]
            counts = _held_out.confusion(binned, fit)
            scores = {name: metrics.FROM_COUNTS[name](counts) for name in plan.metrics if name != "auc"}
            if "auc" in plan.metrics:
                scores["auc"] = metrics.auc(rank_sum, counts, direction(binned, fit.weight))
            scores["auc_error"] = metrics.tie_bound(tied, counts)
            scores["accuracy_error"] = _held_out.share_at_threshold(binned, fit)
            bias = jnp.where(fit.constant, 1.0, -1.0)
            threshold = fit.threshold + binned.centre
            scores["weight"] = fit.weight
            scores["bias"] = jnp.where(fit.weight == 0, bias, 0.0 - fit.weight * threshold)
            return scores

        return lax.map(solve, strengths)

    def shard(levels: Array, table: Array, strengths: Array) -> dict[str, Array]:
        return lax.map(one, (levels, table))

    by_neuron = PartitionSpec("neurons")
    specs = (by_neuron, by_neuron, PartitionSpec())
    return jax.shard_map(shard, mesh=mesh, in_specs=specs, out_specs=by_neuron, check_vma=False)(
        levels, table, strengths
    )


def _baseline(table: Int[np.ndarray, "K F1"]) -> Float[np.ndarray, "F K"]:
    """Held-out accuracy of the training set's majority class, class 0 in a tie."""
    positives, n = table[:, :-1], table[:, -1:]
    majority = 2 * (positives.sum(0) - positives) > n.sum() - n
    return (np.where(majority, positives, n - positives) / n).T
