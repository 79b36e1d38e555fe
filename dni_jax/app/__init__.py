"""The application: settings, run folders, the pipeline, reports, queries, sweeps and the command line."""

from importlib import import_module
from types import ModuleType

__all__ = ["benchmark", "cli", "config", "distributed", "pipeline", "query", "report", "run_folder", "sweep", "texts"]


def __getattr__(name: str) -> ModuleType:
    """Import a room when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
