"""A neuron as the solvers see it: sorted positions or counted levels, with the same interface."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dni_jax.probes._binned_neuron import BinnedClass
from dni_jax.probes._sorted_neuron import TrainingClass
from dni_jax.probes._value_blocks import ValueBlocks


@runtime_checkable  # tests check arguments against the types of signatures
class Neuron(Protocol):
    """What a solver may ask of a neuron.

    `SortedNeuron` is exact; `BinnedNeuron` counts positions per level. The classes' `moments` need
    ``Probe.squares=True`` on a sorted neuron.

    Attributes
    ----------
    centre : float64 ()
        The value that is subtracted from all others.
    train_positive, train_all : int32 (B + 1, K, F), (B + 1, K)
        Counts of the training sets in the prefixes; the last row counts whole sets.
    sum_positive, sum_all : float64 (B + 1, K, F), (B + 1, K)
        Sums of x over the same sets.
    """

    @property
    def centre(self) -> Float[Array, ""]: ...

    @property
    def train_positive(self) -> Int[Array, "B1 K F"]: ...

    @property
    def train_all(self) -> Int[Array, "B1 K"]: ...

    @property
    def sum_positive(self) -> Float[Array, "B1 K F"]: ...

    @property
    def sum_all(self) -> Float[Array, "B1 K"]: ...

    def values(self) -> Float[Array, " R"]:
        """Values in rank order."""
        ...

    def held_below(self, rank: Int[Array, "K F"]) -> tuple[Int[Array, "K F"], Int[Array, "K F"]]:
        """Held-out positives, and all held-out positions, among the first `rank` ranks."""
        ...

    def classes(self, negate: Bool[Array, "Q KF"]) -> TrainingClass | BinnedClass:
        """Classes of the training sets; `negate` picks the negatives."""
        ...

    def blocks(self, cost: Float[Array, "2 K F"] | None, n_powers: int) -> ValueBlocks:
        """Blocks of neighbouring values; see `SortedNeuron.blocks`."""
        ...


def both_classes(neuron: Neuron) -> TrainingClass | BinnedClass:
    """The positives (row 0) and the negatives (row 1) of every training set, flat over (fold, feature)."""
    _, n_folds, n_features = neuron.train_positive.shape
    return neuron.classes(jnp.broadcast_to(jnp.array([[False], [True]]), (2, n_folds * n_features)))


def direction(neuron: Neuron, weight: Float[Array, "K F"]) -> Float[Array, "K F"]:
    """The sign with which a neuron predicts the feature.

    It is that of the fitted weight; where this is 0, that of the difference of the classes' training means.

    On a rare class the best SVM is often the flat one. Its decision value ranks nothing, though the neuron may rank
    the held-out positions well; their AUC should not be reported as chance.
    """
    positive, everything = neuron.train_positive[-1], neuron.train_all[-1][:, None]
    of_positive, of_all = neuron.sum_positive[-1], neuron.sum_all[-1][:, None]
    negative = everything - positive
    # The difference of the means times both counts: its sign needs no division.
    lean = of_positive * negative.astype(jnp.float64) - (of_all - of_positive) * positive.astype(jnp.float64)
    return jnp.where(weight != 0, weight, jnp.where((positive == 0) | (negative == 0), 0.0, lean))
