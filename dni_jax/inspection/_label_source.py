"""Labels of some strings at a time, from whatever a caller passes as labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dni_jax.features import Feature, FeatureLibrary, Labels, LazyLabels
from dni_jax.models import fingerprint_corpus
from dni_jax.states import ChunkedActivations
from dni_jax.text import Corpus


@dataclass(frozen=True)
class HeldLabels:
    """Labels in memory, with the methods of `LazyLabels`."""

    labels: Labels
    states: ChunkedActivations

    def label(self, strings: Iterable[tuple[int, int]]) -> Labels:
        """Return the labels of some strings."""
        return self.labels.take_strings(strings, self.states.offsets)

    def select(self, names: list[str]) -> HeldLabels:
        """Return some of the features."""
        return HeldLabels(self.labels.select(names), self.states)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return self.labels.names

    @property
    def kinds(self) -> tuple[str, ...]:
        """The features' kinds."""
        return self.labels.kinds

    @property
    def source(self) -> Any:
        """The library that made the labels."""
        return self.labels.library


LabelSource = LazyLabels | HeldLabels


def as_label_source(labels: Any, corpus: Corpus | None, states: ChunkedActivations) -> LabelSource:
    """Return labels, or what makes them, as labels of some strings at a time.

    With states in memory, all labels are made at once.

    Raises
    ------
    ValueError
        Where they are of another text than the states, or the text to label is unknown.
    """
    if not isinstance(labels, Labels):
        lazy = _lazily(labels, corpus if corpus is not None else states.corpus)
        if states.fingerprint and fingerprint_corpus(lazy.corpus) != states.fingerprint:
            raise ValueError(
                f"expected the corpus that the states are of, {states!r}, got another: {lazy.corpus!r}: pass the one "
                "that was recorded"
            )
        if not states.in_memory:
            return _not_empty(lazy)
        labels = lazy.label_all()
    if len(labels.mask) != states.n_positions:
        raise ValueError(
            f"expected labels of the {states.n_positions:,} positions that states are of, got {labels!r}: record "
            "and label the same corpus"
        )
    return _not_empty(HeldLabels(labels, states))


def _not_empty(source: LabelSource) -> LabelSource:
    if len(source.names) == 0:
        raise ValueError("expected labels of at least one feature, got none")
    return source


def _lazily(labels: Any, corpus: Corpus | None) -> LazyLabels:
    if isinstance(labels, LazyLabels):
        return labels
    library = FeatureLibrary((labels,)) if isinstance(labels, Feature) else labels
    if not isinstance(library, FeatureLibrary):
        raise ValueError(
            f"expected Labels, LazyLabels or a FeatureLibrary, got {type(labels).__name__}: label the corpus with a "
            "feature or a library, or make dni.Labels of your array"
        )
    if corpus is None:
        raise ValueError("expected corpus=... with a library, got none: pass the corpus that the states are of")
    return library.label_lazily(corpus)
