"""Figures of a run, and its report: one page that holds everything."""

from dni_jax.report.excerpt import Excerpt, excerpt_of
from dni_jax.report.figures import dynamics_figure, effects_figure, relevance_figure
from dni_jax.report.labelling import labelling_figure, labelling_text
from dni_jax.report.overview import write_overview
from dni_jax.report.page import write_report

__all__ = [
    "Excerpt",
    "dynamics_figure",
    "effects_figure",
    "excerpt_of",
    "labelling_figure",
    "labelling_text",
    "relevance_figure",
    "write_overview",
    "write_report",
]
