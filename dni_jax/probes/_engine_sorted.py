"""The exact engine for classes: every neuron is sorted, and the probes are solved in its prefixes.

Stats are the positions themselves. All neurons x features x folds are one jitted call, neurons sharded over devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, UInt64

from dni_jax import devices
from dni_jax.probes import _bits, _check, _layout
from dni_jax.probes import _metrics as metrics
from dni_jax.probes._engine import Engine, Sample, Scores, make_scores
from dni_jax.probes._neuron import Fit, confusion, direction, midranks
from dni_jax.probes._registry import PROBES
from dni_jax.probes._sorted_neuron import Layout, sort_neuron
from dni_jax.probes._spec import ProbeSpec

# Neurons whose ranks are kept for one product with the labels.
_NEURON_BATCH = 16
# Bytes that one neuron's prefixes may take before features are split.
_PREFIX_BYTES = 512 * 2**20


@dataclass(frozen=True, eq=False)
class Positions:
    """All positions so far, in the order received.

    Attributes
    ----------
    spec : ProbeSpec
    shape : (int, int, int)
        Numbers of neurons, features and folds.
    chunks : tuple of (hidden, labels, folds)
    """

    spec: ProbeSpec
    shape: tuple[int, int, int]
    chunks: tuple[_check.Chunk, ...] = ()

    def __add__(self, other: Positions) -> Positions:
        return Positions(self.spec, self.shape, self.chunks + other.chunks)

    def joined(self) -> _check.Chunk:
        """All positions as one chunk; a single one is not copied."""
        if len(self.chunks) == 1:
            return self.chunks[0]
        if not self.chunks:
            raise ValueError("expected at least one chunk of (hidden, labels, folds), got none")
        hidden, labels, folds = (
            np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*self.chunks, strict=True)
        )
        return hidden, labels, folds


def init(spec: ProbeSpec, sample: Sample) -> Positions:
    """Return stats of no position."""
    return Positions(spec, sample.shape)


def update(stats: Positions, hidden: Any, labels: Any, folds: Any) -> Positions:
    """Keep some more positions."""
    number, binary = len(stats.chunks), stats.spec.classifies
    chunk = _check.check_chunk((hidden, labels, folds), number, stats.shape, binary, widen=True)
    return Positions(stats.spec, stats.shape, (*stats.chunks, chunk))


@dataclass(frozen=True)
class Plan:
    """How the grid of neurons and features is divided on each device.

    It changes memory and speed but no result.

    Attributes
    ----------
    neuron_batch : int
        Neurons that are ranked for one product with the labels.
    feature_batch : int
        Features whose prefixes are held at a time.
    """

    neuron_batch: int
    feature_batch: int


def make_plan(spec: ProbeSpec, shape: tuple[int, int, int], n_positions: int) -> Plan:
    """Choose batches whose prefixes fit into 512 MiB, unless the spec sets them."""
    n_neurons, n_features, n_folds = shape
    per_device = -(-n_neurons // devices.make_mesh("neurons").size)
    n_words = -(-n_positions // _bits.WORD)
    bytes_per_prefix = 20 if PROBES[spec.probe].squares else 12  # one count and one or two sums
    fitting = max(1, _PREFIX_BYTES // (bytes_per_prefix * n_words * n_folds))
    n_groups = -(-n_features // min(spec.feature_batch or fitting, n_features))
    return Plan(min(spec.neuron_batch or _NEURON_BATCH, per_device), -(-n_features // n_groups))


def score(stats: Positions) -> Scores:
    """Fit and score every neuron, feature and fold."""
    (hidden, labels, folds), spec = stats.joined(), stats.spec
    _, n_features, n_folds = stats.shape
    used = _layout.used_positions(folds)
    fold_of = folds[used]
    sizes = np.bincount(fold_of, minlength=n_folds)
    _check.check_fold_sizes(sizes)
    plan, mesh = make_plan(spec, stats.shape, len(used)), devices.make_mesh("neurons")
    with jax.enable_x64(True):
        data = _shared_data(labels, used, fold_of, n_folds, spec, plan)
        arrays = {
            name: np.asarray(array)
            for name, array in _score_sharded(hidden, data, spec.compiled(), plan, n_folds, mesh).items()
        }
    # (neuron, strength, fold, padded feature) -> (strength, neuron, feature, fold)
    arrays = {name: array[..., :n_features].transpose(1, 0, 3, 2) for name, array in arrays.items()}
    positives = np.stack([np.count_nonzero(labels[used[fold_of == fold]], axis=0) for fold in range(n_folds)])
    attrs = {"engine": "exact", "n_devices": mesh.size}
    return make_scores(spec, arrays, metrics.majority_baseline(positives, sizes), attrs)


class Data(NamedTuple):
    """What all neurons share; rows are the positions in use, fold after fold."""

    used: Int[Array, " U"]
    fold_of: Int[Array, " U"]
    label_bits: UInt64[Array, "G U W"]
    fold_bits: UInt64[Array, "U V"]
    valid: UInt64[Array, " B"]
    labels: Bool[Array, "G U f"]
    blocks: _layout.FoldBlocks
    strength: Float[Array, " A"]


def _shared_data(
    labels: Bool[np.ndarray, "T F"], used: np.ndarray, fold_of: np.ndarray, n_folds: int, spec: ProbeSpec, plan: Plan
) -> Data:
    n_features = labels.shape[1]
    n_groups = -(-n_features // plan.feature_batch)
    padded = np.pad(labels[used], ((0, 0), (0, n_groups * plan.feature_batch - n_features)))
    grouped = np.stack(np.split(padded, n_groups, axis=1))
    return Data(
        used=jnp.asarray(used),
        fold_of=jnp.asarray(fold_of),
        label_bits=jnp.asarray(np.stack([_bits.pack_columns(group) for group in grouped])),
        fold_bits=jnp.asarray(_layout.pack_folds(fold_of, n_folds)),
        valid=jnp.asarray(_layout.valid_words(len(used))),
        labels=jax.device_put(grouped),  # shares the array's memory where it can
        blocks=_layout.FoldBlocks(*map(jnp.asarray, _layout.make_blocks(fold_of, n_folds))),
        strength=jnp.asarray(spec.strengths, jnp.float64),
    )


@partial(jax.jit, static_argnames=("spec", "plan", "n_folds", "mesh"))
def _score_sharded(
    hidden: Float[Array, "T N"], data: Data, spec: ProbeSpec, plan: Plan, n_folds: int, mesh: Mesh
) -> dict[str, Array]:
    """Score all neurons, (N, A, K, F) for A strengths; results do not depend on how many devices the mesh has."""
    n_neurons = hidden.shape[1]
    hidden = jnp.pad(hidden, ((0, 0), (0, -n_neurons % (mesh.size * plan.neuron_batch))))
    sharded = jax.shard_map(
        partial(_score_shard, spec=spec, plan=plan, n_folds=n_folds),
        mesh=mesh,
        in_specs=(PartitionSpec(None, "neurons"), PartitionSpec()),
        out_specs=PartitionSpec("neurons"),
        check_vma=False,
    )
    return {name: array[:n_neurons] for name, array in sharded(hidden, data).items()}


def _score_shard(
    hidden: Float[Array, "T N"], data: Data, spec: ProbeSpec, plan: Plan, n_folds: int
) -> dict[str, Array]:
    """Score the neurons of one device, batch after batch, each on one group of features after another."""
    x = hidden[data.used].T
    n_neurons = x.shape[0]
    x = x.reshape(-1, plan.neuron_batch, x.shape[1])

    def batch(x: Array) -> dict:
        groups = (data.label_bits, data.labels)
        scores = lax.map(lambda group: _score_batch(x, group, data, spec, plan.feature_batch, n_folds), groups)
        # (group, neuron, strength, fold, feature) -> (neuron, strength, fold, all features)
        return {name: jnp.moveaxis(s, 0, 3).reshape(*s.shape[1:4], -1) for name, s in scores.items()}

    scores = lax.map(batch, x)
    return {name: s.reshape(n_neurons, *s.shape[2:]) for name, s in scores.items()}


def _score_batch(
    x: Float[Array, "M U"], group: tuple, data: Data, spec: ProbeSpec, n_features: int, n_folds: int
) -> dict[str, Float[Array, "M A K F"]]:
    """Fit and score a few neurons on one group of features."""
    label_bits, labels = group
    layout = Layout(label_bits, data.fold_bits, data.valid, data.fold_of)
    probe = PROBES[spec.probe]
    assert probe.classify is not None

    def one(x: Array) -> tuple:
        neuron = sort_neuron(x, layout, n_features, n_folds, probe.squares)

        def solve(strength: Array) -> tuple:
            fit: Fit = probe.classify(neuron, strength, spec.balanced)  # type: ignore[misc]
            counts = confusion(neuron, fit)
            return fit.moved(neuron.centre), counts, direction(neuron, fit.weight)

        ranks = midranks(neuron) if "auc" in spec.names else None
        return *lax.map(solve, data.strength), ranks

    fit, counts, towards, ranks = lax.map(one, x)
    scores = {name: metrics.FROM_COUNTS[name](counts) for name in spec.names if name != "auc"}
    if ranks is not None:
        # One product for all neurons of the batch: the sum of the held-out positives' ranks gives their AUC.
        sums = _layout.fold_products(ranks.T, labels, data.blocks, n_folds)
        sums = jnp.broadcast_to(jnp.swapaxes(sums, 0, 1)[:, None], fit.weight.shape)
        scores["auc"] = metrics.auc(sums, counts, towards)
    return scores | fit.line()


ENGINE = Engine("exact", init, update, score)
