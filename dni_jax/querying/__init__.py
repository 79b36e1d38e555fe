"""SQL over run folders: one table of runs, one of scores, one of effects, whatever the number of runs."""

from dni_jax.querying.output import FORMATS, render
from dni_jax.querying.runs import Runs, open_runs

__all__ = ["FORMATS", "Runs", "open_runs", "render"]
