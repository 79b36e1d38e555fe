"""Every name and argument that the cases use beyond the fixed public calls of `dni_jax`: edit here when one moves.

Cases call ``names.NAME``. A name is looked up when it is first used, so that one that is gone fails only its own cases.
The functions below hide arguments and attributes whose names may change. `RENAMED` maps new names of variables,
columns, attributes and values of coordinates to those in snapshots that were saved before.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import dni_jax as dni

PLACES = {
    "dni_jax.app.cli": "main",
    "dni_jax.app.query": "open_runs",
    "dni_jax.features": "CharacterWindow confounders control_task default_library impulse_feature nesting_feature "
    "predictor_feature range_feature",
    "dni_jax.inspection": "best_per_feature intervals lags neuron_profile peaks rank_stability ranking read_relevance "
    "redundancy relevance_table seed_stability sparse_probe write_table",
    "dni_jax.lab.attribution": "ablation_effects attribute share_by_lag",
    "dni_jax.lab.densities": "elbo free_bits gaussian_kl iwae kl_weight",
    "dni_jax.lab.intrinsic_dimension": "random_projection",
    "dni_jax.lab.posterior": "compare_uncertainty step_size_sweep",
    "dni_jax.lab.repair": "fgsm gradient_sign one_hot_targets",
    "dni_jax.languages": "find_files load_c load_text",
    "dni_jax.models": "cross_entropy generate_each load_population open_states record_module stream to_flax",
    "dni_jax.plot": "labeling_text",
    "dni_jax.probes": "benjamini_hochberg bootstrap_auc bootstrap_held_out direct_scores fit_neurons score_jointly "
    "score_stream select_neurons string_weights weighted_pearson",
    "dni_jax.verification": "measure_texts",
}
MOVED = {
    "agreement": "dni_jax.lab.attribution:rank_agreement",
    "cut": "dni_jax.text:segment_corpus",
    "hybrid": "dni_jax.lab.repair:fit_hybrid",
    "intrinsic_dimension": "dni_jax.lab.intrinsic_dimension:measure_dimension",
    "posterior": "dni_jax.lab.posterior:sample_posterior",
    "probe_dimension": "dni_jax.lab.intrinsic_dimension:measure_probe_dimension",
    "raised_targets": "dni_jax.lab.repair:margin_targets",
}
_PLACE = {name: f"{module}:{name}" for module, held in PLACES.items() for name in held.split()} | MOVED

# New name -> the name in snapshots saved before, as {"class_probability": "mass"}.
RENAMED: dict[str, str] = {
    "class_probability": "mass",
    "class_probability_on": "mass_on",
    "class_probability_off": "mass_off",
    "auc_within_symbol": "given_symbol",
    "source position": "place",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACE:
        raise AttributeError(f"expected a name in the table of {__file__}, got {name!r}")
    module, attribute = _PLACE[name].split(":")
    return getattr(import_module(module), attribute)


def train(corpus: Any, *, matmul_dtype: str = "float32", **settings: Any) -> Any:
    """Train without a progress bar."""
    return dni.train(corpus, matmul_dtype=matmul_dtype, progress=False, **settings)


def untrained(vocabulary: Any, config: Any) -> Any:
    """Return a network with initial weights."""
    return dni.models.TrainedModel.init(vocabulary, config)


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
    from dni_jax.models import StateGaussian, predict

    neurons = range(model.n_neurons)
    change = dni.clamp(neurons, low)
    if drive is not None:
        change = dni.clamp_to_labels(neurons, drive, low=low, high=high, when=drive > 0.5)
    bound = change.bind(model.n_neurons, corpus.n_positions, model.parts, sets=masks)
    gaussian = StateGaussian.fit(dni.record(model, corpus).hidden)
    found = predict(model.weights, corpus, bound, classes=classes, gaussian=gaussian)
    return {name: getattr(found, name) for name in found._fields}


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
    fix = dni.lab.repair.repair(model, corpus, violation, preserve_cost=preserve_cost, **settings)
    parts = {name: getattr(fix, name) for name in ("outcomes", "weights", "examples", "random", "by_neuron", "size")}
    return {**parts, "head": fix.model.weights.head}


def repair_table(model: Any, corpus: Any, violation: Any, sets: Any, **settings: Any) -> Any:
    """Repair through several sets of neurons."""
    from dni_jax.lab.repair import repair_table as table

    return table(model, corpus, violation, sets, **settings)


def repaired_head(fix: Any) -> dict[str, Any]:
    """The parts of a repaired head."""
    return {name: getattr(fix, name) for name in ("weights", "delta", "residual", "met", "objectives", "gap", "cost")}


def posterior_draws(draws: Any) -> dict[str, Any]:
    """The parts of a chain of weights."""
    parts: dict[str, Any] = {name: getattr(draws, name) for name in ("steps", "start_loss", "train_loss", "spread")}
    return {**parts, "unseen": draws.validation.each, "average": draws.validation.average, "head": draws.weights.head}


def density_looks(density: Any) -> list[tuple[float, float]]:
    """The training and validation objective of a density, each time they were evaluated."""
    return [(look.training, look.validation) for look in density.evaluations]


def text_measures(found: Any) -> dict[str, Any]:
    """What is measured of generated text."""
    return {name: getattr(found, name) for name in ("characters", "strings", "shares", "matched", "depths", "parses")}
