"""Figures of a run, and its report: one page that holds everything."""

from dni_jax.app.report._excerpt import Excerpt, excerpt_of
from dni_jax.app.report._figures import PALETTE, dynamics_figure, effects_figure, relevance_figure, save
from dni_jax.app.report._labelling import labelling_figure, labelling_text
from dni_jax.app.report._overview import write_overview
from dni_jax.app.report._page import write_report

__all__ = [
    "PALETTE",
    "Excerpt",
    "dynamics_figure",
    "effects_figure",
    "excerpt_of",
    "labelling_figure",
    "labelling_text",
    "relevance_figure",
    "save",
    "write_overview",
    "write_report",
]
