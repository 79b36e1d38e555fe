"""Figures and pages about runs: ``report.html`` for one run, an overview for several."""

from dni_jax.app.report._excerpt import Excerpt, make_excerpt
from dni_jax.app.report._figures import dynamics_figure, effects_figure, relevance_figure, save
from dni_jax.app.report._overview import write_overview
from dni_jax.app.report._page import write_report
from dni_jax.app.report._report import effects_table, report

__all__ = [
    "Excerpt",
    "dynamics_figure",
    "effects_figure",
    "effects_table",
    "make_excerpt",
    "relevance_figure",
    "report",
    "save",
    "write_overview",
    "write_report",
]
