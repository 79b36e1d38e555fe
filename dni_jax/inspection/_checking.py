"""Whether states, labels and a relevance dataset belong together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from dni_jax.features import Labels
from dni_jax.text import Corpus


def check_states(states: Any, labels: Labels) -> np.ndarray:
    """Give the states (T, N) on the labelled positions.

    Raises
    ------
    ValueError
        For other shapes, or labels of no feature.
    """
    if not hasattr(labels, "mask"):
        raise ValueError(
            f"expected Labels, as a feature or a library gives them, got {type(labels).__name__}: labels.select(name) "
            "keeps one feature"
        )
    hidden = np.asarray(getattr(states, "hidden", states))
    if hidden.ndim != 2 or len(hidden) != len(labels.mask):
        raise ValueError(
            f"expected states of shape (T, N) on the T = {len(labels.mask)} labelled positions, "
            f"got shape {hidden.shape}: record and label the same corpus"
        )
    if len(labels) == 0:
        raise ValueError("expected labels of at least one feature, got none")
    return hidden


def where_stated(states: Any, labels: Labels) -> Labels:
    """Give the labels with positions left out for which there is no state."""
    stated = getattr(states, "mask", None)
    return labels if stated is None else replace(labels, mask=labels.mask & stated)


def check_pair(relevance: xr.Dataset, states: Any, labels: Labels) -> np.ndarray:
    """Give the states (T, N), if the relevance is of as many neurons and of these features.

    Raises
    ------
    ValueError
        Also where they are not.
    """
    hidden = check_states(states, labels)
    names = [str(name) for name in relevance["feature"].values]
    if names != list(labels.names) or relevance.sizes["neuron"] != hidden.shape[1]:
        raise ValueError(
            f"expected the states and labels that the relevance was made from, of {relevance.sizes['neuron']} neurons "
            f"and {len(names)} features ({names[0]!r}, ...), got {hidden.shape[1]} neurons and {len(labels)} features "
            f"({labels.names[0]!r}, ...): pass the same states and labels as to dni.inspect"
        )
    return hidden


def groups_of(states: Any, groups: np.ndarray | None, corpus: Corpus | None = None) -> np.ndarray | None:
    """Give the group of each position: as asked for, or as the states or the corpus know it."""
    if groups is not None:
        return np.asarray(groups)
    own = getattr(states, "groups", None)
    if own is not None:
        return np.asarray(own)
    return None if corpus is None else corpus.position_groups


def known_groups(states: Any, groups: np.ndarray | None) -> np.ndarray:
    """Give the group of each position, which must be known.

    Raises
    ------
    ValueError
        Where neither `groups` nor the states tell.
    """
    where = groups_of(states, groups)
    if where is None:
        raise ValueError("expected groups=(T,) beside an array of states (the string of each position), got none")
    return where


def check_corpus(corpus: Corpus, labels: Labels) -> None:
    """Refuse a corpus of another size than was labelled."""
    if corpus.n_positions != len(labels.mask):
        raise ValueError(
            f"expected the corpus that was labelled, of {len(labels.mask)} characters, got {corpus!r}: "
            "pass the corpus that states and labels are of"
        )


def folds_like(relevance: xr.Dataset, folds: np.ndarray | None) -> int | np.ndarray:
    """Give the folds of `inspect` once more: their number, or the array that was passed.

    Raises
    ------
    ValueError
        Where an array was passed then and is missing now.
    """
    if folds is not None:
        return folds
    if relevance.attrs.get("folds") == "given":
        raise ValueError("expected folds=(T,), the array that was passed to dni.inspect, got none: pass it here, too")
    return relevance.sizes["fold"]
