"""Fingerprints of everything that recorded states depend on."""

from __future__ import annotations

import hashlib
from typing import Any

import jax
import numpy as np

from dni_jax.interventions import Bound, Intervention
from dni_jax.models._trained import TrainedModel
from dni_jax.models._weights import named_arrays
from dni_jax.text import Corpus


def fingerprint_corpus(corpus: Corpus) -> str:
    """Return a fingerprint of a text: its characters, its cuts into strings and pieces, and the strings' groups.

    Examples
    --------
    >>> one, other = Corpus.from_strings(["ab", "c"]), Corpus.from_strings(["a", "bc"])
    >>> fingerprint_corpus(one) == fingerprint_corpus(Corpus.from_strings(["ab", "c"]))
    True
    >>> fingerprint_corpus(one) == fingerprint_corpus(other)
    False
    """
    return digest(corpus.text, corpus.offsets, corpus.groups, corpus.begins, corpus.ends)


def fingerprint_network(model: TrainedModel) -> str:
    """Return a fingerprint of a network: its weights, its kind, and how it reads text."""
    arrays = named_arrays(model.weights)
    about = (
        sorted(arrays),
        model.weights.cell,
        model.weights.matmul_dtype,
        model.vocabulary.characters,
        model.boundary,
    )
    return digest(repr(about), *(arrays[name] for name in sorted(arrays)))


def fingerprint_intervention(intervention: Intervention | None, model: TrainedModel, n_positions: int) -> str | None:
    """Return a fingerprint of what an intervention does to a network that reads so many positions."""
    if intervention is None:
        return None
    return fingerprint_bound(model.bind(intervention, n_positions))


def fingerprint_bound(bound: Bound) -> str:
    """Return a fingerprint of overrides that are bound to a text."""
    # A plain pair: the fingerprint names the tree's structure, and must not change with the class that holds it.
    leaves, structure = jax.tree.flatten(tuple(bound))
    return digest(str(structure), *leaves)


def digest(*parts: Any) -> str:
    """Return a fingerprint of strings and arrays."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            found.update(part.encode())
        else:
            array = np.ascontiguousarray(part)
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(array.data.cast("B") if array.size else b"")
    return found.hexdigest()[:32]
