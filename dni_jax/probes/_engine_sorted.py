"""The exact engine for classes: every neuron is sorted, and the probes are solved in its prefixes.

Stats are the positions themselves. All neurons x features x folds are one jitted call, neurons sharded over devices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, UInt

from dni_jax import devices
from dni_jax.probes import _bits, _check, _layout
from dni_jax.probes import _metrics as metrics
from dni_jax.probes._engine import Engine, Sample, Scores, make_scores
from dni_jax.probes._neuron import Fit, confusion, direction, midranks
from dni_jax.probes._plan import SETTLED, Plan, get_platform, in_float64, make_plan, run_plan
from dni_jax.probes._registry import PROBES
from dni_jax.probes._sorted_neuron import Layout, sort_neuron
from dni_jax.probes._spec import ProbeSpec

_TPU_POSITIONS = 2**19  # whose digits an int32 adds up


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


def score(stats: Positions) -> Scores:
    """Fit and score every neuron, feature and fold."""
    (hidden, labels, folds), spec = stats.joined(), stats.spec
    _, n_features, n_folds = stats.shape
    used = _layout.used_positions(folds)
    fold_of = folds[used]
    sizes = np.bincount(fold_of, minlength=n_folds)
    _check.check_fold_sizes(sizes)
    on_tpu = get_platform(spec) == "tpu"
    on_host = on_tpu and not PROBES[spec.probe].on_tpu
    if on_host:
        on_tpu, spec, hidden = False, replace(spec, plan="cpu"), np.asarray(hidden)
    if on_tpu and hidden.dtype == np.float64:
        raise ValueError("expected float32 states on a TPU, which has no 64-bit numbers, got float64: cast them first")
    if on_tpu and len(used) > _TPU_POSITIONS:
        raise ValueError(
            f'expected at most {_TPU_POSITIONS:,} positions for engine="exact" on a TPU, got {len(used):,}: take '
            'engine="binned"'
        )
    mesh = devices.make_mesh("neurons", on_host=on_host)
    plan = plan_grid(spec, stats.shape, len(used), mesh.size)

    def run(plan: Plan, neurons: np.ndarray | slice) -> dict[str, np.ndarray]:
        with in_float64(on_host):
            data = _shared_data(labels, used, fold_of, n_folds, spec, plan)
            scores = _score_sharded(hidden[:, neurons], data, spec.compiled(), plan, n_folds, mesh)
            return {name: np.asarray(array) for name, array in scores.items()}

    arrays = run_plan(run, plan)
    # (neuron, strength, fold, padded feature) -> (strength, neuron, feature, fold)
    arrays = {name: array[..., :n_features].transpose(1, 0, 3, 2) for name, array in arrays.items()}
    positives = np.stack([np.count_nonzero(labels[used[fold_of == fold]], axis=0) for fold in range(n_folds)])
    attrs = {"engine": "exact", "n_devices": mesh.size}
    return make_scores(spec, arrays, metrics.majority_baseline(positives, sizes), attrs)


def plan_grid(spec: ProbeSpec, shape: tuple[int, int, int], n_positions: int, n_devices: int) -> Plan:
    """Choose how many neurons and features each device holds at a time.

    On a CPU one neuron's prefixes take 12 bytes (a count and a sum; with squares 20) per word, fold and feature. An
    accelerator also holds what they are summed from, and the bits of a batch as numbers.
    """
    n_neurons, n_features, n_folds = shape
    squares, platform = PROBES[spec.probe].squares, get_platform(spec)
    n_words = -(-n_positions // _bits.word_of(platform))
    per_feature, per_neuron = (20 if squares else 12) * n_words * n_folds, 0
    if platform != "cpu":
        # A TPU's float64 is two float32, and its arrays are padded to tiles of 8 x 128.
        padding = 4 if platform == "tpu" else 1
        per_feature = padding * (2 * per_feature + 8 * n_positions)
        per_neuron = padding * 8 * n_positions * (n_folds + 8)
    return make_plan(spec, -(-n_neurons // n_devices), n_features, per_feature, per_neuron)


class Data(NamedTuple):
    """What all neurons share; rows are the positions in use, fold after fold."""

    used: Int[Array, " U"]
    fold_of: Int[Array, " U"]
    label_bits: UInt[Array, "G U V"]
    fold_bits: UInt[Array, "U V1"]
    valid: UInt[Array, " B"]
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
    arrays = {
        "used": used,
        "fold_of": fold_of,
        "label_bits": np.stack([_bits.pack_columns(group, plan.word) for group in grouped]),
        "fold_bits": _layout.pack_folds(fold_of, n_folds, plan.word),
        "valid": _layout.valid_words(len(used), plan.word),
        "labels": grouped,
        "blocks": _layout.make_blocks(fold_of, n_folds),
        "strength": np.asarray(spec.strengths, np.float64),
    }
    return Data(**jax.device_put(arrays))


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
        scores = lax.map(lambda group: _score_batch(x, group, data, spec, plan, n_folds), groups)
        # (group, neuron, strength, fold, feature) -> (neuron, strength, fold, all features)
        return {name: jnp.moveaxis(s, 0, 3).reshape(*s.shape[1:4], -1) for name, s in scores.items()}

    scores = lax.map(batch, x)
    return {name: s.reshape(n_neurons, *s.shape[2:]) for name, s in scores.items()}


def _score_batch(
    x: Float[Array, "M U"], group: tuple, data: Data, spec: ProbeSpec, plan: Plan, n_folds: int
) -> dict[str, Float[Array, "M A K F"]]:
    """Fit and score a few neurons on one group of features."""
    label_bits, labels = group
    layout = Layout(label_bits, data.fold_bits, data.valid, data.fold_of)
    probe, solver = PROBES[spec.probe], plan.solver(spec)
    assert probe.classify is not None

    def one(x: Array) -> tuple:
        neuron = sort_neuron(x, layout, plan.feature_batch, n_folds, probe.squares, plan.parallel)

        def solve(strength: Array) -> tuple:
            fit: Fit = probe.classify(neuron, strength, solver)  # type: ignore[misc]
            counts = confusion(neuron, fit)
            return fit.moved(neuron.center).spread(), counts, direction(neuron, fit.weight)

        ranks = midranks(neuron) if "auc" in spec.names else None
        return *lax.map(solve, data.strength), ranks

    fit, counts, toward, ranks = plan.map(one, x)
    scores = {name: metrics.FROM_COUNTS[name](counts) for name in spec.names if name != "auc"}
    if ranks is not None:
        # One product for all neurons of the batch: the sum of the held-out positives' ranks gives their AUC.
        sums = _layout.fold_products(ranks.T, labels, data.blocks, n_folds, plan.parallel)
        sums = jnp.broadcast_to(jnp.swapaxes(sums, 0, 1)[:, None], fit.weight.shape)
        scores["auc"] = metrics.auc(sums, counts, toward)
    return scores | fit.line() | {SETTLED: fit.settled}


ENGINE = Engine("exact", init, update, score)
