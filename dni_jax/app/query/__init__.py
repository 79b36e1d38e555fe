"""SQL queries over any number of run folders: one table of runs, one of scores, one of effects."""

from dni_jax.app.query._folders import find_runs
from dni_jax.app.query._render import FORMATS, render
from dni_jax.app.query._runs import Runs, open_runs

__all__ = [
    "FORMATS",
    "Runs",
    "find_runs",
    "open_runs",
    "render",
]
