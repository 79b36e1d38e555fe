"""Drawings of what was found; each returns the axes that it drew into, and takes others with ``ax=``."""

from dni_jax.plot._curves import effects
from dni_jax.plot._nodes import tree
from dni_jax.plot._reading import text
from dni_jax.plot._scores import known_best, relevance
from dni_jax.plot._stretch import (
    CELL,
    LETTER,
    ROW,
    Stretch,
    cells_of,
    draw_cells,
    hatch,
    name_rows,
    number_columns,
    stretch_of,
    write,
)
from dni_jax.plot._style import PALETTE, legend_beside

__all__ = [
    "CELL",
    "LETTER",
    "PALETTE",
    "ROW",
    "Stretch",
    "cells_of",
    "draw_cells",
    "effects",
    "hatch",
    "known_best",
    "legend_beside",
    "name_rows",
    "number_columns",
    "relevance",
    "stretch_of",
    "text",
    "tree",
    "write",
]
