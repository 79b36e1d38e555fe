"""A neuron to the solvers, whether its positions are sorted or counted: its classes, fits, and held-out counts."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from dni_jax.probes._binned_neuron import BinnedClass
from dni_jax.probes._metrics import Confusion
from dni_jax.probes._ranks import tied_ranges
from dni_jax.probes._sorted_neuron import SortedNeuron, TrainingClass, count_below
from dni_jax.probes._value_blocks import ValueBlocks

# A decision value this small is a position on the threshold. It is far above the rounding of the solvers, and far below
# what float32 tells apart within a margin.
ON_THRESHOLD = 1e-9


class Solver(NamedTuple):
    """What is compiled into a solver, besides the probe.

    Attributes
    ----------
    balanced : bool
        Whether both classes weigh the same.
    parallel : bool
        Whether it runs on an accelerator: loops then take a fixed number of steps, since the host would have to wait
        for a condition on data, and sums over blocks are formed at once. Fits that need more are not `settled`.
    """

    balanced: bool
    parallel: bool = False


class Fit(NamedTuple):
    """One line ``weight * (x - threshold)`` per fold and feature; x is measured from the neuron's center.

    Positions with a positive value are predicted to be in class 1. Where the weight is 0, `constant` is the
    prediction everywhere. `settled` is False where a parallel solver has to be followed by another one.
    """

    weight: Float[Array, "*fits"]
    threshold: Float[Array, "*fits"]
    constant: Bool[Array, "*fits"]
    settled: Bool[Array, "*fits"] | bool = True

    def moved(self, center: Float[Array, ""]) -> "Fit":
        """Return the fit in the neuron's original units."""
        return self._replace(threshold=self.threshold + center)

    def spread(self) -> "Fit":
        """Return the fit with a `settled` for each line."""
        return self._replace(settled=jnp.broadcast_to(self.settled, self.weight.shape))

    def line(self) -> dict[str, Float[Array, "*fits"]]:
        """Return "weight" and "bias"; the bias of a constant prediction is 1 or -1."""
        bias = jnp.where(self.constant, 1.0, -1.0)
        bias = jnp.where(self.weight == 0, bias, 0.0 - self.weight * self.threshold)
        return {"weight": self.weight, "bias": bias}


def from_line(
    weight: Float[Array, "*fits"],
    bias: Float[Array, "*fits"],
    size: Int[Array, "2 *fits"],
    settled: Bool[Array, "*fits"] | bool = True,
) -> Fit:
    """Turn ``weight * x + bias`` into a `Fit`; a training set with one class predicts that class.

    `size` counts the training positives and negatives.
    """
    single = (size[0] == 0) | (size[1] == 0)
    flat = single | (weight == 0)
    threshold = jnp.where(flat, 0.0, -bias / jnp.where(flat, 1.0, weight))
    constant = jnp.where(single, size[1] == 0, bias > 0)
    return Fit(jnp.where(flat, 0.0, weight), threshold, constant, settled if settled is True else settled | single)


def class_weights(size: Int[Array, "2 *fits"], balanced: bool) -> Float[Array, "2 *fits"]:
    """Weights of the positives and the negatives: 1, or ``n / (2 * n_class)`` where `balanced`."""
    if not balanced:
        return jnp.ones(size.shape, jnp.float64)
    counts = size.astype(jnp.float64)
    return jnp.sum(counts, axis=0) / (2.0 * jnp.maximum(counts, 1.0))


@runtime_checkable  # tests check arguments against the types of signatures
class Neuron(Protocol):
    """What a solver may ask of a neuron.

    `SortedNeuron` is exact; `BinnedNeuron` counts positions per level. The classes' `moments` need
    ``Probe.squares=True`` on a sorted neuron.

    Attributes
    ----------
    center : float64 ()
        The value that is subtracted from all others.
    train_positive, train_all : int32 (B + 1, K, F), (B + 1, K)
        Counts of the training sets in the prefixes; the last row counts whole sets.
    sum_positive, sum_all : float64 (B + 1, K, F), (B + 1, K)
        Sums of x over the same sets.
    """

    @property
    def center(self) -> Float[Array, ""]: ...

    @property
    def train_positive(self) -> Int[Array, "B1 K F"]: ...

    @property
    def train_all(self) -> Int[Array, "B1 K"]: ...

    @property
    def sum_positive(self) -> Float[Array, "B1 K F"]: ...

    @property
    def sum_all(self) -> Float[Array, "B1 K"]: ...

    @property
    def most_positions(self) -> int:
        """How many positions a training set can have."""
        ...

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
        """Blocks of neighboring values; see `SortedNeuron.blocks`."""
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


def confusion(neuron: Neuron, fit: Fit) -> Confusion:
    """Count right and wrong held-out predictions of every fold and feature.

    A position on the threshold counts half for each class: a neuron of a few values often has many there, and which
    side they fall on would be decided by rounding, or by which class is called positive.
    """
    x = neuron.values()
    rising, flat = fit.weight > 0, fit.weight == 0
    width = ON_THRESHOLD / jnp.where(flat, 1.0, jnp.abs(fit.weight))
    ends = jnp.stack([fit.threshold - width, fit.threshold + width])
    low, high = count_below(x, ends, inclusive=jnp.broadcast_to(jnp.array([[[False]], [[True]]]), ends.shape))
    whole = jnp.full_like(low, x.shape[0])
    constant = jnp.where(fit.constant, whole, 0)
    (positives_low, all_low), (positives_high, all_high) = (
        neuron.held_below(jnp.where(flat, constant, rank)) for rank in (low, high)
    )
    positives_below = (positives_low + positives_high).astype(jnp.float64) / 2.0
    all_below = (all_low + all_high).astype(jnp.float64) / 2.0
    positives, everything = (count.astype(jnp.float64) for count in neuron.held_below(whole))
    # Positive are the ranks above the threshold where the line rises, those below it where it falls.
    true_positive = jnp.where(rising, positives - positives_below, positives_below)
    predicted = jnp.where(rising, everything - all_below, all_below)
    false_positive = predicted - true_positive
    false_negative = positives - true_positive
    return Confusion(true_positive, false_positive, false_negative, everything - positives - false_positive)


def share_at_threshold(neuron: Neuron, fit: Fit) -> Float[Array, "K F"]:
    """Share of the held-out positions in the ranks on either side of the threshold."""
    x = neuron.values()
    rank = count_below(x, fit.threshold, inclusive=jnp.ones(fit.threshold.shape, bool))
    _, low = neuron.held_below(jnp.maximum(rank - 1, 0))
    _, high = neuron.held_below(jnp.minimum(rank + 1, x.shape[0]))
    _, everything = neuron.held_below(jnp.full_like(rank, x.shape[0]))
    share = (high - low).astype(jnp.float64) / everything.astype(jnp.float64)
    return jnp.where(fit.weight == 0, 0.0, share)


def midranks(neuron: SortedNeuron) -> Float[Array, " T"]:
    """Rank of each position within its own fold, from 1, ties sharing their middle; in position order."""
    n_positions = neuron.order.shape[0]
    x = neuron.values()
    first, after = tied_ranges(x[1:] != x[:-1])
    doubled = neuron.held_before(first, neuron.fold_of) + neuron.held_before(after, neuron.fold_of) + 1
    if neuron.x.shape[1] == 32:  # a TPU scatters one number after another, and sorts many at once
        return lax.sort((neuron.order, doubled), num_keys=1)[1].astype(jnp.float64) / 2.0
    ranks = doubled.astype(jnp.float64) / 2.0
    return jnp.zeros(n_positions, jnp.float64).at[neuron.order].set(ranks, unique_indices=True)
