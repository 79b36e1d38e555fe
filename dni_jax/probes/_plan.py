"""How the grid of neurons and features is divided and computed on a kind of device. It changes no result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax import lax

from dni_jax import devices
from dni_jax.probes._bits import word_of
from dni_jax.probes._neuron import Solver
from dni_jax.probes._spec import ProbeSpec

# Neurons that a CPU ranks for one product with the labels, and bytes that one neuron's prefixes may take there before
# features are split.
_CPU_NEURONS, _CPU_PREFIXES = 16, 512 * 2**20


@dataclass(frozen=True)
class Plan:
    """A plan, which is compiled into the programs of an engine.

    Attributes
    ----------
    platform : {"cpu", "gpu", "tpu"}
        On a CPU, neurons and words are read one after another, out of its caches. On accelerators, the neurons of a
        batch and all their words are computed at once, and loops have a fixed number of trips.
    neuron_batch : int
        Neurons that are held at a time on each device.
    feature_batch : int
        Features whose prefixes are held at a time.
    patient : bool
        Whether solvers on an accelerator iterate until all fits have converged, one neuron after another.
    """

    platform: str
    neuron_batch: int
    feature_batch: int
    patient: bool = False

    @property
    def parallel(self) -> bool:
        """Whether neurons and words are computed at once."""
        return self.platform != "cpu" and not self.patient

    @property
    def word(self) -> int:
        """Bits of a word."""
        return word_of(self.platform)

    def map(self, function: Callable[[Any], Any], arrays: Any) -> Any:
        """Apply a function to each neuron."""
        return jax.vmap(function)(arrays) if self.parallel else lax.map(function, arrays)

    def solver(self, spec: ProbeSpec) -> Solver:
        """Return what is compiled into the solvers."""
        return Solver(spec.balanced, self.parallel)

    def halved(self) -> Plan:
        """Return a plan that holds half as many neurons, or else features, at a time."""
        if self.neuron_batch > 1:
            return replace(self, neuron_batch=-(-self.neuron_batch // 2))
        return replace(self, feature_batch=-(-self.feature_batch // 2))


def get_platform(spec: ProbeSpec) -> str:
    """Return the platform of a spec's plan: that of JAX's default devices, unless it names one."""
    return devices.get_platform() if spec.plan == "auto" else spec.plan


def make_plan(
    spec: ProbeSpec, n_neurons: int, n_features: int, bytes_per_feature: int, bytes_per_neuron: int = 0
) -> Plan:
    """Choose batches that fit into memory, unless the spec sets them.

    Parameters
    ----------
    spec : ProbeSpec
    n_neurons : int
        On each device.
    n_features : int
    bytes_per_feature : int
        Memory of one neuron and feature.
    bytes_per_neuron : int
        Memory of one neuron, whatever the number of features.
    """
    platform = get_platform(spec)
    memory = _CPU_PREFIXES if platform == "cpu" else devices.get_memory() // 2
    fitting = max(1, (memory - bytes_per_neuron) // bytes_per_feature)
    n_groups = -(-n_features // min(spec.feature_batch or fitting, n_features))
    feature_batch = -(-n_features // n_groups)
    neurons = _CPU_NEURONS
    if platform != "cpu":
        neurons = max(1, memory // (bytes_per_neuron + feature_batch * bytes_per_feature))
    neurons = min(spec.neuron_batch or neurons, n_neurons)
    # Batches of about the same size: the last one is padded.
    return Plan(platform, -(-n_neurons // -(-n_neurons // neurons)) if platform != "cpu" else neurons, feature_batch)


def fits_at_once(spec: ProbeSpec, n_positions: int, n_neurons: int, n_features: int) -> bool:
    """Return whether an accelerator holds a few float64 copies of these positions, and should work on all at once."""
    if get_platform(spec) == "cpu":
        return False
    return 32 * n_positions * (n_neurons + n_features) < devices.get_memory() // 2


def map_some(function: Callable[[Any], Any], arrays: Any, parallel: bool, bytes_each: int) -> Any:
    """Apply a function to each item: as many at once as fit into an accelerator's memory, or one after another."""
    if not parallel:
        return lax.map(function, arrays)
    n_items = len(jax.tree.leaves(arrays)[0])
    n_batches = -(-n_items // max(1, devices.get_memory() // 4 // bytes_each))
    return lax.map(function, arrays, batch_size=-(-n_items // n_batches))


@contextmanager
def in_float64(on_host: bool) -> Iterator[None]:
    """Compute in float64, and on the host what is left to it."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0] if on_host else None):
        yield


SETTLED = "settled"
_Run = Callable[[Plan, np.ndarray | slice], dict[str, np.ndarray]]
_ALL = slice(None)


def run_plan(run: _Run, plan: Plan) -> dict[str, np.ndarray]:
    """Score all neurons by a plan, and those that it leaves unsettled again by a patient one.

    Parameters
    ----------
    run : (plan, neurons) -> arrays (N, A, K, F) by name
        Scores some of the neurons; among the arrays is `SETTLED`.
    plan : Plan

    Raises
    ------
    ValueError
        Where not even half the plan's batch fits into the device's memory.
    """
    arrays = _within_memory(run, plan, _ALL)
    settled = arrays.pop(SETTLED).astype(bool)
    again = np.flatnonzero(~settled.all(axis=tuple(range(1, settled.ndim))))
    if len(again):
        patient = _within_memory(run, replace(plan, patient=True), again)
        for name, array in arrays.items():
            array = arrays[name] = np.array(array)
            array[again] = patient[name]
    return arrays


def _within_memory(run: _Run, plan: Plan, neurons: np.ndarray | slice) -> dict[str, np.ndarray]:
    """Run a plan, or, where it does not fit into the device's memory, half of it."""
    for tried in (plan, plan.halved()):
        try:
            return run(tried, neurons)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            problem = error
    raise ValueError(
        f"expected {plan.neuron_batch} neurons, or half as many, and {plan.feature_batch} features to fit into the "
        f"memory of a {plan.platform} at a time, got: {str(problem).splitlines()[0]}; try a smaller neuron_batch"
        + (" or feature_batch" if plan.feature_batch > 1 else "")
    ) from problem
