"""Drawings of corpora, labels, states, relevance and effects.

Each function returns the axes that it drew into, and takes axes of your own with ``ax=``; `labeling_figure` returns a
figure.
"""

from dni_jax.plot._effects import MEASURE_LABELS, effects
from dni_jax.plot._labels import labeling_figure, labeling_text
from dni_jax.plot._relevance import rank_features, relevance
from dni_jax.plot._style import PALETTE, fit_text, fit_tick_labels, place_legend, remove_frame
from dni_jax.plot._text import text
from dni_jax.plot._tree import tree

__all__ = [
    "MEASURE_LABELS",
    "PALETTE",
    "effects",
    "fit_text",
    "fit_tick_labels",
    "labeling_figure",
    "labeling_text",
    "place_legend",
    "rank_features",
    "relevance",
    "remove_frame",
    "text",
    "tree",
]
