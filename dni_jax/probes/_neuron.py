"""A neuron as the solvers see it: sorted positions or counted levels, behind the same few methods."""

import jax.numpy as jnp

from dni_jax.probes._binned import BinnedClass, BinnedNeuron
from dni_jax.probes._sorted import SortedNeuron, TrainingClass

Neuron = SortedNeuron | BinnedNeuron


def both_classes(neuron: Neuron) -> TrainingClass | BinnedClass:
    """The positives (row 0) and the negatives (row 1) of every training set, flat over (fold, feature)."""
    _, n_folds, n_features = neuron.train_positive.shape
    return neuron.classes(jnp.broadcast_to(jnp.array([[False], [True]]), (2, n_folds * n_features)))
