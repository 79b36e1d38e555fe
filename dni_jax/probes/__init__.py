"""Probes: what a single neuron knows about a feature, as pure functions on arrays."""

from dni_jax.probes import reference
from dni_jax.probes._result import Scores
from dni_jax.probes.binned import score_counts
from dni_jax.probes.counting import Counts, choose_levels, count
from dni_jax.probes.direct import direct_scores
from dni_jax.probes.folds import make_folds
from dni_jax.probes.joint import score_jointly
from dni_jax.probes.measures import MEASURES, measure_counts, measure_neurons
from dni_jax.probes.permutation import permutation_test
from dni_jax.probes.products import Grid, Products, choose_grid, multiply, score_products
from dni_jax.probes.pvalues import benjamini_hochberg
from dni_jax.probes.score import fit_neurons, score_neurons
from dni_jax.probes.selection import select_neurons
from dni_jax.probes.streaming import score_stream

__all__ = [
    "MEASURES",
    "Counts",
    "Grid",
    "Products",
    "Scores",
    "benjamini_hochberg",
    "choose_grid",
    "choose_levels",
    "count",
    "direct_scores",
    "fit_neurons",
    "make_folds",
    "measure_counts",
    "measure_neurons",
    "multiply",
    "permutation_test",
    "reference",
    "score_counts",
    "score_jointly",
    "score_neurons",
    "score_products",
    "score_stream",
    "select_neurons",
]
