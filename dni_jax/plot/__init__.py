"""Drawings of what was found; each returns the axes that it drew into, and takes others with ``ax=``."""

from dni_jax.plot._curves import effects
from dni_jax.plot._labels import labelling_figure, labelling_text
from dni_jax.plot._nodes import tree
from dni_jax.plot._reading import text
from dni_jax.plot._scores import rank_features, relevance
from dni_jax.plot._style import PALETTE, place_legend

__all__ = [
    "PALETTE",
    "effects",
    "labelling_figure",
    "labelling_text",
    "place_legend",
    "rank_features",
    "relevance",
    "text",
    "tree",
]
