"""The package's programs by name, with the shapes of arguments that they are compiled for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dni_jax.interventions import Bound, Drive, Override
from dni_jax.models import TrainConfig
from dni_jax.models import _rollout as rollout
from dni_jax.models import _steps as steps
from dni_jax.models._network import CharNetwork, zero_carries
from dni_jax.models._state import TrainState
from dni_jax.probes import (
    ProbeSpec,
    _bootstrap,
    _direct,
    _engine_counts,
    _engine_sorted,
    _joint,
    _layout,
    _least_squares,
    _moments,
    _plan,
    _sets,
)
from dni_jax.probes._registry import PROBES

_WHOLE = PartitionSpec()


@dataclass(frozen=True)
class Sizes:
    """What the programs are compiled for.

    Attributes
    ----------
    positions, neurons, features, folds : int
        Of the grid of probes.
    bins, chunk : int
        Levels of the binned engine, and positions in an update.
    repetitions : int
        Of the permutation test.
    hidden, symbols, lanes, window, models : int
        Of networks, training and generation.
    sets : int
        Sets of neurons that verification overrides.
    """

    positions: int = 20_000
    neurons: int = 128
    features: int = 50
    folds: int = 20
    bins: int = 512
    chunk: int = 65_536
    repetitions: int = 199
    hidden: int = 128
    symbols: int = 64
    lanes: int = 64
    window: int = 64
    models: int = 64
    sets: int = 64


SMALL = Sizes(
    positions=300,
    neurons=4,
    features=3,
    folds=3,
    bins=16,
    chunk=256,
    repetitions=9,
    hidden=8,
    symbols=6,
    lanes=8,
    window=5,
    models=4,
    sets=4,
)


@dataclass(frozen=True)
class Site:
    """Where a program is compiled for: a platform's plan, and its devices."""

    platform: str
    devices: list[Any]

    def neurons(self) -> Mesh:
        """Return the mesh of probes."""
        return Mesh(np.array(self.devices), ("neurons",))

    def grid(self, over: str) -> Mesh:
        """Return the mesh of networks, split over models or over lanes."""
        shape = (len(self.devices), 1) if over == "models" else (1, len(self.devices))
        return Mesh(np.array(self.devices).reshape(shape), ("models", "lanes"))

    def place(self, arrays: Any, mesh: Mesh, spec: PartitionSpec = _WHOLE) -> Any:
        """Return the shapes of arrays, lying on the devices."""
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(lambda part: jax.ShapeDtypeStruct(part.shape, part.dtype, sharding=sharding), arrays)


@dataclass(frozen=True)
class Program:
    """A jitted function and its arguments.

    Attributes
    ----------
    function : jitted function
    arguments, settings : tuple and dict
        Shapes of arrays, and what is static.
    calls : int
        How often it is called for the sizes given.
    characters : int
        Steps of characters in a call; 0 for programs that read none.
    """

    function: Any
    arguments: tuple[Any, ...]
    settings: dict[str, Any]
    calls: int = 1
    characters: int = 0

    def trace(self) -> Any:
        """Trace it in 64-bit mode, as the package does."""
        return self.function.trace(*self.arguments, **self.settings)


