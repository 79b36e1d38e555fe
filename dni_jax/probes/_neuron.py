"""A neuron as the solvers see it: sorted positions or counted levels, behind the same few methods."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from dni_jax.probes._binned_neuron import BinnedClass, BinnedNeuron
from dni_jax.probes._sorted_neuron import SortedNeuron, TrainingClass

Neuron = SortedNeuron | BinnedNeuron


def both_classes(neuron: Neuron) -> TrainingClass | BinnedClass:
    """The positives (row 0) and the negatives (row 1) of every training set, flat over (fold, feature)."""
    _, n_folds, n_features = neuron.train_positive.shape
    return neuron.classes(jnp.broadcast_to(jnp.array([[False], [True]]), (2, n_folds * n_features)))


def direction(neuron: Neuron, weight: Float[Array, "K F"]) -> Float[Array, "K F"]:
    """Which way a neuron is read: the fitted weight; where it is 0, the difference of the classes' training means.

    On a rare class the best SVM is often the flat one. Its decision value ranks nothing, though the neuron may rank
    the held-out positions well; their AUC must not call it blind.
    """
    positive, everything = neuron.train_positive[-1], neuron.train_all[-1][:, None]
    of_positive, of_all = neuron.sum_positive[-1], neuron.sum_all[-1][:, None]
    negative = everything - positive
    # The difference of the means times both counts: its sign needs no division.
    lean = of_positive * negative.astype(jnp.float64) - (of_all - of_positive) * positive.astype(jnp.float64)
    return jnp.where(weight != 0, weight, jnp.where((positive == 0) | (negative == 0), 0.0, lean))
