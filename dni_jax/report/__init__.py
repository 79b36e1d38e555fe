"""Figures."""

from dni_jax.report.figures import dynamics_figure, effects_figure, relevance_figure
from dni_jax.report.labelling import labelling_figure, labelling_text

__all__ = ["dynamics_figure", "effects_figure", "labelling_figure", "labelling_text", "relevance_figure"]