def _shape(shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _classes(name: str) -> Callable[[Site, Sizes], Program]:
    def make(site: Site, n: Sizes) -> Program:
        spec, mesh = ProbeSpec(name, plan=site.platform).resolve(np.zeros((2, 1), bool)), site.neurons()
        shape = (n.neurons, n.features, n.folds)
        plan = _engine_sorted.plan_grid(spec, shape, n.positions, mesh.size)
        fold_of = np.sort(np.arange(n.positions) % n.folds)
        labels = np.zeros((n.positions, n.features), bool)
        used = np.arange(n.positions, dtype=np.int32)
        data = _engine_sorted._shared_data(labels, used, fold_of.astype(np.int32), n.folds, spec, plan)
        hidden = site.place(_shape((n.positions, n.neurons)), mesh, PartitionSpec(None, "neurons"))
        settings = {"spec": spec.compiled(), "plan": plan, "n_folds": n.folds, "mesh": mesh}
        return Program(_engine_sorted._score_sharded, (hidden, site.place(data, mesh)), settings)

    return make


def _blocks(n: Sizes) -> _layout.FoldBlocks:
    fold_of = np.sort(np.arange(n.positions) % n.folds).astype(np.int32)
    return _layout.make_blocks(fold_of, n.folds)


def _ols(site: Site, n: Sizes) -> Program:
    mesh = site.neurons()
    x, y = _shape((n.neurons,), jnp.float64), _shape((n.features,), jnp.float64)
    arguments = (
        site.place(_shape((n.positions, n.neurons)), mesh, PartitionSpec(None, "neurons")),
        *site.place((_shape((n.positions, n.features)), _moments.Scale(x, x, y, y), _blocks(n)), mesh),
    )
    spec = ProbeSpec("ols", plan=site.platform)
    parallel = _plan.fits_at_once(spec, n.positions, n.neurons // mesh.size, n.features)
    settings = {"n_folds": n.folds, "mesh": mesh, "rounded": False, "parallel": parallel}
    return Program(_moments.sharded_moments, arguments, settings)


def _ols_scores(site: Site, n: Sizes) -> Program:
    mesh = site.neurons()
    shapes = ((1, 1), (n.neurons, 1), (n.neurons, 1), (1, n.features), (1, n.features), (n.neurons, n.features))
    held = _moments.Moments._make(_shape((n.folds, *shape), jnp.float64) for shape in shapes)
    limits = _moments.Range._make(_shape((n.folds, n.features), jnp.float64) for _ in range(2))
    arguments = site.place((held, limits, _shape((1,), jnp.float64)), mesh)
    return Program(_least_squares._score, arguments, {"regress": PROBES["ols"].regress, "metrics": ("r2", "pearson")})


def _binned(site: Site, n: Sizes) -> Program:
    mesh = site.neurons()
    total = (n.neurons, n.bins, n.folds, n.features + 1)
    spec = ProbeSpec("svm", plan=site.platform, metrics=("accuracy", "auc"))
    at_once = _engine_counts.count_at_once(spec, total, n.chunk, mesh.size)
    across = PartitionSpec("neurons")
    arguments = (
        site.place(_shape(total, jnp.int32), mesh, across),
        site.place(_shape((n.chunk, n.neurons)), mesh, PartitionSpec(None, "neurons")),
        site.place(_shape((n.chunk, n.features), bool), mesh),
        site.place(_shape((n.chunk,), jnp.int32), mesh),
        site.place(_shape((n.neurons, n.bins - 1), jnp.float64), mesh, across),
    )
    return Program(_engine_counts._add_chunk, arguments, {"at_once": at_once, "mesh": mesh})


def _binned_scores(site: Site, n: Sizes) -> Program:
    mesh = site.neurons()
    spec = ProbeSpec("svm", plan=site.platform, metrics=("accuracy", "auc"))
    total, across = (n.neurons, n.bins, n.folds, n.features + 1), PartitionSpec("neurons")
    arguments = (
        site.place(_shape((n.neurons, n.bins), jnp.float64), mesh, across),
        site.place(_shape(total, jnp.int32), mesh, across),
        site.place(_shape((1,), jnp.float64), mesh),
    )
    plan = _engine_counts.plan_levels(spec, total, mesh.size)
    return Program(_engine_counts._score, arguments, {"spec": spec.compiled(), "plan": plan, "mesh": mesh})


def _permutation(site: Site, n: Sizes) -> Program:
    mesh = site.neurons()
    x, spread = _shape((n.positions, n.neurons), jnp.float64), _shape((n.neurons,), jnp.float64)
    n_columns = n.features + 1
    batch = max(1, min((128 * 2**20) // (8 * n.positions * n_columns), n.repetitions))
    columns = _shape((batch, n.positions, n_columns), jnp.int8)
    arguments = site.place((_direct.Sides(x, spread), columns), mesh)
    return Program(_direct.score_batch, arguments, {"metric": "auc"}, calls=-(-(n.repetitions + 1) // batch))


def _ranks(site: Site, n: Sizes) -> Program:
    mesh = site.neurons()
    arguments = site.place((_shape((n.positions, n.neurons)), _shape((n.positions,), jnp.int32)), mesh)
    return Program(_direct._ranked, arguments, {"n_strata": 1, "platform": site.platform})


def _joint_data(site: Site, n: Sizes) -> tuple[_joint.JointData, bool]:
    z, y = _shape((n.positions, n.neurons + 1), jnp.float64), _shape((n.positions, n.features), jnp.float64)
    data = _joint.JointData(z, y, _shape((n.positions,), jnp.int32), _blocks(n))
    return site.place(data, site.neurons()), _joint.works_at_once(ProbeSpec("ridge", plan=site.platform), data)


def _jointly(name: str) -> Callable[[Site, Sizes], Program]:
    def make(site: Site, n: Sizes) -> Program:
        data, parallel = _joint_data(site, n)
        strengths = site.place(_shape((1,), jnp.float64), site.neurons())
        settings = {"probe": name, "names": ("accuracy", "auc"), "n_folds": n.folds, "parallel": parallel}
        return Program(_joint._score, (data, strengths), settings)

    return make


def _select(site: Site, n: Sizes) -> Program:
    data, parallel = _joint_data(site, n)
    return Program(_joint._select, (data,), {"k": 5, "n_folds": n.folds, "parallel": parallel})


def _score_sets(name: str) -> Callable[[Site, Sizes], Program]:
    def make(site: Site, n: Sizes) -> Program:
        mesh, per_position = site.neurons(), (n.positions,)
        rows = (
            _shape((n.positions, n.neurons), jnp.float64),
            _shape(per_position, jnp.int32),
            _shape((n.positions, n.features), jnp.float64),
            _shape(per_position, jnp.int32),
            _blocks(n),
        )
        sets = _shape((n.neurons, 5), jnp.int32)
        arguments = site.place((rows, sets, sets, _shape((), jnp.float64)), mesh)
        settings = {"probe": name, "names": ("accuracy", "auc"), "n_folds": n.folds, "parallel": True}
        return Program(_sets._score_sets, arguments, settings)

    return make


def _bootstrap_auc(site: Site, n: Sizes) -> Program:
    shapes = (
        _shape((n.positions, n.neurons)),
        _shape((n.positions, n.features)),
        _shape((n.positions,), jnp.int32),
        _shape((n.repetitions, n.positions // 20)),
    )
    return Program(_bootstrap._draws, site.place(shapes, site.neurons()), {"platform": site.platform})


def _bootstrap_held_out(site: Site, n: Sizes) -> Program:
    line = _shape((n.features, n.neurons, n.folds), jnp.float64)
    shapes = (
        _shape((n.positions, n.neurons)),
        _shape((n.features, n.positions), jnp.float64),
        _shape((n.positions,), jnp.int32),
        _shape((n.positions,), jnp.int32),
        line,
        line,
    )
    settings = {"n_groups": n.positions // 20, "classifies": True, "platform": site.platform}
    return Program(_bootstrap._group_sums, site.place(shapes, site.neurons()), settings)


def _weights(n: Sizes, cell: str = "lstm") -> Any:
    return CharNetwork.init(n.symbols, (n.hidden,), cell=cell).weights


def _train(models: Callable[[Sizes], int], cell: str = "lstm") -> Callable[[Site, Sizes], Program]:
    def make(site: Site, n: Sizes) -> Program:
        n_models, n_steps = models(n), 10
        mesh = site.grid("models" if n_models > 1 else "lanes")
        config = TrainConfig(cell=cell, hidden=n.hidden, batch=n.lanes, window=n.window, steps=1_000).plan(n.symbols)
        optimizer = steps.make_optimizer(config)
        # float32, whatever mode the programs are compiled in
        with jax.enable_x64(False):
            one = _weights(n, cell)
            weights = jax.tree.map(lambda part: _shape((n_models, *part.shape), part.dtype), one)
            memory = jax.eval_shape(jax.vmap(optimizer.init), weights)
            carries = jax.tree.map(lambda part: _shape((n_models, *part.shape), part.dtype), zero_carries(one, n.lanes))
        shape, lanes = (n_models, n_steps, n.window, n.lanes), PartitionSpec("models", None, None, "lanes")
        kinds = (jnp.int32, jnp.int32, jnp.float32, bool)
        batch = steps.Batch(*(site.place(_shape(shape, kind), mesh, lanes) for kind in kinds))
        of_models = PartitionSpec("models")
        state = TrainState(
            site.place(weights, mesh, of_models),
            site.place(memory, mesh, of_models),
            site.place(carries, mesh, PartitionSpec("models", "lanes")),
        )
        rates = site.place(_shape((n_models,)), mesh, of_models)
        settings = {"optimizer": optimizer, "devices": mesh}
        return Program(steps.take_steps, (state, rates, batch), settings, characters=n_steps * n.window)

    return make


def _record(site: Site, n: Sizes) -> Program:
    mesh = site.grid("lanes")
    text = rollout.Text(_shape((256, 4 * n.lanes), jnp.int32), _shape((256, 4 * n.lanes), bool))
    return _rollout(site, n, mesh, text, Bound(), rollout.Emit(("hidden",)), 1, 256)


def _overrides(n_sets: int, n: Sizes) -> tuple[Override]:
    edits = _shape((n_sets, n.hidden), bool), _shape((n_sets, n.hidden)), _shape((n_sets, n.hidden))
    return (Override(*edits),)


def _verify(site: Site, n: Sizes) -> Program:
    mesh, lanes = site.grid("models"), 2 * n.lanes
    text = rollout.Text(
        _shape((n.window, lanes), jnp.int32), _shape((n.window, lanes), bool), _shape((n.window, lanes), jnp.int32)
    )
    bound = Bound(_overrides(n.sets, n), (Drive(),))
    return _rollout(site, n, mesh, text, bound, rollout.Emit(("loss", "best")), n.sets, n.window)


def _generate(site: Site, n: Sizes) -> Program:
    mesh = site.grid("lanes")
    source = rollout.Samples(
        _shape((n.window, n.lanes)), _shape((n.window,), jnp.int32), _shape((), jnp.int32), _shape(())
    )
    bound = Bound(_overrides(1, n), (Drive(),))
    return _rollout(site, n, mesh, source, bound, rollout.Emit(("symbols",)), 1, n.window)


def _rollout(
    site: Site, n: Sizes, mesh: Mesh, source: Any, bound: Bound, emit: rollout.Emit, n_sets: int, length: int
) -> Program:
    specs = source.specs()
    specs = jax.tree.map(lambda _: specs, source) if isinstance(specs, PartitionSpec) else specs
    placed = jax.tree.map(lambda part, spec: site.place(part, mesh, spec), source, specs)
    with jax.enable_x64(False):
        weights = site.place(_weights(n), mesh)
    edits = site.place(bound.overrides, mesh, PartitionSpec("models"))
    settings = {"n_sets": n_sets, "devices": mesh}
    arguments = (weights, placed, Bound(edits, bound.drives), emit, None)
    return Program(rollout.rollout_sets, arguments, settings, characters=length)


PROGRAMS: dict[str, Callable[[Site, Sizes], Program]] = {
    **{name: _classes(name) for name in ("svm", "linear_svc", "logistic", "ridge")},
    "ols": _ols,
    "ols_scores": _ols_scores,
    "binned": _binned,
    "binned_scores": _binned_scores,
    "permutation": _permutation,
    "ranks": _ranks,
    "joint_ridge": _jointly("ridge"),
    "joint_logistic": _jointly("logistic"),
    "sets_ridge": _score_sets("ridge"),
    "sets_logistic": _score_sets("logistic"),
    "select": _select,
    "bootstrap_auc": _bootstrap_auc,
    "bootstrap_held_out": _bootstrap_held_out,
    "train": _train(lambda n: 1),
    "train_population": _train(lambda n: n.models),
    **{f"train_{cell}": _train(lambda n: 1, cell) for cell in ("gru", "mingru", "rglru", "slstm")},
    "record": _record,
    "verify": _verify,
    "generate": _generate,
}
# A TPU leaves these to its host: factorizations and series in float64, which it emulates.
ON_HOST = (
    *(name for name, probe in PROBES.items() if not probe.on_tpu),
    *("joint_ridge", "joint_logistic", "sets_ridge", "sets_logistic", "select"),
)
# Programs of networks run in JAX's usual 32-bit mode.
NARROW = (*(name for name in PROGRAMS if name.startswith("train")), "record", "verify", "generate")
