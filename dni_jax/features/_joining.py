"""Segments joined again, once for all features that need it."""

from __future__ import annotations

from dni_jax.features._reading import compute_once
from dni_jax.text import Corpus, join_segments
from dni_jax.text import Texts as Runs

__all__ = ["Runs", "runs"]


def runs(corpus: Corpus) -> Runs:
    """Return the corpus' texts without gaps (see `dni_jax.text.join_segments`)."""
    return compute_once(corpus, "runs", join_segments)
