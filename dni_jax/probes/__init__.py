"""Probes: what a single neuron knows about a feature, as pure functions on arrays."""

from importlib import import_module
from types import ModuleType

from dni_jax.probes._binned import score_counts
from dni_jax.probes._bootstrap import bootstrap_auc, bootstrap_held_out, string_weights, weighted_auc, weighted_pearson
from dni_jax.probes._check import check_hidden
from dni_jax.probes._counting import Counter, Counts, choose_levels, count, sample
from dni_jax.probes._direct import direct_scores
from dni_jax.probes._folds import make_folds
from dni_jax.probes._joint import score_jointly
from dni_jax.probes._measures import MEASURES, measure_counts, measure_neurons
from dni_jax.probes._permutation import permutation_test
from dni_jax.probes._products import Grid, Multiplier, Products, choose_grid, multiply, score_products
from dni_jax.probes._pvalues import benjamini_hochberg
from dni_jax.probes._result import Scores
from dni_jax.probes._score import fit_neurons, score_neurons
from dni_jax.probes._selection import select_neurons
from dni_jax.probes._stopping import fold_margin
from dni_jax.probes._streaming import score_stream

__all__ = [
    "MEASURES",
    "Counter",
    "Counts",
    "Grid",
    "Multiplier",
    "Products",
    "Scores",
    "benjamini_hochberg",
    "bootstrap_auc",
    "bootstrap_held_out",
    "check_hidden",
    "choose_grid",
    "choose_levels",
    "count",
    "direct_scores",
    "fit_neurons",
    "fold_margin",
    "make_folds",
    "measure_counts",
    "measure_neurons",
    "multiply",
    "permutation_test",
    "reference",
    "sample",
    "score_counts",
    "score_jointly",
    "score_neurons",
    "score_products",
    "score_stream",
    "select_neurons",
    "string_weights",
    "weighted_auc",
    "weighted_pearson",
]


def __getattr__(name: str) -> ModuleType:
    """Import `reference` when it is first used, because it needs scikit-learn."""
    if name != "reference":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.reference")
