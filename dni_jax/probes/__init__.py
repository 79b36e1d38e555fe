"""Probes: what a single neuron knows about a feature, as pure functions on arrays."""

from dni_jax.probes import reference
from dni_jax.probes.folds import make_folds
from dni_jax.probes.score import Scores, fit_neurons, score_neurons

__all__ = ["Scores", "fit_neurons", "make_folds", "reference", "score_neurons"]
