"""What a caller passes as labels, as labels of some strings at a time or as all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dni_jax.features import Feature, FeatureLibrary, Labels, LazyLabels
from dni_jax.models import ChunkedActivations, fingerprint_corpus
from dni_jax.text import Corpus


@dataclass(frozen=True)
class HeldLabels:
    """Labels in memory, asked for as `LazyLabels` are."""

    labels: Labels
    states: ChunkedActivations

    def label(self, strings: Iterable[tuple[int, int]]) -> Labels:
        """Give the labels of some strings."""
        return self.labels.take_strings(strings, self.states.offsets)

    def select(self, names: list[str]) -> HeldLabels:
        """Give some of the features."""
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
        """What made the labels."""
        return self.labels.library


def labels_in_parts(labels: Any, corpus: Corpus | None, states: ChunkedActivations) -> LazyLabels | HeldLabels:
    """Give labels, or what makes them, as labels of some strings at a time.

    Raises
    ------
    ValueError
        Where they are of another text than the states, or no text to label is known.
    """
    if isinstance(labels, Labels):
        if len(labels.mask) != states.n_positions:
            raise ValueError(
                f"expected labels of the {states.n_positions:,} positions that states are of, got {labels!r}: record "
                "and label the same corpus"
            )
        made: LazyLabels | HeldLabels = HeldLabels(labels, states)
    else:
        made = _lazily(labels, corpus if corpus is not None else getattr(states, "corpus", None))
        if fingerprint_corpus(made.corpus) != states.fingerprint:
            raise ValueError(
                f"expected the corpus that the states are of, {states!r}, got another: {made.corpus!r}: pass the one "
                "that was recorded"
            )
    if len(made.names) == 0:
        raise ValueError("expected labels of at least one feature, got none")
    return made


def labels_in_memory(labels: Any, corpus: Corpus | None) -> Labels:
    """Give labels, or make them all at once."""
    return labels if isinstance(labels, Labels) else _lazily(labels, corpus).label_all()


def _lazily(labels: Any, corpus: Corpus | None) -> LazyLabels:
    if isinstance(labels, LazyLabels):
        return labels
    library = FeatureLibrary((labels,)) if isinstance(labels, Feature) else labels
    if not isinstance(library, FeatureLibrary):
        raise ValueError(f"expected Labels, LazyLabels or a FeatureLibrary, got {type(labels).__name__}")
    if corpus is None:
        raise ValueError("expected corpus=... beside a library, got none: pass the corpus that the states are of")
    return library.label_lazily(corpus)
