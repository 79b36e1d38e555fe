"""Every name and argument that the cases use beyond the fixed public calls of `dni_jax`: edit here when one moves.

Cases call ``names.NAME``. A name is looked up when it is first used, so that one that is gone fails only its own cases.
The functions below hide arguments and attributes whose names may change. `RENAMED` maps new names of variables,
columns, attributes and values of coordinates to those in snapshots that were saved before.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

import dni_jax as dni

PLACES = {
    "dni_jax": "CharacterWindow confounders control_task generate_each intervals lags load_population "
    "measure_texts open_states predictor_feature rank_stability record_module redundancy seed_stability sparse_probe "
    "stream",
    "dni_jax.analysis": "ablation_effects agreement attribute fgsm gradient_sign hybrid intrinsic_dimension "
    "one_hot_targets posterior probe_dimension raised_targets random_projection share_by_lag step_size_sweep",
    "dni_jax.cli": "main",
    "dni_jax.corpora": "cut",
    "dni_jax.densities": "elbo free_bits gaussian_kl iwae kl_weight",
    "dni_jax.features": "default_library impulse_feature nesting_feature range_feature",
    "dni_jax.inspection": "best_per_feature peaks ranking read_relevance relevance_table",
    "dni_jax.languages": "find_files load_c load_text",
    "dni_jax.models": "cross_entropy to_flax untrained",
    "dni_jax.probes": "benjamini_hochberg direct_scores fit_neurons measure_neurons score_jointly score_stream "
    "select_neurons",
    "dni_jax.probes.bootstrap": "bootstrap_auc bootstrap_held_out string_weights weighted_pearson",
    "dni_jax.report": "labelling_text",
}
MOVED = {
    "neuron_profile": "dni_jax:serves",
    "compare_uncertainty": "dni_jax.analysis:beside",
    "write_table": "dni_jax.inspection.store:write_table",
}
_PLACE = {name: f"{module}:{name}" for module, held in PLACES.items() for name in held.split()} | MOVED

# New name -> the name in snapshots saved before, as {"class_probability": "mass"}.
RENAMED: dict[str, str] = {}


def __getattr__(name: str) -> Any:
    if name not in _PLACE:
        raise AttributeError(f"expected a name in the table of {__file__}, got {name!r}")
    module, attribute = _PLACE[name].split(":")
    return getattr(import_module(module), attribute)


def train(corpus: Any, *, matmul_dtype: str = "float32", **settings: Any) -> Any:
    """Train without a progress bar."""
    return dni.train(corpus, products=matmul_dtype, progress=False, **settings)


def weight_arrays(model: Any) -> dict[str, Any]:
    """A network's parameters by fixed names."""
    weights = model.weights
    layers = {
        f"layer {number}/{name}": array
        for number, layer in enumerate(weights.layers)
        for name, array in (("wx", layer.wx), ("wh", layer.wh), ("b", layer.b), ("bh", layer.bh))
        if array is not None
    }
    return layers | {"head": weights.head, "head_b": weights.head_b}


def losses_under(model: Any, corpus: Any, masks: Any, low: float, high: float, drive: Any, classes: Any) -> Any:
    """Predictions of a text with sets of neurons held at `low`, or driven between `low` and `high`."""
    from dni_jax.models.evaluation import Visited

    from dni_jax.interventions import Drive, Override
    from dni_jax.models import predict

    values = (np.full(masks.shape, value, np.float32) for value in (low, high))
    override = Override(masks, *values)
    steps = None if drive is None else Drive(drive, drive > 0.5)
    visited = Visited.of(dni.record(model, corpus).hidden)
    found = predict(model.weights, corpus, override, steps, classes=classes, visited=visited)
    names = {"loss": "loss", "best": "best", "total_loss": "total_loss", "predicted": "predicted",
             "class_probability": "mass", "distance": "distance"}  # fmt: skip
    return {name: getattr(found, ours) for name, ours in names.items()}


def train_population(corpus: Any, seeds: Any, learning_rates: Any, **settings: Any) -> Any:
    """Train several networks together, without a progress bar."""
    return dni.train_population(corpus, seeds, learning_rates, progress=False, **settings)


def tree_arrays(trees: Any) -> dict[str, Any]:
    """Parse trees as their flat arrays."""
    arrays = {name: getattr(trees, name) for name in ("rule", "start", "end", "parent", "depth", "offsets")}
    return arrays | {"kinds": [f"{kind.symbol}: {kind.name}" for kind in trees.kinds]}


def parser_state_arrays(states: Any) -> dict[str, Any]:
    """What a shift-reduce parser does at each character."""
    columns = ("stack_size", "reduced", "reductions", "top", "below", "expected")
    return {name: getattr(states, name) for name in columns} | {"symbols": list(states.symbols)}


def repair(model: Any, corpus: Any, violation: Any, preserve_cost: float | None = None, **settings: Any) -> Any:
    """Repair a network's head from its own texts."""
    fix = dni.repair(model, corpus, violation, keep=preserve_cost, **settings)
    parts = {name: getattr(fix, name) for name in ("outcomes", "weights", "examples", "random", "by_neuron", "size")}
    return {**parts, "head": fix.model.weights.head}


def repair_table(model: Any, corpus: Any, violation: Any, sets: Any, **settings: Any) -> Any:
    """Repair through several sets of neurons."""
    from dni_jax.analysis import repair_table as table

    return table(model, corpus, violation, sets, **settings)


def repaired_head(fix: Any) -> dict[str, Any]:
    """The parts of a repaired head."""
    return {name: getattr(fix, name) for name in ("weights", "delta", "residual", "met", "objectives", "gap", "cost")}


def posterior_draws(draws: Any) -> dict[str, Any]:
    """The parts of a chain of weights."""
    parts: dict[str, Any] = {name: getattr(draws, name) for name in ("steps", "start", "train_loss", "spread")}
    return {**parts, "unseen": draws.unseen.each, "average": draws.unseen.average, "head": draws.weights.head}


def density_looks(density: Any) -> list[tuple[float, float]]:
    """The training and validation objective of a density, each time they were evaluated."""
    return [(look.training, look.validation) for look in density.looks]


def text_measures(found: Any) -> dict[str, Any]:
    """What is measured of generated text."""
    return {name: getattr(found, name) for name in ("characters", "strings", "shares", "matched", "depths", "parses")}
