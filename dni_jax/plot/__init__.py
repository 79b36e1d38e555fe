"""Drawings of what was found; each returns the axes that it drew into, and takes others with ``ax=``."""

from dni_jax.plot.curves import effects
from dni_jax.plot.nodes import tree
from dni_jax.plot.reading import text
from dni_jax.plot.scores import relevance

__all__ = ["effects", "relevance", "text", "tree"]
