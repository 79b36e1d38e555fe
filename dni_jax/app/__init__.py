"""The application: settings, run folders, the pipeline, reports, queries, sweeps and the command line."""

from dni_jax.lazy import import_on_use

__all__ = ["benchmark", "cli", "config", "distributed", "pipeline", "query", "report", "run_folder", "sweep", "texts"]

__getattr__, __dir__ = import_on_use(__name__, dict.fromkeys(__all__, __name__))
