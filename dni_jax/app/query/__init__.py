"""SQL over run folders: one table of runs, one of scores, one of effects, whatever the number of runs."""

from dni_jax.app.query._folders import find_runs
from dni_jax.app.query._output import FORMATS, render
from dni_jax.app.query._runs import Runs, open_runs

__all__ = [
    "FORMATS",
    "Runs",
    "find_runs",
    "open_runs",
    "render",
]
