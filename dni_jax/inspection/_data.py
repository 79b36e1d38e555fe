"""States and labels of the same positions, checked; and the relevance that was made from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from dni_jax.features import Labels
from dni_jax.probes import make_folds
from dni_jax.states import as_activations


class Data(NamedTuple):
    """States and labels in memory.

    Attributes
    ----------
    hidden
        float ``(T, N)``.
    labels
        On the same T positions; those without a state are masked.
    groups
        int ``(T,)``: the group of each position, or None where it is unknown.
    """

    hidden: Float[np.ndarray, "T N"]
    labels: Labels
    groups: Int[np.ndarray, " T"] | None

    @property
    def known_groups(self) -> Int[np.ndarray, " T"]:
        """The group of each position; a ValueError where it is unknown."""
        if self.groups is None:
            raise ValueError(
                "expected groups=(T,) with an array of states (the string of each position), got none: pass "
                "corpus.position_groups"
            )
        return self.groups


def load_data(states: Any, labels: Labels, groups: np.ndarray | None = None) -> Data:
    """Read all states, check that labels are of the same positions, and mask those without a state.

    Raises
    ------
    ValueError
        For other shapes, or labels of no feature.
    """
    activations = as_activations(states)
    hidden = check_states(activations, labels)
    masked = labels if activations.mask is None else replace(labels, mask=labels.mask & activations.mask)
    return Data(hidden, masked, activations.position_groups if groups is None else np.asarray(groups))


def check_states(states: Any, labels: Labels) -> np.ndarray:
    """Return the states (T, N) on the labeled positions.

    Raises
    ------
    ValueError
        For other shapes, or labels of no feature.
    """
    if not isinstance(labels, Labels):
        raise ValueError(
            f"expected Labels, as a feature or a library makes them, got {type(labels).__name__}: labels.select(name) "
            "keeps one feature"
        )
    activations = as_activations(states)
    if activations.n_models is not None or activations.n_positions != len(labels.mask):
        models = "" if activations.n_models is None else f" of {activations.n_models} models"
        raise ValueError(
            f"expected states of shape (T, N) on the T = {len(labels.mask)} labeled positions, got "
            f"{activations.n_positions} positions{models}: record and label the same corpus, one model at a time"
        )
    if len(labels) == 0:
        raise ValueError("expected labels of at least one feature, got none")
    return activations.read_all()


def load_pair(relevance: xr.Dataset, states: Any, labels: Labels, groups: np.ndarray | None = None) -> Data:
    """Read all states, and check that the relevance is of as many neurons and of these features.

    Raises
    ------
    ValueError
        Also where it is not.
    """
    data = load_data(states, labels, groups)
    names = [str(name) for name in relevance["feature"].values]
    n_neurons = data.hidden.shape[1]
    if names != list(labels.names) or relevance.sizes["neuron"] != n_neurons:
        raise ValueError(
            f"expected the states and labels that the relevance was made from, of {relevance.sizes['neuron']} neurons "
            f"and {len(names)} features ({names[0]!r}, ...), got {n_neurons} neurons and {len(labels)} features "
            f"({labels.names[0]!r}, ...): pass the same states and labels as to dni.inspect"
        )
    return data


def each_kind(labels: Labels) -> Iterator[tuple[str, Int[np.ndarray, " G"], np.ndarray]]:
    """Yield each kind of label that occurs, its columns, and its labels as a matrix (T, G)."""
    for kind in ("binary", "continuous"):
        columns = np.flatnonzero([its == kind for its in labels.kinds])
        if len(columns):
            yield kind, columns, labels.of_kind(kind).matrix


def folds_of(
    states: Any, labels: Labels, folds: int | np.ndarray, groups: np.ndarray | None, seed: int
) -> Int[np.ndarray, " T"]:
    """Return the fold of each position: groups dealt to folds, or the array that is passed; -1 at masked positions.

    Raises
    ------
    ValueError
        As `deal_folds`.
    """
    data = load_data(states, labels, groups)
    return np.where(data.labels.mask, deal_folds(len(labels.mask), folds, data.groups, seed), -1).astype(np.int32)


def deal_folds(
    n_positions: int, folds: int | np.ndarray, groups: Int[np.ndarray, " T"] | None, seed: int
) -> Int[np.ndarray, " T"]:
    """Deal whole groups to folds, or check an array of folds.

    Raises
    ------
    ValueError
        For unknown groups, more folds than groups, or an array of another shape.
    """
    if isinstance(folds, (int, np.integer)):
        if groups is None:
            raise ValueError(
                "expected groups=(T,) with an array of states (the string of each position), got none: pass them, "
                "or pass folds=dni.make_folds(T, scheme='shuffled') if positions are independent"
            )
        return np.asarray(make_folds(n_positions, int(folds), groups=groups, seed=seed)).astype(np.int32)
    folds = np.asarray(folds)
    if folds.shape != (n_positions,) or folds.dtype.kind not in "iu" or folds.max(initial=-1) < 1:
        raise ValueError(
            f"expected a number of folds, or int folds ({n_positions},) of at least 2 folds (-1 leaves a position "
            f"out), got {folds.dtype} {folds.shape} whose largest fold is {folds.max(initial=-1)}"
        )
    return folds.astype(np.int32)


def same_folds(relevance: xr.Dataset, folds: np.ndarray | None) -> int | np.ndarray:
    """Return the folds of `inspect` again: their number, or the array that was passed.

    Raises
    ------
    ValueError
        Where an array was passed then and is missing now.
    """
    if folds is not None:
        return folds
    if relevance.attrs.get("folds", "random") not in ("random", "dealt"):
        raise ValueError("expected folds=(T,), the array that was passed to dni.inspect, got none: pass it here, too")
    return relevance.sizes["fold"]
