"""Figures."""

from dni_jax.report.figures import effects_figure, relevance_figure

__all__ = ["effects_figure", "relevance_figure"]
