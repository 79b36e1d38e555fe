"""All neurons x features x folds in one jitted call, neurons sharded over the devices."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, UInt64

from dni_jax.probes import _held_out
from dni_jax.probes import _linear as linear
from dni_jax.probes import _metrics as metrics
from dni_jax.probes._moments import fold_moments, fold_products
from dni_jax.probes._neuron import direction
from dni_jax.probes._registry import PROBES
from dni_jax.probes._sorted_neuron import Layout, sort_neuron


@dataclass(frozen=True)
class Plan:
    """What is fixed when the call is compiled."""

    probe: str
    metrics: tuple[str, ...]
    n_folds: int
    feature_batch: int
    neuron_batch: int
    balanced: bool
    classifies: bool


class Data(NamedTuple):
    """What the devices share; rows are the positions in use, fold after fold."""

    used: Int[Array, " U"]
    fold_of: Int[Array, " U"]
    label_bits: UInt64[Array, "G U W"]
    fold_bits: UInt64[Array, "U V"]
    valid: UInt64[Array, " B"]
    labels: Array
    rows: Int[Array, "J R"]
    real: Bool[Array, "J R"]
    block_fold: Int[Array, " J"]
    strength: Float[Array, " A"]


def _classify_batch(x: Float[Array, "M U"], group: tuple, data: Data, plan: Plan) -> dict[str, Float[Array, "M A K F"]]:
    """Fit and score a few neurons on one group of features."""
    label_bits, labels = group
    layout = Layout(label_bits, data.fold_bits, data.valid, data.fold_of)
    probe = PROBES[plan.probe]
    assert probe.classify is not None

    def one(x: Array) -> tuple:
        neuron = sort_neuron(x, layout, plan.feature_batch, plan.n_folds, probe.squares)

        def solve(strength: Array) -> tuple:
            fit = probe.classify(neuron, strength, plan.balanced)  # type: ignore[misc]
            counts = _held_out.confusion(neuron, fit)
            return fit._replace(threshold=fit.threshold + neuron.centre), counts, direction(neuron, fit.weight)

        ranks = _held_out.midranks(neuron) if "auc" in plan.metrics else None
        return *lax.map(solve, data.strength), ranks

    fit, counts, towards, ranks = lax.map(one, x)
    scores = {name: metrics.FROM_COUNTS[name](counts) for name in plan.metrics if name != "auc"}
    if ranks is not None:
        sums = fold_products(ranks.T, labels, data.rows, data.real, data.block_fold, plan.n_folds)
        sums = jnp.broadcast_to(jnp.swapaxes(sums, 0, 1)[:, None], fit.weight.shape)
        scores["auc"] = metrics.auc(sums, counts, towards)
    bias = jnp.where(fit.constant, 1.0, -1.0)
    scores["weight"] = fit.weight
    scores["bias"] = jnp.where(fit.weight == 0, bias, 0.0 - fit.weight * fit.threshold)
    return scores


def _classify(hidden: Float[Array, "T N"], data: Data, plan: Plan) -> dict[str, Float[Array, "N A K F"]]:
    x = hidden[data.used].T
    n_neurons = x.shape[0]
    x = x.reshape(-1, plan.neuron_batch, x.shape[1])

    def batch(x: Array) -> dict:
        groups = (data.label_bits, data.labels)
        scores = lax.map(lambda group: _classify_batch(x, group, data, plan), groups)
        # (group, neuron, strength, fold, feature) -> (neuron, strength, fold, all features)
        return {key: jnp.moveaxis(s, 0, 3).reshape(*s.shape[1:4], -1) for key, s in scores.items()}

    scores = lax.map(batch, x)
    return {key: s.reshape(n_neurons, *s.shape[2:]) for key, s in scores.items()}


def _regress(hidden: Float[Array, "T N"], data: Data, plan: Plan) -> dict[str, Array]:
    """Scores (N, A, K, F), and the baseline (K, F)."""
    regress = PROBES[plan.probe].regress
    assert regress is not None
    blocks = (data.used[data.rows], data.real, data.block_fold, plan.n_folds)
    x0, y0 = (part[data.used[0]].astype(jnp.float64) for part in (hidden, data.labels))
    held, limits = fold_moments(x0, y0, hidden, data.labels, *blocks)
    train = held.without_each()

    def solve(strength: Array) -> dict:
        line = regress(train, strength)
        scores = {"weight": line.slope}
        scores["bias"] = line.y_mean + y0 - line.slope * (line.x_mean + x0[None, :, None])
        return scores | linear.held_out_scores(held, line, limits, plan.metrics)

    # (strength, fold, neuron, feature) -> (neuron, strength, fold, feature)
    scores = {key: jnp.moveaxis(score, 2, 0) for key, score in lax.map(solve, data.strength).items()}
    scores["baseline"] = linear.mean_baseline(held, train, limits)
    return scores


@partial(jax.jit, static_argnames=("plan", "mesh"))
def run(hidden: Float[Array, "T N"], data: Data, plan: Plan, mesh: Mesh) -> dict[str, Array]:
    """Score all neurons, (N, A, K, F) for A strengths; results do not depend on how many devices the mesh has."""
    n_neurons = hidden.shape[1]
    multiple = mesh.size * (plan.neuron_batch if plan.classifies else 1)
    hidden = jnp.pad(hidden, ((0, 0), (0, -n_neurons % multiple)))
    body = partial(_classify if plan.classifies else _regress, plan=plan)
    by_neuron = PartitionSpec("neurons")
    specs = dict.fromkeys((*plan.metrics, "weight", "bias"), by_neuron)
    if not plan.classifies:
        specs["baseline"] = PartitionSpec()
    sharded = jax.shard_map(
        body,
        mesh=mesh,
        in_specs=(PartitionSpec(None, "neurons"), PartitionSpec()),
        out_specs=specs,
        check_vma=False,
    )
    return {key: score if key == "baseline" else score[:n_neurons] for key, score in sharded(hidden, data).items()}
